"""Writers of output tables in csv, tsv, jsonl or parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.json_text import add_members
from react_ray.data.originals import (
    ADDED,
    MAX_KEYS,
    Original,
    arrow_type,
    common_kind,
    unique_names,
)
from react_ray.data.parquet_rows import python_values
from react_ray.data.values import as_text
from react_ray.errors import InputError
from react_ray.folders import replace_file

__all__ = ["ENDINGS", "Output", "OutputColumns", "checked_target", "open_output", "write_table"]

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
GROUP_BYTES = 1 << 26
"""Size of a row group of the output before compression: readers load one at a time."""
TABLE_ROWS, TABLE_CHARS = 1024, 1 << 24
"""Rows that become an Arrow table together."""
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?%?")


def checked_target(target: str | Path) -> Path:
    """Return the absolute path of the output; InputError if it cannot be written."""
    if re.match(r"[\w.+-]{2,}:/", str(target)):  # a Path has lost one of the two slashes
        raise InputError(
            f"--output {target}: the output is a file on a file system; "
            "give a path on this machine, or one that is mounted on it (only the input may be remote)"
        )
    path = Path(target).expanduser().absolute()
    if path.suffix not in ENDINGS:
        raise InputError(f"--output {target}: unknown file extension; expected one of {', '.join(ENDINGS)}")
    return path


class OutputColumns:
    """Union of the columns of all input files, in the order of their first occurrence.

    A column is identified by its name and, since a file may repeat a name, by the number of earlier columns
    with that name.
    """

    def __init__(self, originals: Iterable[Original]):
        self.kinds: dict[tuple[str, int], str | pa.DataType] = {}
        for original in originals:
            for key, kind in zip(_keys(original.columns), original.kinds, strict=True):
                earlier = self.kinds.get(key, kind)
                self.kinds[key] = kind if earlier is kind else common_kind(earlier, kind)
        self._places = {key: place for place, key in enumerate(self.kinds)}

    def check_width(self, target: Path, source: str) -> None:
        """Raise InputError if the input has more keys than a table may have columns."""
        if len(self.kinds) > MAX_KEYS and target.suffix not in (".jsonl", ".ndjson"):
            raise InputError(
                f"{source}: the rows have more than {MAX_KEYS:,} different keys, too many for the columns "
                "of a table; give an --output that ends with .jsonl"
            )

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [name for name, _ in self.kinds]

    def places(self, original: Original) -> list[int]:
        """Return the index of each column of a file in the output."""
        return [self._places[key] for key in _keys(original.columns)]


def _keys(columns: Sequence[str]) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    keys = []
    for name in columns:
        keys.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return keys


class Output(Protocol):
    """Writer of output rows, one input file after another."""

    def begin(self, original: Original) -> None:
        """Start with the rows of another input file."""

    def add(self, raw: Any, *values: Any) -> None:
        """Write a row with a value for each added column; without values they are empty."""

    def close(self) -> None:
        """Write buffered rows."""


def open_output(
    path: Path, target: Path, layout: OutputColumns, guard: bool = False, added: Sequence[pa.Field] = ADDED
) -> Output:
    """Open a writer to ``path`` in the format of ``target``, with the columns ``added``.

    ``guard`` escapes cells that a spreadsheet would run as formulas. Lists and structs become JSON in csv.
    """
    if target.suffix == ".parquet":
        return _ParquetOutput(path, layout, added)
    if target.suffix in (".jsonl", ".ndjson"):
        return _JsonOutput(path, added)
    return _CsvOutput(path, layout, target.suffix == ".tsv", guard, added)


class _CsvOutput:
    def __init__(self, path: Path, layout: OutputColumns, tabs: bool, guard: bool, added: Sequence[pa.Field]):
        self._layout, self._added = layout, len(added)
        self._cells = _CellWriter(path, tabs, guard)
        self._cells.write([*layout.names, *(field.name for field in added)])

    def begin(self, original: Original) -> None:
        self._original = original
        places = self._layout.places(original)
        self._places = None if places == list(range(len(self._layout.names))) else places

    def add(self, raw: Any, *values: Any) -> None:
        cells = self._original.texts(raw)
        if self._places is not None:
            row = [""] * len(self._layout.names)
            for place, cell in zip(self._places, cells, strict=True):
                row[place] = cell
            cells = row
        self._cells.write([*cells, *map(as_text, values or [None] * self._added)])

    def close(self) -> None:
        self._cells.close()


class _CellWriter:
    """Writer of a csv or tsv file."""

    def __init__(self, path: Path, tabs: bool, guard: bool):
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._tabs, self._guard = tabs, guard

    def write(self, cells: Sequence[str]) -> None:
        if self._guard:
            cells = [guarded(cell) for cell in cells]
        if self._tabs:  # as they are read: a quote is a character, and a cell has no tabs or line ends
            self._file.write("\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n")
        else:
            self._writer.writerow(cells)

    def close(self) -> None:
        self._file.close()


def guarded(cell: str) -> str:
    """Prefix a cell that a spreadsheet would run as a formula with an apostrophe; numbers stay."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


class _JsonOutput:
    def __init__(self, path: Path, added: Sequence[pa.Field]):
        self._added = added
        self._file = path.open("w", encoding="utf-8")

    def begin(self, original: Original) -> None:
        self._original = original

    def add(self, raw: Any, *values: Any) -> None:
        names = [field.name for field in self._added]
        added = dict(zip(names, values or [None] * len(names), strict=True))
        self._file.write(add_members(self._original.json(raw), added) + "\n")

    def close(self) -> None:
        self._file.close()


class _ParquetOutput:
    def __init__(self, path: Path, layout: OutputColumns, added: Sequence[pa.Field]):
        self._layout, self._added = layout, added
        names = unique_names([*layout.names, *(field.name for field in added)])
        types = [*map(arrow_type, layout.kinds.values()), *(field.type for field in added)]
        self._schema = pa.schema(list(zip(names, types, strict=True)))
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[tuple[Any, ...]] = []
        self._chars = 0
        self._tables: list[pa.Table] = []

    def begin(self, original: Original) -> None:
        self._make_table()
        self._original = original

    def add(self, raw: Any, *values: Any) -> None:
        self._rows.append((raw, *(values or [None] * len(self._added))))
        self._chars += self._original.size(raw)
        if len(self._rows) == TABLE_ROWS or self._chars > TABLE_CHARS:
            self._make_table()

    def _make_table(self) -> None:
        if not self._rows:
            return
        raw_rows, *values = zip(*self._rows, strict=True)
        self._rows, self._chars = [], 0
        table = self._original.table(raw_rows)
        columns = [pa.nulls(len(raw_rows), field.type) for field in self._schema]
        for place, column in zip(self._layout.places(self._original), table.columns, strict=True):
            columns[place] = _in_type(column, self._schema.field(place).type)
        columns[-len(values) :] = [
            pa.array(column_values, field.type)
            for column_values, field in zip(values, self._added, strict=True)
        ]
        self._tables.append(pa.Table.from_arrays(columns, schema=self._schema))
        if sum(table.nbytes for table in self._tables) >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables = []

    def close(self) -> None:
        self._make_table()
        self._write()
        self._writer.close()


def _in_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """Cast a column to ``kind``; numbers and nested values are formatted where ``kind`` is text."""
    if column.type == kind:
        return column
    value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    strings = pa.types.is_string(value_type) or pa.types.is_large_string(value_type)
    if pa.types.is_string(kind) and not strings:
        values = (value for chunk in column.chunks for value in python_values(chunk))
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())
    return column.cast(kind)


def write_table(table: pa.Table, target: Path, guard: bool = False) -> None:
    """Write a small table to ``target`` atomically, in the format of its extension."""
    rows = table.to_pylist()

    def write(temporary: Path) -> None:
        if target.suffix == ".parquet":
            pq.write_table(table, temporary)
        elif target.suffix in (".jsonl", ".ndjson"):
            temporary.write_text("".join(add_members("{}", row) + "\n" for row in rows), encoding="utf-8")
        else:
            with closing(_CellWriter(temporary, target.suffix == ".tsv", guard)) as cells:
                cells.write(table.column_names)
                for row in rows:
                    cells.write([as_text(value) for value in row.values()])

    replace_file(target, write)
