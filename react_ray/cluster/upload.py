"""What travels with a submitted job: the files of a folder, without data, junk and secrets.

Ray packs the folder; the rules are its own (``.gitignore``, ``.rayignore``) and the
patterns here, in the same form.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from react_ray.errors import InputError

__all__ = ["EXCLUDES", "check_size", "check_words", "files_to_send"]

EXCLUDES = (
    ".[!.]*",  # hidden: .git, .venv, caches, and what may hold secrets: .env, .ssh, .aws
    *("__pycache__", "*.pyc", "venv", "node_modules", "*.egg-info", "build", "dist", "out", "*.log"),
    *("*.csv", "*.tsv", "*.jsonl", "*.ndjson", "*.parquet", "*.arrow", "*.feather", "*.npy", "*.npz", "*.h5"),
    *("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.onnx", "*.pkl", "*.joblib"),
    *("*.zip", "*.tar", "*.tgz", "*.gz", "*.bz2", "*.xz", "*.zst", "*.7z"),
    *("*.pem", "*.key"),
)
"""Patterns of a .gitignore; data and models reach a job through storage that all nodes see."""

MAX_BYTES = 50_000_000
"""Of an upload. Ray's server takes twice as much; code is a hundred times smaller."""
MAX_FILES = 10_000
"""More are a home folder, not a project: the count ends there."""
NAMED = 5
"""Files named in a refusal."""
LONGEST_NAME = 255
"""Of a file; a longer word is a sentence, and asking for such a file is an error."""


def files_to_send(folder: Path) -> dict[str, int]:
    """Path inside ``folder`` -> bytes, of the files that Ray would upload with it.

    Ends early when there are more than are allowed. InputError where there is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder}: there is no such folder")
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env import packaging

    root = folder.absolute()
    found: dict[str, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            found[path.relative_to(root).as_posix()] = path.stat().st_size
            if len(found) > MAX_FILES:
                raise StopIteration

    excludes = [packaging._get_excludes(root, [*get_runtime_env_default_excludes(), *EXCLUDES])]
    silent = packaging.default_logger.getChild("count")  # it would name the path that the count ended at
    silent.disabled = True
    with suppress(StopIteration):
        packaging._dir_travel(root, excludes, note, include_gitignore=True, logger=silent)
    return found


def check_size(folder: Path, files: Mapping[str, int]) -> str:
    """The upload in words; InputError that names the largest files where it is too large."""
    total = sum(files.values())
    if total <= MAX_BYTES and len(files) <= MAX_FILES:
        return (
            f"{len(files)} files, {total / 1e6:.1f} MB"
            if len(files) != 1
            else f"1 file, {total / 1e6:.1f} MB"
        )
    largest = sorted(files.items(), key=lambda item: -item[1])[:NAMED]
    count = f"more than {MAX_FILES:,}" if len(files) > MAX_FILES else str(len(files))
    names = "".join(f"\n  {size / 1e6:8.1f} MB  {name}" for name, size in largest)
    raise InputError(
        f"the upload of {folder} is too large: {count} files, {total / 1e6:.1f} MB (at most "
        f"{MAX_FILES:,} and {MAX_BYTES / 1e6:.0f} MB). The largest:{names}\n"
        "Name what need not travel in .rayignore (written like .gitignore), or give a folder with less in "
        "it: --working-dir FOLDER. Data and models belong on storage that every node sees."
    )


def check_words(folder: Path, files: Mapping[str, int], words: Iterable[str]) -> None:
    """InputError for a word that names a file which is here and would not be there.

    Whole paths and URIs are for the cluster to find; relative ones mean files of the upload.
    """
    for word in words:
        name = word.rpartition("=")[2]
        if name and "://" not in name and not name.startswith(("/", "~")) and _stays(folder, files, name):
            raise InputError(
                f"{word}: {name} does not travel with the job (data, models and results never do, nor what "
                "lies outside --working-dir). Put it on storage that every node of the cluster sees, and "
                "give its whole path there."
            )


def _stays(folder: Path, files: Mapping[str, int], name: str) -> bool:
    """Whether the relative path or glob ``name`` means a file that is not among ``files``."""
    if len(name) > LONGEST_NAME:
        return False
    if any(mark in name for mark in "*?["):
        here: Iterable[Path] = folder.glob(os.path.normpath(name))
    else:
        place = folder / name
        here = [place] if place.is_file() else place.rglob("*")
    return any(path.is_file() and os.path.relpath(path, folder) not in files for path in here)
