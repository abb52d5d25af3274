"""Rows of an input file in their order, joined with their predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq

from react_ray.data.originals import Original
from react_ray.data.read import EMPTY
from react_ray.data.rejections import kind_of
from react_ray.data.row import Broken
from react_ray.data.shards import Shard

__all__ = ["AnsweredRow", "answered_rows", "blank_rows"]

AnsweredRow = tuple[Any, tuple[Any, ...]]
"""An original row, with a value for each added column; no values for a row without text."""


def blank_rows(shard: Shard) -> Iterator[int]:
    """Yield the numbers of the rows without text, which get no prediction."""
    return (row["row"] for row in shard.refused() if kind_of(row["reason"]) == EMPTY)


def answered_rows(original: Original, parts: Iterable[str], blanks: Iterator[int]) -> Iterator[AnsweredRow]:
    """Yield the rows of the output: rows with predictions and, in between, the ``blanks``."""
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
    """Yield number and values of the rows with predictions, in order."""
    for part in parts:
        table = pq.read_table(part)
        yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
