"""Whole tables in and out: every column as it is, in csv, jsonl or parquet."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["ENDINGS", "read_whole", "write_tables"]

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read_whole(source: Source, rows: int) -> Iterator[pa.Table]:
    """Tables of at most ``rows`` rows with all columns of the file, in order.

    csv cells are strings; jsonl values keep their types. Raises InputError that names
    the row where a file is broken: a row that cannot be read cannot be kept either.
    """
    if source.kind == "parquet":
        with source.open() as file:
            for part in pq.ParquetFile(file).iter_batches(rows):
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


def write_tables(parts: Sequence[Path], target: Path) -> None:
    """Join parquet ``parts`` into ``target`` in the format of its ending, in one step."""
    half = target.with_name(target.name + ".half")
    schema = pa.unify_schemas([pq.read_schema(part) for part in parts], promote_options="permissive")
    tables = (_widen(pq.read_table(part), schema) for part in parts)
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


def _widen(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with columns that only other parts have, empty here."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)


def _csv_records(source: Source) -> Iterator[dict[str, Any]]:
    with source.open_text() as file:
        csv.field_size_limit(sys.maxsize)
        reader = csv.reader(file, delimiter=source.delimiter)
        header = next(reader, None)
        if header is None:
            raise InputError(f"{source.path} is empty; expected a header line and rows")
        for number, cells in enumerate(reader, start=1):
            if len(cells) > len(header):
                raise InputError(
                    f"{source.path}, row {number}: {len(cells)} fields under {len(header)} columns; "
                    'put text with commas in double quotes ("...")'
                )
            if not "".join(cells).isprintable() and _broken(cells):
                raise InputError(
                    f"{source.path}, row {number} is not UTF-8; convert the file (iconv -t utf-8)"
                )
            if cells:
                yield dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))


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
    columns = list(dict.fromkeys(key for record in records for key in record))
    try:
        return pa.table({name: pa.array([record.get(name) for record in records]) for name in columns})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{source.path}: a column mixes kinds of values ({error}); use one kind") from None
