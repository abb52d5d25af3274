"""Folder of an export of a saved model, written as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from react_ray.errors import InputError
from react_ray.folders import replacement_of_folder, unchanged

__all__ = ["write_export"]

Record = TypeVar("Record")


def write_export(folder: Path, target: Path, make: Callable[[Path], Record], problem: str) -> Record:
    """Write an export of the model in ``folder`` to ``target``, and return its record.

    ``make`` writes the files into a new folder, which becomes ``target`` if the model did not change
    meanwhile. Raises InputError, ``problem`` with the reason, if it fails; then ``target`` stays as it was.
    """
    with replacement_of_folder(target) as files:
        try:
            with unchanged(folder):
                record = make(files)
        except InputError:
            raise
        except Exception as error:  # torch and the libraries of exports raise many kinds
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{folder}: {problem}: {reason}") from error
    return record
