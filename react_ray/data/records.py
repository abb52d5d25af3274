"""Rows of one file as they stand there: csv, jsonl or parquet, a row at a time."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["Broken", "Record", "read_records", "refuse_doubled", "require"]

RECORD_CHARS = 1 << 26
"""A quote still open after so many characters was never meant to be closed."""
BATCH_ROWS = 2048


class Broken(NamedTuple):
    """A row that could not be taken apart, and why; ``text`` is what stands there."""

    reason: str
    text: str


Record = tuple[int, dict[str, Any] | Broken]
"""Number of the row (from 1; 0 stands for the whole file) and its cells."""


def read_records(
    source: Source, required: Sequence[str], optional: Collection[str] | None = ()
) -> Iterator[Record]:
    """Every row of ``source``, in order, with at least the ``required`` columns.

    ``optional`` are columns that are taken where they are there (None: all). csv cells are strings,
    others keep their types. A broken row is given as Broken and
    the next ones follow; so is an empty file, as row 0. Raises InputError when a
    required column is missing or doubled, or the file as a whole cannot be read.
    """
    read = {"csv": _csv_records, "jsonl": _json_records, "parquet": _parquet_records}[source.kind]
    rows = 0
    try:
        for record in read(source, required, None if optional is None else {*required, *optional}):
            rows += 1
            yield record
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{source.path} is damaged after {rows:,} rows: {reason}; make the file again"
        ) from None
    if not rows:
        yield 0, Broken("empty file: it holds no rows", "")


def _csv_records(source: Source, required: Sequence[str], wanted: Collection[str] | None) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    with source.open_text() as file:
        lines = _Lines(file)
        rows = csv.reader(lines, delimiter=source.delimiter, strict=True)
        header = _header(rows, source)
        if not header:
            return
        require(required, header, source)
        if wanted is None:
            refuse_doubled(header, source)
        places = {name: header.index(name) for name in wanted or header if name in header}
        number = 0
        while True:
            lines.forget()
            try:
                cells = next(rows, None)
            except csv.Error as error:
                number += 1
                yield number, Broken(f"broken quotes: {error}", lines.give_back())
                continue
            if cells is None:
                return
            if not cells:
                continue
            number += 1
            if len(cells) == len(header):
                yield number, {name: cells[place] for name, place in places.items()}
            else:
                reason = f"wrong number of fields: {len(cells)} under {len(header)} columns"
                yield number, Broken(reason, source.delimiter.join(cells))


def _header(rows: Iterator[list[str]], source: Source) -> list[str]:
    try:
        header = [name.strip() for name in next((row for row in rows if row), [])]
        "".join(header).encode()
    except csv.Error as error:
        raise InputError(f"{source.path}: the header has broken quotes ({error})") from None
    except UnicodeEncodeError:
        raise InputError(f"{source.path}: the header is not UTF-8; convert the file to UTF-8") from None
    return header


class _Lines:
    """Lines for the csv reader; those of the record at hand are kept.

    An open quote makes the reader swallow the rows behind it. They can be given back,
    so that only the row with the quote is lost.
    """

    def __init__(self, file: TextIO):
        self.file = file
        self.returned: deque[str] = deque()
        self.taken: list[str] = []
        self.size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.size > RECORD_CHARS:
            raise csv.Error(f"no end of a quote within {RECORD_CHARS:,} characters")
        line = self.returned.popleft() if self.returned else next(self.file)
        self.taken.append(line)
        self.size += len(line)
        return line

    def forget(self) -> None:
        self.taken.clear()
        self.size = 0

    def give_back(self) -> str:
        """Return all lines of the record but the first to the reader, and that one to the caller."""
        first, *others = self.taken
        self.returned.extendleft(reversed(others))
        return first.rstrip("\r\n")


def _json_records(
    source: Source, required: Sequence[str], wanted: Collection[str] | None
) -> Iterator[Record]:
    """Numbers are those of the lines. A column counts as there when one line has it."""
    seen: dict[str, None] = {}
    rows = 0
    with source.open_text() as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            record = _parse(line)
            if isinstance(record, dict):
                rows += 1
                seen.update(dict.fromkeys(record))
                record = {name: record.get(name) for name in wanted} if wanted else record
            yield number, record
    if rows:
        require(required, list(seen), source)


def _parse(line: str) -> dict[str, Any] | Broken:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Broken(f"not JSON: {error}", line.strip())
    if not isinstance(record, dict):
        return Broken("not a JSON object: expected columns as keys, {...}", line.strip())
    return record


def _parquet_records(
    source: Source, required: Sequence[str], wanted: Collection[str] | None
) -> Iterator[Record]:
    number = 0
    with source.open() as stream:
        file = pq.ParquetFile(stream)
        names = file.schema_arrow.names
        require(required, names, source)
        for batch in file.iter_batches(BATCH_ROWS, columns=[n for n in names if not wanted or n in wanted]):
            columns = [_values(column) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, dict(zip(batch.schema.names, cells, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """As Python values; strings are decoded one by one, since one of them may not be UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)):
        return column.to_pylist()
    cells = column.cast(pa.large_binary()).to_pylist()
    return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells]


def refuse_doubled(names: Sequence[str], source: Source) -> None:
    """Raise InputError where two columns have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{source.path} has {count} columns {name!r}; rename all but one")


def require(required: Sequence[str], there: Sequence[str], source: Source) -> None:
    """Raise InputError where a column that is needed is missing or doubled."""
    flags = ("--text-column", "--label-column")
    for name, flag in zip(required, flags, strict=False):
        refuse_doubled([column for column in there if column == name], source)
        if name not in there:
            shown = ", ".join(repr(column) for column in there[:20])
            raise InputError(f"{source.path} has no column {name!r} (it has: {shown}); name it with {flag}")
