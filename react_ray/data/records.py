"""Reader of files of any format, used by every command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from react_ray.data.conll import ConllRows
from react_ray.data.delimited import DelimitedRows
from react_ray.data.json_array import JsonArrayRows, is_array
from react_ray.data.json_lines import JsonRows
from react_ray.data.nested_questions import NestedQuestions, is_nested
from react_ray.data.parquet_rows import ParquetRows
from react_ray.data.published import check_layout
from react_ray.data.row import Broken, ColumnSelection, Record
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["Rows"]


Format = DelimitedRows | JsonRows | ConllRows | ParquetRows
READERS: dict[str, Callable[[Source, ColumnSelection], Format]] = {
    "csv": DelimitedRows,
    "jsonl": JsonRows,
    "conll": ConllRows,
}


class Rows:
    """Iterator over the rows of a file: number, selected cells, original row.

    Cells are those of the columns in ``selection`` that the file has (in jsonl and json: that the row has),
    by their names in the file; cells of csv are strings, others keep their types. A row that cannot be used
    is yielded as :class:`Broken`, and so is an empty file, as row 0. The type of the original row depends on
    the format; for parquet files it has all columns only with ``all_columns``.

    Memory is bounded for every file: rows that are too long are yielded as Broken. After iteration ``notes``
    describes how the file was read, where that is not obvious. Raises InputError when a required column is
    missing or duplicated, or the file as a whole cannot be read.
    """

    def __init__(self, source: Source, selection: ColumnSelection, *, all_columns: bool = False):
        self.source = source
        self._rows = 0
        with self._reading():
            self.format: Format = _open(source, selection, all_columns)

    def __iter__(self) -> Iterator[Record]:
        with self._reading():
            for record in self.format:
                self._rows += 1
                yield record
        if not self._rows:
            yield 0, Broken("empty file: it holds no rows", ""), None

    @property
    def notes(self) -> list[str]:
        """Notes on how the file was read, complete after iteration."""
        return self.format.notes

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{self.source.path} is damaged after {self._rows:,} rows: {reason}; write the file again"
            ) from None


def _open(source: Source, selection: ColumnSelection, all_columns: bool) -> Format:
    if source.kind == "parquet":
        return ParquetRows(source, selection, all_columns=all_columns)
    if source.kind == "json" and is_nested(source):
        return NestedQuestions(source, selection)
    if source.kind == "json":
        check_layout(source)
        return JsonArrayRows(source, selection) if is_array(source) else JsonRows(source, selection)
    return READERS[source.kind](source, selection)
