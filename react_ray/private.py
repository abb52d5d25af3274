"""Files and folders that only their owner can read, whatever the umask.

For logs, records, rejected rows and intermediate results: they hold texts, and nobody asked for them to be
handed on. Results (the model, figures, reports, labelled files) are made with the user's own umask.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

__all__ = ["FILE_MODE", "FOLDER_MODE", "make_private_file", "make_private_folder", "open_private"]

FILE_MODE, FOLDER_MODE = 0o600, 0o700


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
