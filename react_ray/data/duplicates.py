"""Out-of-core deduplication, and sampling of the unlabelled pool.

Rows are partitioned into files by the prefix of their id, which is a hash. Duplicates share a file, the
files have similar sizes, and their concatenation is ordered by id: each file is sorted on its own, and the
sample of the pool (the rows with the smallest ids) is in the first files. Memory holds a byte for each row
and about 50 for each duplicate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["PARTS", "REJECTED", "UNUSED", "Keys", "Verdict"]

PARTS = ("labeled", "test", "validation", "unlabeled")
"""Parts by precedence for a text that is in several: labels are scarce, unlabelled rows are not."""
POOL = PARTS.index("unlabeled")
UNUSED, REJECTED = len(PARTS), len(PARTS) + 1
"""Fates of rows in none of PARTS: outside the sample of the pool; a duplicate, or rejected before."""

FILE_ROWS = 500_000
MOST_FILES = 256
"""Files open at a time."""
KEY = np.dtype(
    [("high", "u8"), ("low", "u8"), ("target", "u8"), ("place", "i8"), ("row", "i8"), ("part", "i1")]
)
COPY = np.dtype([(f"{prefix}{name}", "i8") for prefix in ("", "kept_") for name in ("place", "row", "part")])


@dataclass(frozen=True)
class Verdict:
    """Result of deduplication and sampling, by the place of a row.

    ``status`` is an index into PARTS, UNUSED or REJECTED. ``copies`` has place, row and part of each
    duplicate, and kept_place, kept_row and kept_part of the row that is kept instead. ``row`` is the number
    in the file.
    """

    status: NDArray[np.uint8]
    copies: NDArray[np.void]


class Keys:
    """Ids of all rows, partitioned into files in ``folder``; places that are not added count as rejected."""

    def __init__(self, folder: Path, rows: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = rows
        self.paths = [folder / f"{n:03d}.keys" for n in range(min(rows // FILE_ROWS + 1, MOST_FILES))]
        self._files: list[BinaryIO] = [path.open("wb") for path in self.paths]

    def add(
        self,
        ids: Sequence[str],
        places: NDArray[np.int64],
        rows: NDArray[np.int64],
        parts: NDArray[np.int8],
        targets: NDArray[np.uint64],
    ) -> None:
        """Add rows in order of place: ids of 32 hex digits, places, numbers, indices into PARTS.

        ``targets`` are hashes: rows of the first part with the same id and another hash are no duplicates.
        """
        keys = np.empty(len(ids), KEY)
        keys["high"], keys["low"] = np.frombuffer(bytes.fromhex("".join(ids)), ">u8").reshape(-1, 2).T
        keys["place"], keys["row"], keys["part"], keys["target"] = places, rows, parts, targets
        file = ((keys["high"] >> np.uint64(32)) * np.uint64(len(self.paths)) >> np.uint64(32)).astype(int)
        keys = keys[np.argsort(file, kind="stable")]
        ends = np.cumsum(np.bincount(file, minlength=len(self.paths)))
        for target, group in zip(self._files, np.split(keys, ends[:-1]), strict=True):
            target.write(group.tobytes())

    def deduplicate(self, pool: int) -> Verdict:
        """Keep the first duplicate in the most important part, and sample ``pool`` unlabelled rows."""
        for file in self._files:
            file.close()
        status = np.full(self.rows, REJECTED, np.uint8)
        copies = []
        for path in self.paths:
            keys = np.fromfile(path, KEY)
            keys = keys[
                np.lexsort((keys["target"], keys["part"], keys["low"], keys["high"]))
            ]  # stable: then by place
            first = np.ones(len(keys), bool)
            first[1:] = (keys["high"][1:] != keys["high"][:-1]) | (keys["low"][1:] != keys["low"][:-1])
            first[1:] |= (keys["part"][1:] == 0) & (keys["target"][1:] != keys["target"][:-1])
            copies.append(_copies(keys, first))
            kept = keys[first]
            status[kept["place"]] = kept["part"]
            unlabeled = kept["place"][kept["part"] == POOL]
            status[unlabeled[pool:]] = UNUSED
            pool = max(0, pool - len(unlabeled))
            path.unlink()
        together = np.concatenate(copies)
        return Verdict(status, together[np.argsort(together["place"])])


def _copies(keys: NDArray[np.void], first: NDArray[np.bool_]) -> NDArray[np.void]:
    """Return every row but the ``first`` of each group, paired with the first."""
    groups = np.cumsum(first)[~first] - 1
    kept, lost = keys[first][groups], keys[~first]
    pairs = np.empty(len(lost), COPY)
    for name in ("place", "row", "part"):
        pairs[name], pairs[f"kept_{name}"] = lost[name], kept[name]
    return pairs
