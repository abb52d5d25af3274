"""Parquet files by day: labelled items are moved from the journal into one file for each day.

A day is rewritten inside a transaction of the journal: the new file is complete before the journal
names it, and the old file is deleted after that. Files that the journal does not name are left over from a
process that was killed, and are deleted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray import InputError
from react_ray.apps.monitor.items import day_of
from react_ray.apps.monitor.store import JOURNAL, Store
from react_ray.folders import make_private_folder, replace_file

__all__ = ["COLUMNS", "SCHEMA", "compact", "delete_items", "expire", "forget", "remove_leftovers"]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("time", pa.float64()),
        ("source", pa.string()),
        ("late", pa.bool_()),
        ("sentiment", pa.string()),
        ("score", pa.float64()),
        ("topic", pa.string()),
        ("topic_score", pa.float64()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
Change = Callable[[pa.Table], pa.Table]
"""Returns the changed rows of a day, or the same table if nothing changes."""


def compact(store: Store, least: int = 1) -> int:
    """Move labelled items into the files of their days, if there are ``least``; return their number."""
    count = store.rows("SELECT count(*) FROM items WHERE sentiment IS NOT NULL")[0][0]
    if not count or count < least:
        return 0
    moved = 0
    query = f"SELECT seq, {', '.join(COLUMNS)} FROM items WHERE sentiment IS NOT NULL ORDER BY time, seq"
    for day, day_rows in groupby([dict(row) for row in store.rows(query)], lambda row: day_of(row["time"])):
        moved += _append(store, day, [row["seq"] for row in day_rows])
    return moved


def _append(store: Store, day: str, numbers: list[int]) -> int:
    """Move the items with these numbers; items that were deleted since are not among them."""
    query = f"SELECT {', '.join(COLUMNS)} FROM items WHERE seq = ? AND sentiment IS NOT NULL"

    def with_items(table: pa.Table) -> pa.Table:
        rows = [dict(row) for number in numbers for row in store.rows(query, [number])]
        return pa.concat_tables([table, as_table(rows)])

    with _rewriting(store) as rewrite:
        before, after = rewrite(day, with_items)
        with store.transaction() as base:
            base.executemany("DELETE FROM items WHERE seq = ?", [(number,) for number in numbers])
    return after - before


@contextmanager
def _rewriting(store: Store) -> Iterator[Callable[[str, Change], tuple[int, int]]]:
    """Context manager of a transaction that rewrites days; old files are deleted when it is committed."""
    old: list[Path] = []
    with store.transaction():
        yield partial(_rewrite, store, old)
    for path in old:
        path.unlink(missing_ok=True)


def _rewrite(store: Store, old: list[Path], day: str, change: Change) -> tuple[int, int]:
    """Replace the file of a day by a changed one; return the numbers of rows before and after."""
    listed = store.rows("SELECT file FROM days WHERE day = ?", [day])
    files = [store.folder / row["file"] for row in listed]
    table = _read(files[0]) if files else SCHEMA.empty_table()
    changed = change(table)
    if changed is table:
        return len(table), len(table)
    with store.transaction() as base:
        base.execute("DELETE FROM days WHERE day = ?", [day])
        if len(changed):
            name = f"items/day={day}/{secrets.token_hex(8)}.parquet"
            _write(store.folder / name, changed)
            base.execute("INSERT INTO days VALUES (?, ?, ?)", [day, name, len(changed)])
    old += files
    return len(table), len(changed)


def forget(folder: Path, *, identity: str | None = None, source: str | None = None) -> int:
    """Delete the items with an id or of a source from the store in ``folder``; return their number.

    Raises InputError if there is no store, or not one of both is given.
    """
    if (identity is None) == (source is None):
        raise InputError("expected either --id or --source")
    if not (folder / JOURNAL).is_file():
        raise InputError(f"{folder}: no store there")
    store = Store(folder)
    try:
        return delete_items(store, identity=identity, source=source)
    finally:
        store.close()


def delete_items(store: Store, *, identity: str | None = None, source: str | None = None) -> int:
    """Delete the items with an id or of a source from the journal and the days; return their number."""
    column, value = ("id", identity) if source is None else ("source", source)

    def without(table: pa.Table) -> pa.Table:
        matching = pc.equal(table[column], value)
        return table.filter(pc.invert(matching)) if pc.any(matching).as_py() else table

    with _rewriting(store) as rewrite:
        with store.transaction() as base:
            deleted = base.execute(f"DELETE FROM items WHERE {column} = ?", [value]).rowcount
        for row in store.rows("SELECT day FROM days"):
            before, after = rewrite(row["day"], without)
            deleted += before - after
    store.forget_pages()
    return deleted


def expire(store: Store, before: float) -> int:
    """Delete items with a time before ``before`` from the journal and the days; return their number."""
    last = day_of(before)

    def later(table: pa.Table) -> pa.Table:
        rows_after = table.filter(pc.greater_equal(table["time"], before))
        return rows_after if len(rows_after) < len(table) else table

    with _rewriting(store) as rewrite:
        with store.transaction() as base:
            deleted = base.execute("DELETE FROM items WHERE time < ?", [before]).rowcount
            base.execute("DELETE FROM seen WHERE time < ?", [before])
        for row in store.rows("SELECT day FROM days WHERE day <= ?", [last]):
            rows_before, rows_after = rewrite(row["day"], later)
            deleted += rows_before - rows_after
    if deleted:
        store.forget_pages()
    return deleted


def remove_leftovers(store: Store) -> None:
    """Delete files that the journal does not name."""
    with store.transaction():
        named = {store.folder / row["file"] for row in store.rows("SELECT file FROM days")}
        for path in (store.folder / "items").glob("day=*/*"):
            if path not in named:
                path.unlink(missing_ok=True)


def as_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows of the journal as a table."""
    return pa.Table.from_pylist([{**row, "late": bool(row["late"])} for row in rows], SCHEMA)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, schema=SCHEMA, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read ({error}): restore it from a copy") from None


def _write(path: Path, table: pa.Table) -> None:
    make_private_folder(path.parents[1])
    make_private_folder(path.parent)
    ordered = table.sort_by("time")
    replace_file(path, lambda temporary: pq.write_table(ordered, temporary, compression="zstd"), private=True)
    for place in (path, path.parent, path.parents[1]):
        _sync(place)


def _sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk: the journal will rely on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
