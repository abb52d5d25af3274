"""Folders of models, atomic writes and private files; imports nothing heavy."""

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
    "replacement_of_file",
    "replacement_of_folder",
    "trained_version",
    "unchanged",
]

FileState = tuple[str, int, int, int]
"""Path of a file, its inode, size in bytes and modification time."""
ONNX, CTRANSLATE2 = "onnx", "ctranslate2"
"""Folders in that of a model, for files of other engines."""
FILE_MODE, FOLDER_MODE = 0o600, 0o700
"""Modes of logs, records, rejected rows and intermediate results, which contain texts: private to the owner.

Results (model, metrics, report, labelled files) have the mode of the user's umask.
"""
NOT_READ = (".*", "*.md", "LICENSE*", "reference.json", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack")
"""Patterns of files that do not affect a model's answers: documents, the drift reference, other formats."""


def model_folder(path: str | Path) -> Path:
    """Return the folder with config.json for ``path``, which is a run or the model itself.

    Raises InputError if there is no model.
    """
    try:
        start = Path(path).expanduser()
        for folder in (start, start / "model"):
            if (folder / "config.json").is_file():
                return folder
        hint = _why_no_model(start)
    except (OSError, RuntimeError) as error:  # the name is too long, or ~user is unknown
        hint = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{path}: no model found there ({hint})")


def _why_no_model(path: Path) -> str:
    if not path.is_dir():
        return "it is a file: give its folder" if path.exists() else "no such folder"
    if (path / "adapter_config.json").exists():
        return (
            "only a PEFT adapter: merge it into its model with merge_and_unload(), save that with "
            "save_pretrained(), and give its folder"
        )
    if any(path.glob("*.safetensors")) or any(path.glob("tokenizer*")):
        return "config.json is missing"
    return "the run is not finished: give the same run command again"


def model_version(folder: Path) -> str:
    """Hash of all files that affect the model's answers, as 12 hexadecimal digits.

    These are the configuration with its labels, weights, tokenizer, exported files and their record.
    """
    return _digest(folder, _all_files(folder))


def trained_version(folder: Path) -> str:
    """Hash as in :func:`model_version`, without exported files, which are derived from the others."""
    return _digest(folder, _model_files(folder))


def file_states(folder: Path) -> tuple[FileState, ...]:
    """Inode, size and time of the files that :func:`model_version` reads: a cheap check for changes."""
    states = [(path, path.stat()) for path in _all_files(folder)]
    return tuple((str(path), state.st_ino, state.st_size, state.st_mtime_ns) for path, state in states)


@contextmanager
def unchanged(folder: Path, version: str | None = None) -> Iterator[None]:
    """Context manager that raises InputError if the files of a model change while the block loads it.

    The loaded model is then consistent. With ``version``, the files must also have that version.
    """
    before = file_states(folder)
    if version is not None and (actual := model_version(folder)) != version:
        raise InputError(
            f"{folder} holds version {actual}, but version {version} is to be used: the model was changed. "
            "Restore that version, or give the command again to use the new one (after react-ray serve "
            "--write-config: write the file again, and deploy it)"
        )
    yield
    if file_states(folder) != before:
        raise InputError(f"{folder} was changed while it was loaded: try again when it is complete")


def _all_files(folder: Path) -> list[Path]:
    return [path for part in (folder, folder / ONNX, folder / CTRANSLATE2) for path in _model_files(part)]


def _model_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    paths = (
        path for path in folder.iterdir() if not any(fnmatch(path.name, pattern) for pattern in NOT_READ)
    )
    return sorted(path for path in paths if path.is_file())


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
    """Delete ``folder``; after a kill it is complete or gone, never partly deleted."""
    renamed = folder.with_name(folder.name + ".over")
    shutil.rmtree(renamed, ignore_errors=True)
    if folder.exists():
        folder.rename(renamed)
        shutil.rmtree(renamed)


def replace_file(path: Path, write: Callable[[Path], object], *, private: bool = False) -> None:
    """Write a file atomically: call ``write(temporary)``, then rename the temporary file to ``path``.

    If ``write`` fails, ``path`` is unchanged and the temporary file is deleted. With ``private`` the file
    has mode 600 from the start.
    """
    with replacement_of_file(path, private=private) as temporary:
        write(temporary)


@contextmanager
def replacement_of_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Context manager of the temporary file that becomes ``path`` when the block ends without an error."""
    temporary = path.with_name(path.name + ".half")
    try:
        if private:
            make_private_file(temporary)
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def replacement_of_folder(target: Path) -> Iterator[Path]:
    """Context manager of the new folder that becomes ``target`` when the block ends without an error."""
    temporary = target.with_name(target.name + ".half")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    remove_folder(target)
    temporary.rename(target)


def open_private(path: Path, mode: str = "w") -> TextIO:
    """Open a text file in UTF-8 to write ("w") or append ("a"), and set its mode to 600."""
    return cast(TextIO, open(path, mode, encoding="utf-8", errors="backslashreplace", opener=_opener))


def make_private_file(path: Path) -> None:
    """Create an empty file with mode 600, which it keeps when a library writes to it."""
    open_private(path).close()


def make_private_folder(path: Path) -> None:
    """Create a folder with mode 700, and missing parents with the mode of the umask.

    An existing folder keeps its mode, because its owner may share it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def _opener(path: str, flags: int) -> int:
    handle = os.open(path, flags, FILE_MODE)
    with suppress(OSError):  # another user's file, or a file system without modes
        os.fchmod(handle, FILE_MODE)
    return handle
