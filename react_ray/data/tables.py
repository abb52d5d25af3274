"""Whole tables in and out: every column as it is, in csv, jsonl or parquet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.records import Broken, read_records, refuse_doubled, require
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["ENDINGS", "checked_target", "common_schema", "read_whole", "widen", "write_tables"]

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
GROUP_BYTES = 1 << 26
"""Of a row group of the output, before compression: readers take one at a time."""
BAD_ENCODING = "bad encoding: bytes that are not UTF-8"

Refuse = Callable[[int, str, str], None]
"""Called with the number of a row (0: the file as a whole), why it is refused, and what stands there."""


def read_whole(source: Source, text: str, rows: int, refuse: Refuse) -> Iterator[pa.Table]:
    """Tables of at most ``rows`` rows with all columns of the file, in order.

    ``text`` is a column it must have. csv cells are strings; jsonl values keep their types. A row
    that cannot be read is given to ``refuse`` and the next ones follow. Raises InputError where the
    file as a whole cannot be used.
    """
    if source.kind == "parquet":
        yield from _parquet_tables(source, text, rows, refuse)
        return
    batch: list[tuple[int, dict[str, Any]]] = []
    for number, cells in read_records(source, [text], None):
        if isinstance(cells, Broken):
            refuse(number, cells.reason, cells.text)
        else:
            batch.append((number, cells))
        if len(batch) == rows:
            yield from _as_table(batch, source, refuse)
            batch = []
    yield from _as_table(batch, source, refuse)


def _parquet_tables(source: Source, text: str, rows: int, refuse: Refuse) -> Iterator[pa.Table]:
    done = 0
    try:
        with source.open() as file:
            parquet = pq.ParquetFile(file)
            refuse_doubled(parquet.schema_arrow.names, source)
            require([text], parquet.schema_arrow.names, source)
            for part in parquet.iter_batches(rows):
                yield _legible(pa.Table.from_batches([part]), text, done, refuse)
                done += len(part)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{source.path} is damaged after {done:,} rows: {reason}; make the file again"
        ) from None
    if not done:
        refuse(0, "empty file: it holds no rows", "")


def _legible(table: pa.Table, text: str, done: int, refuse: Refuse) -> pa.Table:
    """The rows whose strings are UTF-8: a parquet file need not see to it. Bytes become a string."""
    place = table.column_names.index(text)
    if pa.types.is_binary(table[text].type) or pa.types.is_large_binary(table[text].type):
        table = table.set_column(place, text, _as_strings(table[text]))
    try:
        table.validate(full=True)
        return table
    except pa.ArrowInvalid:
        bad = np.zeros(len(table), bool)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            cells = _as_bytes(column).to_pylist()
            bad |= [cell is not None and _broken(cell) for cell in cells]
    texts = _as_bytes(table[text]).to_pylist() if bad.any() else []
    for row in np.flatnonzero(bad).tolist():
        refuse(done + row + 1, BAD_ENCODING, (texts[row] or b"").decode("utf-8", "backslashreplace"))
    return table.filter(pa.array(~bad))


def _as_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same bytes as strings, unchecked."""
    arrays = [chunk.cast(pa.large_binary()).view(pa.large_string()) for chunk in column.chunks]
    return pa.chunked_array(arrays, pa.large_string())


def _as_bytes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.large_binary())


def _broken(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return True
    return False


def common_schema(parts: Iterable[tuple[Path, str]]) -> pa.Schema:
    """The columns of all parquet ``parts``, each with a type that holds what every part has.

    A part comes with the file it is from. Raises InputError that names column and file
    where there is no such type (numbers beside text).
    """
    types: dict[str, pa.DataType] = {}
    for part, file in parts:
        for field in pq.read_schema(part):
            types[field.name] = _wider(types.get(field.name, field.type), field, file)
    return pa.schema(list(types.items()))


def _wider(known: pa.DataType, field: pa.Field, file: str) -> pa.DataType:
    schemas = [pa.schema([(field.name, known)]), pa.schema([field])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        raise _unlike(field.name, file, f"{known} in earlier rows, {field.type} in later ones") from None


def widen(table: pa.Table, schema: pa.Schema, file: str) -> pa.Table:
    """The table in ``schema``, with columns that only other parts have, empty here.

    Raises InputError that names column and file where a value would change: a whole
    number too large to stand beside fractions.
    """
    columns = []
    for field in schema:
        there = field.name in table.column_names
        column = table[field.name] if there else pa.nulls(table.num_rows, field.type)
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise _unlike(field.name, file, str(error)) from None
    return pa.table(columns, schema=schema)


def _unlike(column: str, file: str, reason: str) -> InputError:
    return InputError(
        f"{file}: the values of {column!r} do not fit into one column ({reason}); "
        'write all of them as the same kind, for example as text in quotes ("7")'
    )


def checked_target(target: str | Path) -> Path:
    """Where the output goes, as a whole path; InputError when nothing can be written there."""
    if re.match(r"[\w.+-]{2,}:/", str(target)):  # a Path has lost one of the two slashes
        raise InputError(
            f"--output {target}: the output is a file on a file system; "
            "give a path on this machine, or one that is mounted on it (only the input may be remote)"
        )
    path = Path(target).expanduser().absolute()
    if path.suffix not in ENDINGS:
        raise InputError(f"--output {target}: unknown ending; expected one of {', '.join(ENDINGS)}")
    return path


def write_tables(parts: Sequence[Path], target: Path) -> None:
    """Join parquet ``parts`` of one schema into ``target`` in the format of its ending, in one step."""
    half = target.with_name(target.name + ".half")
    schema = pq.read_schema(parts[0])
    tables = (pq.read_table(part) for part in parts)
    if target.suffix == ".parquet":
        with pq.ParquetWriter(half, schema) as writer:
            for table in _together(tables):
                writer.write_table(table)
    elif target.suffix in (".jsonl", ".ndjson"):
        with half.open("w", encoding="utf-8") as file:
            for table in tables:
                for row in table.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    else:
        with half.open("w", encoding="utf-8", newline="") as file:
            writer_csv = csv.writer(file, delimiter="\t" if target.suffix == ".tsv" else ",")
            writer_csv.writerow(schema.names)
            for table in tables:
                writer_csv.writerows(row.values() for row in table.to_pylist())
    half.replace(target)


def _together(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of a size that suits a row group."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(one.nbytes for one in some) >= GROUP_BYTES:
            yield pa.concat_tables(some)
            some = []
    if some:
        yield pa.concat_tables(some)


def _as_table(batch: list[tuple[int, dict[str, Any]]], source: Source, refuse: Refuse) -> Iterator[pa.Table]:
    """The rows as a table, if there are any; those with text that is not UTF-8 are refused."""
    try:
        yield from _table([cells for _, cells in batch], source)
    except UnicodeEncodeError:
        good = []
        for number, cells in batch:
            try:
                json.dumps(cells, ensure_ascii=False, default=str).encode()
                good.append(cells)
            except UnicodeEncodeError:
                shown = json.dumps(cells, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")
                refuse(number, BAD_ENCODING, shown.decode())
        yield from _table(good, source)


def _table(records: list[dict[str, Any]], source: Source) -> list[pa.Table]:
    columns = dict.fromkeys(key for record in records for key in record)
    found = {name: _as_array(name, records, source) for name in columns}
    return [pa.table(found)] if records else []


def _as_array(name: str, records: list[dict[str, Any]], source: Source) -> pa.Array:
    try:
        return pa.array([record.get(name) for record in records])
    except (pa.ArrowException, OverflowError) as error:
        raise _unlike(name, source.path, str(error)) from None
