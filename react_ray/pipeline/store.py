"""Content-addressed cache of stage outputs.

The key of a stage is a hash of its name, its settings and the content of its inputs. A stage
works in ``<stage>-<key>.part``, which is renamed when complete, so a folder without ``.part``
is complete, and an interrupted stage finds its partial output again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray.errors import DiskFullError, InputError, ReactRayError
from react_ray.folders import make_private_folder, replace_file
from react_ray.version import __version__

__all__ = ["RECORD", "Store", "content_of", "digest", "folder_size", "stage_of"]

RECORD = "stage.json"
LOCKS = "locks"
FULL = os.strerror(errno.ENOSPC)
"""The system's message for a full disk: all that Ray and native libraries pass on of the error."""
STAGE_FOLDER = re.compile(r"(\w+)-[0-9a-f]{16}(\.part)?")


@dataclass
class Store:
    """Stage cache of a run's folder; ``root`` is created when first needed, private to its owner."""

    root: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Return the folder with the output of ``work``, which is only called if it is not cached.

        ``inputs`` is everything the output depends on: settings, and the content of
        earlier stages (JSON-like). After an interruption ``work(folder)`` finds its earlier
        files in ``folder`` and may resume from them.
        """
        key = digest({"stage": name, "version": __version__, **inputs})
        folder = self.root / f"{name}-{key}"
        with self._turn(folder.name):
            if folder.is_dir():
                self.reused.append(name)
                self.seconds[name] = json.loads((folder / RECORD).read_text())["seconds"]
            else:
                self._run(name, folder, inputs, work)
        return folder

    def _run(self, name: str, folder: Path, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> None:
        started = time.monotonic()
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"stage": name, "version": __version__, "inputs": inputs}
        _write_record(part, record)
        work(part)
        self.seconds[name] = round(time.monotonic() - started, 2)
        _write_record(part, record | {"seconds": self.seconds[name], "content": _content(part)})
        part.rename(folder)

    @contextmanager
    def _turn(self, stage: str) -> Iterator[None]:
        """Lock a stage: trials of a search share a store."""
        make_private_folder(self.root)
        (self.root / LOCKS).mkdir(exist_ok=True)
        with (self.root / LOCKS / stage).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process
            yield

    def matching_stages(self, name: str, inputs: Mapping[str, Any]) -> list[Path]:
        """Return folders of the stage ``name``, complete or not, with this version and these inputs."""
        required = json.loads(json.dumps(inputs, default=str))
        folders = []
        for record in sorted(self.root.glob(f"{name}-*/{RECORD}")):
            try:
                content = json.loads(record.read_text())
            except FileNotFoundError:  # a concurrent trial has finished, and renamed its folder
                continue
            if content.get("version") == __version__ and required.items() <= content["inputs"].items():
                folders.append(record.parent)
        return folders

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Context manager that locks ``root`` against other runs; a killed run leaves no lock.

        Raises ReactRayError (with the process that holds the lock), InputError if the folder
        cannot be written, and DiskFullError for any error that a full disk causes in the block.
        """
        try:
            make_private_folder(self.root)
            opened = (self.root / "lock").open(
                "a+b", buffering=0
            )  # or a full disk would fail its closing, too
        except OSError as error:
            raise InputError(f"{self.root.parent}: cannot be written: {error.strerror}") from None
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ReactRayError(
                    f"another run (process {lock.read().decode().strip()}) is using {self.root.parent}; "
                    "wait for it, stop it, or give this run another --output"
                ) from None
            except OSError as error:
                raise InputError(
                    f"{self.root.parent}: files cannot be locked ({error.strerror}); use a folder on a file "
                    "system with locks (a local disk, NFS), not a mounted bucket without them"
                ) from None
            try:
                lock.truncate(0)
                lock.write(str(os.getpid()).encode())
                yield
            except Exception as error:
                if FULL not in str(error):
                    raise
                raise _disk_full(self.root.parent, error) from error

    def clear(self) -> int:
        """Delete the stages and the log, and no other files; return the freed bytes.

        Raises ReactRayError while a run uses the folder.
        """
        if not self.root.is_dir():
            return 0
        with self.locked():
            before = folder_size(self.root)
            for folder in self.root.iterdir():
                if STAGE_FOLDER.fullmatch(folder.name):
                    shutil.rmtree(folder)
            shutil.rmtree(self.root / LOCKS, ignore_errors=True)
            for file in ("run.log", "run-ray.log", "lock"):
                (self.root / file).unlink(missing_ok=True)
        freed = before - folder_size(self.root)
        if not any(self.root.iterdir()):
            self.root.rmdir()
        return freed


def stage_of(path: Path) -> str | None:
    """Return the name of the stage whose folder contains ``path``, or None."""
    matches = (STAGE_FOLDER.fullmatch(folder.name) for folder in path.parents)
    return next((match[1] for match in matches if match), None)


def content_of(stage: Path) -> str:
    """Return the hash of a finished stage's output from its record."""
    content: str = json.loads((stage / RECORD).read_text())["content"]
    return content


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, default=str)
    replace_file(folder / RECORD, lambda temporary: temporary.write_text(text))


def digest(content: Any) -> str:
    """Return a short hash of JSON-like ``content``."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _content(folder: Path) -> str:
    files = {}
    for path in sorted(file for file in folder.rglob("*") if file.is_file() and file.name != RECORD):
        with path.open("rb") as file:
            files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "blake2b").hexdigest()
    return digest(files)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files under ``folder``; 0 if there is none."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _disk_full(output: Path, error: Exception) -> DiskFullError:
    message = next(line.strip() for line in str(error).splitlines() if FULL in line)
    free = shutil.disk_usage(output).free
    return DiskFullError(
        f"a disk is full: {message}\n"
        f"{output} has {free / 1e6:,.0f} MB free. Free some space and run the same command again: it "
        "resumes where it stopped"
    )
