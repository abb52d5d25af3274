"""Rows of a file in their order, joined with what was predicted for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq

from react_ray.data.originals import Original
from react_ray.data.read import EMPTY
from react_ray.data.row import Broken
from react_ray.data.shards import Shard

__all__ = ["AnsweredRow", "answered_rows", "blank_rows"]

AnsweredRow = tuple[Any, tuple[Any, ...]]
"""A row as a whole, with a value for each column that is added; no values where it has no text."""


def blank_rows(shard: Shard) -> Iterator[int]:
    """The rows of a file that have no text and come back without label."""
    return (row["row"] for row in shard.refused() if row["reason"] == EMPTY)


def answered_rows(original: Original, parts: Iterable[str], blanks: Iterator[int]) -> Iterator[AnsweredRow]:
    """The rows of a file that come back: those that are labelled, and the ``blanks``."""
    labelled = labelled_rows(parts)
    following, blank = next(labelled, None), next(blanks, None)
    for number, cells, whole in original.rows:
        if isinstance(cells, Broken):
            continue
        if following is not None and following[0] == number:
            yield whole, following[1:]
            following = next(labelled, None)
        elif blank == number:
            yield whole, ()
            blank = next(blanks, None)


def labelled_rows(parts: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Row and values of the labelled rows, in order."""
    for part in parts:
        table = pq.read_table(part)
        yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
