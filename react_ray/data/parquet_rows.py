"""Rows of parquet files, in batches of bounded size whatever the file declares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.data.lines import LINE_BYTES
from react_ray.data.pages import ChunkPages, read_pages
from react_ray.data.row import Broken, ColumnSelection, Record
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["ParquetBatch", "ParquetRows", "python_values"]

BATCH_ROWS = 2048
BATCH_BYTES = 1 << 25
"""Approximate size of a batch in memory."""
PAGE_BYTES, LIST_VALUES = 1 << 27, 1 << 23
"""A page that declares more is not read: writers make pages of a megabyte."""
MAX_COLUMNS = 100_000
FREE_ROWS, ROWS_PER_BYTE = 1_000_000, 1000
"""No file that was not made to exhaust a reader has more rows than this in each of its bytes."""
BYTES, FIXED = "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"
PLAIN_OR_DICTIONARY = {"PLAIN", "RLE", "BIT_PACKED", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}


class ParquetBatch:
    """Some rows of a parquet file; the original row is a batch and an index into it."""

    def __init__(self, arrow: pa.RecordBatch):
        self.arrow = arrow
        self.row_bytes = arrow.nbytes // max(arrow.num_rows, 1)

    @cached_property
    def values(self) -> list[tuple[Any, ...]]:
        """Rows as Python values; invalid UTF-8 in strings is replaced, and bytes stay bytes."""
        return list(zip(*map(python_values, self.arrow.columns), strict=True))


class ParquetRows:
    """Iterator over the rows of a parquet file; reads only the required columns unless ``all_columns``.

    Integer columns with ``ClassLabel`` metadata of Hugging Face's ``datasets`` are converted to the class
    names.
    """

    def __init__(self, source: Source, selection: ColumnSelection, *, all_columns: bool = False):
        self.source = source
        self.notes: list[str] = []
        self._stream = source.open()
        self._file = pq.ParquetFile(self._stream)
        self.schema: pa.Schema = self._file.schema_arrow
        self.columns: list[str] = self.schema.names
        self._check_size()
        selection.require(self.columns, source)
        self._selected = [name for name in selection.names if name in self.columns]
        self._read = self.columns if all_columns else self._selected
        self._names = {name: names for name in selection.coded if (names := _class_names(self.schema, name))}

    def _check_size(self) -> None:
        rows, size = self._file.metadata.num_rows, self.source.size()
        if rows > FREE_ROWS + ROWS_PER_BYTE * size:
            raise InputError(
                f"{self.source.path} declares {rows:,} rows in {size:,} bytes: it is damaged, or made to "
                "exhaust the memory of its reader; write the file again"
            )
        if len(self.columns) > MAX_COLUMNS:
            raise InputError(
                f"{self.source.path} has {len(self.columns):,} columns, at most {MAX_COLUMNS:,} are read; "
                "keep those that are needed"
            )

    def __iter__(self) -> Iterator[Record]:
        number = 0
        schema = pa.schema([field for field in self.schema if field.name in self._read])
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if not rows:
                continue
            try:
                batches = self._batches(group)
            except _TooLargeError as error:
                yield from ((number + row, Broken(str(error), ""), None) for row in range(1, rows + 1))
                number += rows
                continue
            for batch in batches:
                if batch.num_rows == 1 and _bytes_of(batch) > LINE_BYTES:
                    number += 1
                    yield number, Broken(f"too long: a row of more than {LINE_BYTES:,} bytes", ""), None
                    continue
                yield from self._records(_in_types(batch, schema), number)
                number += batch.num_rows

    def _batches(self, group: int) -> Iterator[pa.RecordBatch]:
        """Iterate over small batches of a row group; raise _TooLargeError before memory is allocated."""
        plan = _Plan(self._file, group, self._read)
        plan.choose_batch_size(self._stream, 1 << 20 if self.source.root else 1 << 13)
        file = self._file
        if as_dictionary := plan.needs_dictionaries(self._stream):
            file = pq.ParquetFile(self._stream, metadata=file.metadata, read_dictionary=as_dictionary)
        batches = file.iter_batches(plan.rows, row_groups=[group], columns=self._read)
        return (part for batch in batches for part in _in_parts(batch))

    def _records(self, batch: pa.RecordBatch, before: int) -> Iterator[Record]:
        columns = [batch.column(batch.schema.names.index(name)) for name in self._selected]
        converted = [_as_values(column, "surrogateescape") for column in columns]
        raw = ParquetBatch(batch)
        for place, values in enumerate(zip(*converted, strict=True)):
            cells = dict(zip(self._selected, values, strict=True))
            yield before + place + 1, self._named(cells) if self._names else cells, (raw, place)

    def _named(self, cells: dict[str, Any]) -> dict[str, Any] | Broken:
        """Replace class indices with class names; -1 stands for no class."""
        named = dict(cells)
        for column, names in self._names.items():
            value = cells.get(column)
            numbers: list[Any] = value if isinstance(value, list) else [value]
            if any(not isinstance(number, int) or isinstance(number, bool) for number in numbers):
                continue
            other = next((number for number in numbers if not -1 <= number < len(names)), None)
            if other is not None:
                reason = (
                    f"not a label: {other} is none of the {len(names)} classes that the file's metadata names"
                )
                return Broken(reason, "", {key: cell for key, cell in cells.items() if key != column})
            class_names = [names[number] for number in numbers if number != -1]
            named[column] = (
                class_names if isinstance(value, list) else class_names[0] if class_names else None
            )
        return named


class _TooLargeError(Exception):
    """A declared size exceeds the limit; the message is the reason."""


class _Plan:
    """Plan for reading a row group: its batch size, and the columns to keep dictionary-encoded."""

    def __init__(self, file: pq.ParquetFile, group: int, columns: Sequence[str]):
        self._file, self._group = file, group
        metadata = file.metadata.row_group(group)
        paths = set(columns)
        self._chunks = [
            (file.schema.column(index), metadata.column(index))
            for index in range(metadata.num_columns)
            if file.schema.column(index).path.partition(".")[0] in paths
            or file.schema.column(index).path in paths
        ]
        self._pages: list[ChunkPages] = []
        self.rows = BATCH_ROWS
        self._group_rows = metadata.num_rows

    def choose_batch_size(self, stream: pa.NativeFile, block: int) -> None:
        """Choose the batch size from the sizes that the page headers declare."""
        bytes_per_row = 1
        for leaf, chunk in self._chunks:
            try:
                pages = read_pages(stream, chunk, block)
            except ValueError as error:
                raise pa.ArrowInvalid(f"column {leaf.path!r}: {error}") from None
            self._pages.append(pages)
            if pages.page_bytes > PAGE_BYTES:
                raise _TooLargeError(
                    f"too long: column {leaf.path!r} has a page of {pages.page_bytes:,} bytes in these rows, "
                    f"at most {PAGE_BYTES:,} are read"
                )
            if leaf.max_repetition_level and pages.page_values > LIST_VALUES:
                raise _TooLargeError(
                    f"too long: column {leaf.path!r} has {pages.page_values:,} values in one page of lists, "
                    f"at most {LIST_VALUES:,} are read"
                )
            value_bytes = pages.value_bytes
            if leaf.physical_type == FIXED:
                value_bytes = leaf.length
            if not _is_plain(chunk):  # a value may repeat the start of another
                value_bytes = pages.page_bytes if leaf.physical_type == BYTES else value_bytes
            bytes_per_row += value_bytes * -(-chunk.num_values // max(self._group_rows, 1))
        self.rows = max(1, min(BATCH_ROWS, BATCH_BYTES // bytes_per_row))

    def needs_dictionaries(self, stream: pa.NativeFile) -> list[str]:
        """Return the columns to keep dictionary-encoded, because a long value may repeat in every row."""
        coded = [
            (leaf, pages)
            for (leaf, chunk), pages in zip(self._chunks, self._pages, strict=True)
            if leaf.physical_type == BYTES
            and pages.dictionary_bytes
            and set(chunk.encodings) <= PLAIN_OR_DICTIONARY
        ]
        rows = min(self.rows, self._group_rows)
        copies = [pages.page_values if leaf.max_repetition_level else rows for leaf, pages in coded]
        if (
            sum(n * pages.dictionary_bytes for n, (_, pages) in zip(copies, coded, strict=True))
            <= BATCH_BYTES
        ):
            return []
        paths = [leaf.path for leaf, _ in coded]
        longest = self._longest(stream, paths)
        worst = sum(n * longest[path] for n, path in zip(copies, paths, strict=True))
        return paths if worst > 4 * BATCH_BYTES else []

    def _longest(self, stream: pa.NativeFile, paths: Sequence[str]) -> dict[str, int]:
        """Return the length of the longest value in the dictionary of each column."""
        file = pq.ParquetFile(stream, metadata=self._file.metadata, read_dictionary=paths)
        longest = {}
        for path in paths:
            batch = next(file.iter_batches(1, row_groups=[self._group], columns=[path]))
            longest[path] = max(_longest_value(column) for column in batch.columns)
        return longest


def _is_plain(chunk: pq.ColumnChunkMetaData) -> bool:
    """Return whether every value is stored in full, not as a difference to another."""
    return set(chunk.encodings) <= PLAIN_OR_DICTIONARY


def _in_parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch until each part is small or a single row."""
    if batch.num_rows < 2 or _bytes_of(batch) <= BATCH_BYTES:
        if batch.num_rows:
            yield batch
        return
    middle = batch.num_rows // 2
    yield from _in_parts(batch.slice(0, middle))
    yield from _in_parts(batch.slice(middle))


def _bytes_of(batch: pa.RecordBatch) -> int:
    return sum(map(_size, batch.columns))


def _size(array: pa.Array) -> int:
    """Return the size in bytes without dictionary encoding."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if not _is_text(kind.value_type):
            return int(array.indices.nbytes)
        return int(pc.sum(pc.binary_length(_plain(array.dictionary)).take(array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(map(_size, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return 8 * len(array) + _size(array.flatten())
    return int(array.nbytes)


def _longest_value(array: pa.Array) -> int:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return int(pc.max(pc.binary_length(_plain(array.dictionary))).as_py() or 0)
    if pa.types.is_struct(kind):
        return max(map(_longest_value, array.flatten()), default=0)
    if hasattr(array, "values"):
        return _longest_value(array.values)
    return 0


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return bool(binary or types.is_fixed_size_binary(kind) or _is_string(kind))


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _plain(array: pa.Array) -> pa.Array:
    """Cast view types to types that have all compute kernels."""
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array.cast(pa.large_binary()) if pa.types.is_binary_view(array.type) else array


def _in_types(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Put columns, which come in the order they were asked for, into the order and the types of the file."""
    if batch.schema.equals(schema):
        return batch
    same = batch.schema.names == schema.names
    in_order = batch.columns if same else [batch.column(name) for name in schema.names]
    columns = []
    for column, field in zip(in_order, schema, strict=True):
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type):
            column = column.dictionary_decode()
        columns.append(column if column.type == field.type else column.cast(field.type, safe=False))
    return pa.record_batch(columns, schema=schema)


def _as_values(column: pa.Array, errors: str) -> list[Any]:
    """Convert a column to Python values; bytes are decoded as UTF-8 with ``errors``."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _is_text(column.type):
        return _legible(column)
    try:
        return _plain(column).cast(pa.large_string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        cells = _plain(column).cast(pa.large_binary()).to_pylist()
        return [None if cell is None else cell.decode("utf-8", errors) for cell in cells]


def python_values(column: pa.Array) -> list[Any]:
    """Convert a column to Python values; invalid UTF-8 in strings is replaced, and bytes stay bytes."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return _as_values(column, "replace") if _is_string(kind) else _legible(column)


def _legible(column: pa.Array) -> list[Any]:
    """Convert to Python values; cells without one, such as a date in the year 200,000, become text."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_words(scalar) for scalar in column]


def _words(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return None if pa.types.is_nested(scalar.type) else str(scalar)


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the class names that ``datasets`` stores for the numbers of a column, if any."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        while isinstance(feature, list) or "feature" in feature:
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
