"""Original rows of input files, converted to an output format.

Each input format has a class. ``texts`` returns a row as cells of a csv file, ``json`` as a JSON object,
``table`` some rows as an Arrow table. Input columns with the name of an added column (such as label and
score) are renamed.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from react_ray.data.conll import ConllRows, Sentence
from react_ray.data.delimited import DelimitedRows
from react_ray.data.json_lines import JsonRows
from react_ray.data.json_text import members, rename_keys
from react_ray.data.parquet_rows import ParquetBatch
from react_ray.data.records import Rows
from react_ray.data.row import ColumnSelection
from react_ray.data.sources import Source
from react_ray.data.values import as_json, as_text
from react_ray.errors import InputError

__all__ = [
    "ADDED",
    "MAX_KEYS",
    "Original",
    "arrow_type",
    "column_kinds",
    "common_kind",
    "original_of",
    "unique_names",
]

ADDED = (pa.field("label", pa.string()), pa.field("score", pa.float64()))
"""Columns that are added to the rows, unless others are named."""
MAX_KEYS = 10_000
"""Different keys in a jsonl file that can become columns of a table."""
WHOLE_IN_FLOAT = 2**53
SCALARS: dict[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),  # too large to stand beside fractions
    "float": pa.float64(),
    "text": pa.string(),
    "json": pa.string(),
}


def kept_name(column: str, added: Sequence[pa.Field] = ADDED) -> str:
    """Return the output name of an input column."""
    return f"{column}_given" if any(column == field.name for field in added) else column


def column_kinds(
    source: Source, selection: ColumnSelection, added: Sequence[pa.Field] = ADDED
) -> dict[str, str]:
    """Return the keys of all rows of a jsonl or json file, in order, and the common kind of their values.

    Empty for other formats, which have a header or schema. Raises InputError where two columns would have
    the same name in the output.
    """
    rows = Rows(source, selection)
    kinds: dict[str, str] = {}
    if isinstance(rows.format, JsonRows):
        for _, _, line in rows:
            if line is None or len(kinds) > MAX_KEYS:
                continue
            for key, value in json.loads(line).items():
                kinds[key] = _wider(kinds.get(key, "null"), _kind(value))
    columns = list(kinds) if isinstance(rows.format, JsonRows) else rows.format.columns
    for field in added:
        name, renamed = field.name, kept_name(field.name, added)
        if name in columns and renamed in columns:
            raise InputError(
                f"{source.path} has both {name!r} and {renamed!r}, the name under which the first is kept; "
                "rename one of them"
            )
    return kinds


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if abs(value) <= WHOLE_IN_FLOAT else "long" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, list):
        kind = "null"
        for element in value:
            kind = _wider(kind, _kind(element))
        return "json" if kind == "json" or kind.startswith("list ") else f"list {kind}"
    return {type(None): "null", float: "float", str: "text"}.get(type(value), "json")


def _wider(left: str, right: str) -> str:
    """Return the kind of a column with values of both kinds; "json" stands for strings or JSON as text."""
    if left == right or right == "null":
        return left
    if left == "null":
        return right
    if left.startswith("list ") and right.startswith("list "):
        kind = _wider(left[5:], right[5:])
        return "json" if kind == "json" else f"list {kind}"
    pair = {left, right}
    return "long" if pair == {"int", "long"} else "float" if pair == {"int", "float"} else "json"


def common_kind(left: str | pa.DataType, right: str | pa.DataType) -> str | pa.DataType:
    """Return the kind that represents both kinds without loss; text as a last resort."""
    if isinstance(left, str) and isinstance(right, str):
        return _wider(left, right)
    if "int" in (left, right) and any(kind == pa.float64() for kind in (left, right)):
        return pa.float64()
    first, second = (_without_dictionary(arrow_type(kind)) for kind in (left, right))
    if arrow_type(left) == arrow_type(right) or pa.types.is_null(second):
        return arrow_type(left)
    if pa.types.is_null(first):
        return arrow_type(right)
    return first if first == second else _common_type(first, second)


def _common_type(left: pa.DataType, right: pa.DataType) -> str | pa.DataType:
    types = pa.types
    if all(types.is_string(kind) or types.is_large_string(kind) for kind in (left, right)):
        return pa.large_string()
    if all(types.is_binary(kind) or types.is_large_binary(kind) for kind in (left, right)):
        return pa.large_binary()
    integers = [types.is_integer(kind) for kind in (left, right)]
    unsigned = any(types.is_uint64(kind) for kind in (left, right))
    if all(integers) and not unsigned:
        return pa.int64()
    small = [types.is_integer(kind) and kind.bit_width <= 32 for kind in (left, right)]
    if all(types.is_floating(kind) or fits for kind, fits in zip((left, right), small, strict=True)):
        return pa.float64()
    return "json"


def _without_dictionary(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def arrow_type(kind: str | pa.DataType) -> pa.DataType:
    """Return the Arrow type of a kind."""
    if not isinstance(kind, str):
        return kind
    return pa.list_(SCALARS[kind[5:]]) if kind.startswith("list ") else SCALARS[kind]


class Original(ABC):
    """Rows of one input file; ``columns`` are their names in the output, in order."""

    columns: Sequence[str]
    kinds: Sequence[str | pa.DataType]
    """Kinds of the columns: types of Arrow, or kinds of :func:`column_kinds`."""

    def __init__(self, rows: Rows, added: Sequence[pa.Field]):
        self.rows = rows
        self._added = added

    def _output_names(self, names: Iterable[str]) -> list[str]:
        """Return the output names of input columns."""
        return [kept_name(name, self._added) for name in names]

    @abstractmethod
    def texts(self, raw: Any) -> list[str]:
        """Return the cells of a row as strings."""

    @abstractmethod
    def json(self, raw: Any) -> str:
        """Return a row as a JSON object."""

    @abstractmethod
    def table(self, raw_rows: Sequence[Any]) -> pa.Table:
        """Return some rows as an Arrow table."""

    @abstractmethod
    def size(self, raw: Any) -> int:
        """Estimate the size of a row, in characters or bytes."""


class _Csv(Original):
    def __init__(self, rows: Rows, added: Sequence[pa.Field]):
        super().__init__(rows, added)
        self.columns = self._output_names(rows.format.columns)  # type: ignore[union-attr]
        self.kinds = ["text"] * len(self.columns)
        self._keys = unique_names(self.columns)

    def texts(self, raw: list[str]) -> list[str]:
        return raw

    def json(self, raw: list[str]) -> str:
        return json.dumps(dict(zip(self._keys, raw, strict=True)), ensure_ascii=False)

    def table(self, raw_rows: Sequence[list[str]]) -> pa.Table:
        arrays = [pa.array(column, pa.string()) for column in zip(*raw_rows, strict=True)]
        return pa.Table.from_arrays(arrays, names=list(self.columns))

    def size(self, raw: list[str]) -> int:
        return sum(map(len, raw))


class _Json(Original):
    def __init__(self, rows: Rows, kinds: Mapping[str, str], added: Sequence[pa.Field]):
        super().__init__(rows, added)
        self._kinds = kinds
        self.columns = self._output_names(kinds)
        self.kinds = list(kinds.values())
        names = [field.name for field in added if field.name in kinds or len(kinds) > MAX_KEYS]
        self._renamed = dict(zip(names, self._output_names(names), strict=True))

    def texts(self, raw: str) -> list[str]:
        cells = {m.key: _json_cell(m.value, raw[m.value_start : m.value_end]) for m in members(raw)}
        return [cells.get(name, "") for name in self._kinds]

    def json(self, raw: str) -> str:
        return rename_keys(raw, self._renamed) if self._renamed else raw

    def table(self, raw_rows: Sequence[str]) -> pa.Table:
        rows = [json.loads(line) for line in raw_rows]
        arrays = [_array([row.get(name) for row in rows], kind) for name, kind in self._kinds.items()]
        return pa.Table.from_arrays(arrays, names=list(self.columns))

    def size(self, raw: str) -> int:
        return len(raw)


class _Parquet(Original):
    def __init__(self, rows: Rows, added: Sequence[pa.Field]):
        super().__init__(rows, added)
        schema: pa.Schema = rows.format.schema  # type: ignore[union-attr]
        self.columns = self._output_names(schema.names)
        self.kinds = schema.types
        self._keys = unique_names(self.columns)

    def texts(self, raw: tuple[ParquetBatch, int]) -> list[str]:
        batch, place = raw
        return [as_text(value) for value in batch.values[place]]

    def json(self, raw: tuple[ParquetBatch, int]) -> str:
        batch, place = raw
        row = {key: as_json(value) for key, value in zip(self._keys, batch.values[place], strict=True)}
        return json.dumps(row, ensure_ascii=False)

    def table(self, raw_rows: Sequence[tuple[ParquetBatch, int]]) -> pa.Table:
        parts = []
        runs = groupby(enumerate(raw_rows), key=lambda row: (id(row[1][0]), row[1][1] - row[0]))
        for _, run in runs:  # rows that lie side by side
            (_, (batch, start)), *others = run
            parts.append(batch.arrow.slice(start, 1 + len(others)))
        return pa.Table.from_batches(parts).rename_columns(list(self.columns))

    def size(self, raw: tuple[ParquetBatch, int]) -> int:
        return raw[0].row_bytes


class _Conll(Original):
    def __init__(self, rows: Rows, added: Sequence[pa.Field]):
        super().__init__(rows, added)
        self._names = rows.format.columns  # type: ignore[union-attr]
        self.columns = self._output_names(self._names)
        self.kinds = ["list text"] * len(self.columns)

    def texts(self, raw: Sentence) -> list[str]:
        return [as_text(values or []) for values in self._values(raw)]

    def json(self, raw: Sentence) -> str:
        return json.dumps(dict(zip(self.columns, self._values(raw), strict=True)), ensure_ascii=False)

    def table(self, raw_rows: Sequence[Sentence]) -> pa.Table:
        columns = zip(*map(self._values, raw_rows), strict=True)
        arrays = [pa.array(column, arrow_type("list text")) for column in columns]
        return pa.Table.from_arrays(arrays, names=list(self.columns))

    def size(self, raw: Sentence) -> int:
        return sum(map(len, raw.tokens))

    def _values(self, raw: Sentence) -> list[list[str] | None]:
        return [raw.tokens, raw.tags][: len(self._names)]


def original_of(
    source: Source, selection: ColumnSelection, kinds: Mapping[str, str], added: Sequence[pa.Field] = ADDED
) -> Original:
    """Open a file to read its original rows; ``kinds`` are those of :func:`column_kinds`.

    Columns with the name of an ``added`` column are renamed.
    """
    rows = Rows(source, selection, all_columns=True)
    if isinstance(rows.format, DelimitedRows):
        return _Csv(rows, added)
    if isinstance(rows.format, ConllRows):
        return _Conll(rows, added)
    return _Json(rows, kinds, added) if isinstance(rows.format, JsonRows) else _Parquet(rows, added)


def unique_names(names: Sequence[str]) -> list[str]:
    """Make names unique: the second "a" becomes "a_2", a third column without a name "column_3"."""
    taken, unique = set(names), []
    seen: Counter[str] = Counter()
    for place, name in enumerate(names, start=1):
        seen[name] += 1
        key = name if name and seen[name] == 1 else f"{name}_{seen[name]}" if name else f"column_{place}"
        while key in taken and (key != name or seen[name] > 1):
            key += "_"
        taken.add(key)
        unique.append(key)
    return unique


def _json_cell(value: Any, raw: str) -> str:
    """Convert the value of a JSON object to a cell: strings unchanged, anything else as JSON."""
    return "" if value is None else _whole_characters(value) if isinstance(value, str) else raw


def _array(values: list[Any], kind: str) -> pa.Array:
    if kind in ("text", "json"):
        values = [None if value is None else _whole_characters(as_text(value)) for value in values]
    try:
        return pa.array(values, arrow_type(kind))
    except UnicodeEncodeError:  # in a list
        return pa.array([value and [item and _whole_characters(item) for item in value] for value in values])


def _whole_characters(text: str) -> str:
    """Remove unpaired surrogates, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
