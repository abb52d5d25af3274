"""Outputs of stages on disk, addressed by what they were made from.

A stage's key is a hash of its name, its settings and the content of its inputs. Work is
done in ``<stage>-<key>.part`` and renamed when whole, so a folder without ``.part``
is complete, and a killed stage finds its own half-done work again.
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
"""How the system says that a disk is full; Ray and libraries in other languages hand on no more than that."""
STAGE_FOLDER = re.compile(r"(\w+)-[0-9a-f]{16}(\.part)?")


@dataclass
class Store:
    """The stages of one run's folder; ``root`` is made when first needed, for its owner alone."""

    root: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """The folder with the output of ``work``, run only if it is not there yet.

        ``inputs`` is everything the output depends on: settings, and the content of
        earlier stages (JSON-like). ``work(folder)`` may find files it left in
        ``folder`` when it was killed, and may go on from them.
        """
        key = digest({"stage": name, "version": __version__, **inputs})
        done = self.root / f"{name}-{key}"
        with self._turn(done.name):
            if done.is_dir():
                self.reused.append(name)
                self.seconds[name] = json.loads((done / RECORD).read_text())["seconds"]
            else:
                self._do(name, done, inputs, work)
        return done

    def _do(self, name: str, done: Path, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> None:
        started = time.monotonic()
        part = done.with_name(f"{done.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"stage": name, "version": __version__, "inputs": inputs}
        _write_record(part, record)
        work(part)
        self.seconds[name] = round(time.monotonic() - started, 2)
        _write_record(part, record | {"seconds": self.seconds[name], "content": _content(part)})
        part.rename(done)

    @contextmanager
    def _turn(self, stage: str) -> Iterator[None]:
        """One process at a time on a stage: trials of a search share a store."""
        make_private_folder(self.root)
        (self.root / LOCKS).mkdir(exist_ok=True)
        with (self.root / LOCKS / stage).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process
            yield

    def alike(self, name: str, inputs: Mapping[str, Any]) -> list[Path]:
        """Folders of the stage ``name``, whole or not, made by this version and from these of its inputs."""
        asked = json.loads(json.dumps(inputs, default=str))
        found = []
        for record in sorted(self.root.glob(f"{name}-*/{RECORD}")):
            try:
                known = json.loads(record.read_text())
            except FileNotFoundError:  # a trial beside this one has finished, and renamed its folder
                continue
            if known.get("version") == __version__ and asked.items() <= known["inputs"].items():
                found.append(record.parent)
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of ``root`` while the block runs; a killed run leaves no lock.

        Raises ReactRayError that names the process at work there, InputError where nothing
        can be written, and DiskFullError for whatever a full disk makes of the block.
        """
        try:
            make_private_folder(self.root)
            opened = (self.root / "lock").open(
                "a+b", buffering=0
            )  # or a full disk would fail its closing, too
        except OSError as error:
            raise InputError(f"{self.root.parent}: nothing can be written there: {error.strerror}") from None
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ReactRayError(
                    f"another run (process {lock.read().decode().strip()}) is at work in {self.root.parent}; "
                    "wait for it, stop it, or give this run another --output"
                ) from None
            except OSError as error:
                raise InputError(
                    f"{self.root.parent}: files cannot be locked there ({error.strerror}): take a folder on "
                    "a file system that has locks (a local one, NFS), not a bucket that is mounted without"
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
        """Delete every stage and the log, and nothing that is not ours; the bytes that were freed.

        Raises ReactRayError while a run is at work here.
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
    """Name of the stage whose folder ``path`` is in."""
    found = (STAGE_FOLDER.fullmatch(folder.name) for folder in path.parents)
    return next((match[1] for match in found if match), None)


def content_of(stage: Path) -> str:
    """A hash of what a finished stage left, as its record has it."""
    content: str = json.loads((stage / RECORD).read_text())["content"]
    return content


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, default=str)
    replace_file(folder / RECORD, lambda half: half.write_text(text))


def digest(content: Any) -> str:
    """A short stable name for JSON-like ``content``."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _content(folder: Path) -> str:
    files = {}
    for path in sorted(file for file in folder.rglob("*") if file.is_file() and file.name != RECORD):
        with path.open("rb") as file:
            files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "blake2b").hexdigest()
    return digest(files)


def folder_size(folder: Path) -> int:
    """Bytes of all files under ``folder``; 0 where there is none."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _disk_full(output: Path, error: Exception) -> DiskFullError:
    told = next(line.strip() for line in str(error).splitlines() if FULL in line)
    free = shutil.disk_usage(output).free
    return DiskFullError(
        f"a disk is full: {told}\n"
        f"{output} has {free / 1e6:,.0f} MB free. Make room and give the same command again: it goes on "
        "where it stopped"
    )
