"""Where things lie in a run's folder; imports nothing heavy, so that errors come at once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from react_ray.errors import InputError
from react_ray.private import make_private_file

__all__ = ["model_folder", "model_version", "remove_folder", "replace_file"]


def model_folder(path: str | Path) -> Path:
    """The folder with config.json that ``path`` (a run, or the model itself) means.

    Raises InputError when there is no model at ``path``.
    """
    given = Path(path).expanduser()
    for folder in (given, given / "model"):
        if (folder / "config.json").is_file():
            return folder
    hint = "the run is not finished: give the same run command again" if given.is_dir() else "no such folder"
    raise InputError(f"{path}: no model found there ({hint})")


def model_version(folder: Path) -> str:
    """Twelve hexadecimal digits that change when the weights, labels or tokenizer in ``folder`` do."""
    content = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), folder / "config.json", folder / "tokenizer.json"]):
        if path.exists():
            with path.open("rb") as file:
                content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:12]


def remove_folder(folder: Path) -> None:
    """Delete ``folder`` so that a kill on the way leaves it whole or gone, never half there."""
    over = folder.with_name(folder.name + ".over")
    shutil.rmtree(over, ignore_errors=True)
    if folder.exists():
        folder.rename(over)
        shutil.rmtree(over)


def replace_file(path: Path, write: Callable[[Path], object], *, private: bool = False) -> None:
    """Have ``write(half)`` fill a file beside ``path`` and rename it: what is there is whole.

    With ``private`` only its owner can read it, while it is written too.
    """
    half = path.with_name(path.name + ".half")
    if private:
        make_private_file(half)
    write(half)
    half.replace(path)
