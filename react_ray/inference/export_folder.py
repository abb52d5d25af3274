"""Folder of an export of a saved model, written as a whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from react_ray.errors import InputError
from react_ray.folders import remove_folder, unchanged

__all__ = ["write_export"]

Record = TypeVar("Record")


def write_export(folder: Path, target: Path, make: Callable[[Path], Record], problem: str) -> Record:
    """Write an export of the model in ``folder`` to ``target``, and return its record.

    ``make`` writes the files into a new folder, which becomes ``target`` if the model did not change
    meanwhile. Raises InputError, ``problem`` with the reason, if it fails; then ``target`` stays as it was.
    """
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    try:
        with unchanged(folder):
            record = make(half)
    except Exception as error:  # torch and the libraries of exports raise many kinds
        shutil.rmtree(half)
        if isinstance(error, InputError):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder}: {problem}: {reason}") from error
    remove_folder(target)
    half.rename(target)
    return record
