"""Where things lie in a run's folder, and what a model's folder holds; imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TextIO, cast

from react_ray.errors import InputError

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "FileState",
    "file_states",
    "make_private_file",
    "make_private_folder",
    "model_folder",
    "model_version",
    "open_private",
    "remove_folder",
    "replace_file",
    "trained_version",
    "unchanged",
]

FileState = tuple[str, int, int, int]
"""Path of a file, its inode, bytes and time of change."""
ONNX = "onnx"
FILE_MODE, FOLDER_MODE = 0o600, 0o700
"""Of logs, records, rejected rows and intermediate results, which hold texts: their owner alone reads them.

Results (the model, figures, reports, labelled files) are made with the user's own umask.
"""
NOT_READ = (".*", "*.md", "LICENSE*", "reference.json", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack")
"""Files beside a model that have no part in its answers: documents, drift's figures, other formats."""


def model_folder(path: str | Path) -> Path:
    """The folder with config.json that ``path`` (a run, or the model itself) means.

    Raises InputError when there is no model at ``path``.
    """
    try:
        given = Path(path).expanduser()
        for folder in (given, given / "model"):
            if (folder / "config.json").is_file():
                return folder
        hint = _why_no_model(given)
    except (OSError, RuntimeError) as error:  # a name that is too long, the home of nobody
        hint = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{path}: no model found there ({hint})")


def _why_no_model(given: Path) -> str:
    if not given.is_dir():
        return "it is a file: give the folder it is in" if given.exists() else "no such folder"
    if (given / "adapter_config.json").exists():
        return (
            "only a PEFT adapter: merge it into its model with merge_and_unload(), save that with "
            "save_pretrained(), and give its folder"
        )
    if any(given.glob("*.safetensors")) or any(given.glob("tokenizer*")):
        return "config.json is missing"
    return "the run is not finished: give the same run command again"


def model_version(folder: Path) -> str:
    """Twelve hexadecimal digits that change when anything that computes the model's answers does.

    That is the configuration with its labels, weights, tokenizer, ONNX files and their record.
    """
    return _digest(folder, [*_model_files(folder), *_model_files(folder / ONNX)])


def trained_version(folder: Path) -> str:
    """As ``model_version``, without the ONNX files: of the model that they are made from."""
    return _digest(folder, _model_files(folder))


def file_states(folder: Path) -> tuple[FileState, ...]:
    """A cheap sign of change: what the file system says of the files that ``model_version`` reads."""
    states = [(path, path.stat()) for path in [*_model_files(folder), *_model_files(folder / ONNX)]]
    return tuple((str(path), state.st_ino, state.st_size, state.st_mtime_ns) for path, state in states)


@contextmanager
def unchanged(folder: Path, version: str | None = None) -> Iterator[None]:
    """Load a model in the block: InputError if its files change meanwhile, or are not ``version``.

    So what was loaded is one model, and the one whose version was computed.
    """
    before = file_states(folder)
    if version is not None and (found := model_version(folder)) != version:
        raise InputError(
            f"{folder} holds version {found}, and version {version} is to be used: the model was changed. "
            "Put that version back, or give the command again to use the new one (after react-ray serve "
            "--write-config: write the file again, and deploy it)"
        )
    yield
    if file_states(folder) != before:
        raise InputError(f"{folder} was changed while it was loaded: try again when it is complete")


def _model_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    names = (path for path in folder.iterdir() if not any(fnmatch(path.name, other) for other in NOT_READ))
    return sorted(path for path in names if path.is_file())


def _digest(folder: Path, paths: list[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                content.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                content.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
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

    Where ``write`` fails, ``path`` stays as it was and the half is deleted. With ``private`` only its owner
    can read it, while it is written too.
    """
    half = path.with_name(path.name + ".half")
    try:
        if private:
            make_private_file(half)
        write(half)
        half.replace(path)
    except BaseException:
        with suppress(OSError):
            half.unlink()
        raise


def open_private(path: Path, mode: str = "w") -> TextIO:
    """Open a text file in UTF-8 to write ("w") or append ("a") with mode 600, as one that exists gets too."""
    return cast(TextIO, open(path, mode, encoding="utf-8", errors="backslashreplace", opener=_opener))


def make_private_file(path: Path) -> None:
    """Make an empty file with mode 600, for a library to write to: that keeps the mode."""
    open_private(path).close()


def make_private_folder(path: Path) -> None:
    """Make the folder with mode 700; parents that are missing get that of the umask.

    A folder that exists keeps its mode: its owner may share it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def _opener(path: str, flags: int) -> int:
    handle = os.open(path, flags, FILE_MODE)
    with suppress(OSError):  # another user's file, or a file system without modes
        os.fchmod(handle, FILE_MODE)
    return handle
