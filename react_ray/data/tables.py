"""Whole tables in and out: every column as it is, in csv, jsonl or parquet."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.records import RECORD_CHARS
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["ENDINGS", "checked_target", "common_schema", "read_whole", "widen", "write_tables"]

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read_whole(source: Source, rows: int) -> Iterator[pa.Table]:
    """Tables of at most ``rows`` rows with all columns of the file, in order.

    csv cells are strings; jsonl values keep their types. Raises InputError that names
    the row where a file is broken: a row that cannot be read cannot be kept either.
    """
    done = 0
    try:
        for table in _tables(source, rows):
            yield table
            done += table.num_rows
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{source.path} is damaged after {done:,} rows: {reason}; make the file again"
        ) from None


def _tables(source: Source, rows: int) -> Iterator[pa.Table]:
    if source.kind == "parquet":
        with source.open() as file:
            parquet = pq.ParquetFile(file)
            _check_names(parquet.schema_arrow.names, source)
            for part in parquet.iter_batches(rows):
                yield pa.Table.from_batches([part])
        return
    records = _csv_records(source) if source.kind == "csv" else _json_records(source)
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(record)
        if len(batch) == rows:
            yield _as_table(batch, source)
            batch = []
    if batch:
        yield _as_table(batch, source)


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
            for table in tables:
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


def _csv_records(source: Source) -> Iterator[dict[str, Any]]:
    rows = _csv_rows(source)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise InputError(f"{source.path} is empty; expected a header line and rows")
    _check_names(header, source)
    for number, cells in enumerate(rows, start=1):
        if len(cells) != len(header):
            raise InputError(
                f"{source.path}, row {number}: {len(cells)} fields under {len(header)} columns; "
                'put text with commas in double quotes ("..."), and leave no field out'
            )
        yield dict(zip(header, cells, strict=True))


def _csv_rows(source: Source) -> Iterator[list[str]]:
    """The header, then the rows; blank lines are passed over, as ``run`` does."""
    csv.field_size_limit(RECORD_CHARS)
    number = 0
    with source.open_text() as file:
        try:
            for cells in csv.reader(file, delimiter=source.delimiter, strict=True):
                if not "".join(cells).isprintable() and _broken(cells):
                    raise InputError(
                        f"{_place(source, number)} is not UTF-8; convert the file (iconv -t utf-8)"
                    )
                if cells:
                    yield cells
                    number += 1
        except csv.Error as error:
            raise InputError(
                f"{_place(source, number)} has broken quotes ({error}); close each quote before the next "
                'delimiter, and write a quote inside of quoted text twice ("")'
            ) from None


def _place(source: Source, number: int) -> str:
    return f"{source.path}, row {number}" if number else f"{source.path}: the header"


def _check_names(names: Sequence[str], source: Source) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{source.path} has {count} columns {name!r}; rename all but one")


def _broken(cells: list[str]) -> bool:
    """Whether bytes that are not UTF-8 were read, see ``Source.open_text``."""
    return any("\udc80" <= char <= "\udcff" for cell in cells for char in cell)


def _json_records(source: Source) -> Iterator[dict[str, Any]]:
    with source.open_text() as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InputError(f"{source.path}, line {number} is not JSON: {error}") from None
            if not isinstance(record, dict):
                raise InputError(f"{source.path}, line {number}: expected an object with columns as keys")
            yield record


def _as_table(records: list[dict[str, Any]], source: Source) -> pa.Table:
    columns = dict.fromkeys(key for record in records for key in record)
    return pa.table({name: _as_array(name, records, source) for name in columns})


def _as_array(name: str, records: list[dict[str, Any]], source: Source) -> pa.Array:
    try:
        return pa.array([record.get(name) for record in records])
    except UnicodeEncodeError:
        raise InputError(f"{source.path}: the column {name!r} holds text that is not UTF-8") from None
    except (pa.ArrowException, OverflowError) as error:
        raise _unlike(name, source.path, str(error)) from None
