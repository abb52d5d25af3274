"""Outputs of stages on disk, addressed by what they were made from.

A stage's key is a hash of its name, its settings and the keys of its inputs. Work is
done in ``<stage>-<key>.part`` and renamed when whole, so a folder without ``.part``
is complete, and a killed stage finds its own half-done work again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray.errors import ReactRayError
from react_ray.version import __version__

__all__ = ["Store", "digest", "folder_size"]


@dataclass
class Store:
    """The stages of one run's folder; ``root`` is made when first needed."""

    root: Path
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """The folder with the output of ``work``, run only if it is not there yet.

        ``inputs`` is everything the output depends on: settings and folders of
        earlier stages (JSON-like). ``work(folder)`` may find files it left in
        ``folder`` when it was killed, and may go on from them.
        """
        key = digest({"stage": name, "version": __version__, **inputs})
        done = self.root / f"{name}-{key}"
        started = time.monotonic()
        if done.is_dir():
            self.reused.append(name)
            self.seconds[name] = json.loads((done / "stage.json").read_text())["seconds"]
            return done
        part = self.root / f"{name}-{key}.part"
        part.mkdir(parents=True, exist_ok=True)
        work(part)
        self.seconds[name] = round(time.monotonic() - started, 2)
        record = {"stage": name, "inputs": inputs, "seconds": self.seconds[name]}
        (part / "stage.json").write_text(json.dumps(record, indent=2, default=str))
        part.rename(done)
        return done

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of ``root`` while the block runs; a killed run leaves no lock.

        Raises ReactRayError that names the process at work there.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise ReactRayError(
                    f"another run (process {lock.read().strip()}) is at work in {self.root.parent}; "
                    "wait for it, stop it, or give this run another --output"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def clear(self) -> int:
        """Delete every stage; the bytes that were freed."""
        freed = folder_size(self.root)
        shutil.rmtree(self.root, ignore_errors=True)
        return freed


def digest(content: Any) -> str:
    """A short stable name for JSON-like ``content``; a stage's folder counts as its name."""

    def plain(value: Any) -> Any:
        return value.name if isinstance(value, Path) else str(value)

    text = json.dumps(content, sort_keys=True, default=plain)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def folder_size(folder: Path) -> int:
    """Bytes of all files under ``folder``; 0 where there is none."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
