"""Files that applications have in common: rejected rows, and the version and the lock of a built folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray import InputError

__all__ = ["RejectedRows", "locked", "version_of", "write_rejected"]

KEPT_ROWS = 10_000
"""Rejected rows that are kept with their reason; the others are counted."""


@dataclass
class RejectedRows:
    """Rejected rows with file, row and reason: the first KEPT_ROWS of them, and the number of each kind."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, file: str, row: int, reason: str) -> None:
        """Count a row; ``reason`` is "kind: details"."""
        self.kinds[reason.partition(":")[0]] += 1
        if len(self.rows) < KEPT_ROWS:
            self.rows.append({"file": file, "row": row, "reason": reason})


def write_rejected(rejected: Mapping[str, RejectedRows], path: Path) -> None:
    """Write the rejected rows of each input as jsonl, and the number of those that were not kept."""
    with path.open("w", encoding="utf-8") as file:
        for name, group in rejected.items():
            for row in group.rows:
                file.write(json.dumps({"input": name} | row, ensure_ascii=False) + "\n")
            omitted = group.kinds.total() - len(group.rows)
            if omitted > 0:
                more = {"input": name, "reason": f"and {omitted:,} more rows"}
                file.write(json.dumps(more) + "\n")


def version_of(folder: Path, names: Sequence[str]) -> str:
    """Return a hash of the named files of a folder, as 12 hexadecimal digits."""
    content = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:12]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Context manager: change the folder, and nobody else does. Raises InputError if somebody does.

    A build holds it from reading to writing: what is forgotten meanwhile would come back with it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another command is changing it; run this again after it") from None
        yield
    finally:
        os.close(handle)
