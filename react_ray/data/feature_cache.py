"""Cache of features from earlier passes of the same encoder, by the hash of a text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["FeatureCache", "row_keys", "text_keys"]


@dataclass(frozen=True)
class FeatureCache:
    """Index from text hash to the file and row of its cached features; ``keys`` is sorted.

    Keys have 64 bits: the chance of any collision among a billion texts is 3 %.
    """

    paths: Sequence[Path]
    keys: NDArray[np.uint64]
    files: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> FeatureCache:
        """Index all features in ``folders``, which hold parquet files of keys and features.

        A concurrent trial of a search may rename its folder; files that have disappeared are skipped.
        """
        files_found = [path for folder in folders for path in sorted(folder.glob("*.parquet"))]
        read = [(path, part) for path in files_found if (part := _keys(path)) is not None]
        paths, keys = [path for path, _ in read], [part for _, part in read]
        sizes = [len(part) for part in keys]
        all_keys = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        files = np.repeat(np.arange(len(paths)), sizes)
        rows = np.concatenate([np.arange(size) for size in sizes]) if keys else np.zeros(0, np.int64)
        order = np.argsort(all_keys, kind="stable")
        return cls(paths, all_keys[order], files[order], rows[order])

    def fill(self, keys: NDArray[np.uint64], features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Write cached rows into ``features`` (n x width); return the mask of cached ``keys`` (n)."""
        place = np.searchsorted(self.keys, keys)
        cached = np.zeros(len(keys), bool)
        inside = place < len(self.keys)
        cached[inside] = self.keys[place[inside]] == keys[inside]
        for number in np.unique(self.files[place[cached]]):
            hits = np.flatnonzero(cached)[self.files[place[cached]] == number]
            try:
                features[hits] = _features(self.paths[number])[self.rows[place[hits]]]
            except FileNotFoundError:  # renamed meanwhile
                cached[hits] = False
        return cached


def row_keys(rows: pa.Table) -> NDArray[np.uint64]:
    """Hash each row of input columns to 64 bits; a text alone as :func:`text_keys` does."""
    if rows.column_names == ["text"]:
        return text_keys(rows["text"].to_pylist())
    return text_keys([json.dumps(list(row.values()), ensure_ascii=False) for row in rows.to_pylist()])


def text_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Hash each text to 64 bits, unnormalized: white space and form may matter to an encoder."""
    hashes = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(hashes, np.uint64)


def _keys(path: Path) -> NDArray[np.uint64] | None:
    try:
        keys: NDArray[np.uint64] = pq.read_table(path, columns=["key"])["key"].to_numpy()
    except FileNotFoundError:
        return None
    return keys


@lru_cache(maxsize=4)
def _features(path: Path) -> NDArray[np.float32]:
    column = pq.read_table(path, columns=["features"])["features"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)
