"""The rows of a file as they stand there: one reader for every command and every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from react_ray.data.delimited import DelimitedRows
from react_ray.data.json_lines import JsonRows
from react_ray.data.parquet_rows import ParquetRows
from react_ray.data.row import Broken, Record
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["Rows"]


class Rows:
    """The rows of a file in order: number, needed cells, and the row as a whole.

    The needed cells are those of the ``required`` columns, then of the ``optional`` ones (None where a row
    has none); cells of csv are strings, others keep their types. A row that cannot be used comes as
    :class:`Broken`, and the next ones follow; so does an empty file, as row 0. What a row is as a
    whole depends on the format; the rows of parquet files have all columns with ``whole`` only.

    Memory is bounded for every file: what is too long is not read, and comes as Broken. ``notes`` says
    afterwards how the file was read, where that is not obvious. Raises InputError when a required
    column is missing or doubled, or the file as a whole cannot be read.
    """

    def __init__(
        self, source: Source, required: Sequence[str], optional: Sequence[str] = (), *, whole: bool = False
    ):
        self.source = source
        self._done = 0
        self.format: DelimitedRows | JsonRows | ParquetRows
        with self._reading():
            if source.kind == "csv":
                self.format = DelimitedRows(source, required, optional)
            elif source.kind == "jsonl":
                self.format = JsonRows(source, required, optional)
            else:
                self.format = ParquetRows(source, required, optional, whole=whole)

    def __iter__(self) -> Iterator[Record]:
        with self._reading():
            for record in self.format:
                self._done += 1
                yield record
        if not self._done:
            yield 0, Broken("empty file: it holds no rows", ""), None

    @property
    def notes(self) -> list[str]:
        """How the file was read, once all of it is."""
        return self.format.notes

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.source.path} is damaged after {self._done:,} rows: {reason}; make the file again"
            ) from None
