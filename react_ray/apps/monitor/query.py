"""Queries over the days and the journal, in DuckDB: trends, counts of buckets, texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from react_ray import InputError
from react_ray.apps.monitor.days import COLUMNS, as_table
from react_ray.apps.monitor.items import BUCKETS, as_iso, day_of
from react_ray.apps.monitor.store import Store

__all__ = ["BucketCount", "Selection", "bucket_counts", "names", "select", "texts", "trends", "wilson"]

ATTEMPTS = 5
"""Tries of a query whose files were replaced while it started."""


@dataclass(frozen=True)
class Selection:
    """Items of a topic, a source and a span of time (seconds, ``end`` not included); None: all."""

    topic: str | None = None
    source: str | None = None
    sentiment: str | None = None
    start: float | None = None
    end: float | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition in SQL, and its values."""
        conditions = {
            "topic = ?": self.topic,
            "source = ?": self.source,
            "sentiment = ?": self.sentiment,
            "time >= ?": self.start,
            "time < ?": self.end,
        }
        parts = {text: value for text, value in conditions.items() if value is not None}
        return " AND ".join(["true", *parts]), list(parts.values())


@dataclass(frozen=True)
class BucketCount:
    """Items of a topic and source in the bucket that starts at ``bucket``."""

    bucket: int
    topic: str
    source: str
    total: int
    negative: int
    unsure: int


def select(store: Store, query: str, values: Sequence[Any], of: Selection) -> list[tuple[Any, ...]]:
    """Run ``query`` over the view ``items``: the labelled items in the span of ``of``."""
    duckdb = _duckdb()
    for attempt in range(ATTEMPTS):
        try:
            with _items(store, of) as base:
                rows: list[tuple[Any, ...]] = base.execute(query, values).fetchall()
                return rows
        except duckdb.IOException:  # a day was rewritten in between
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


@contextmanager
def _items(store: Store, of: Selection) -> Iterator[Any]:
    """Context manager: a DuckDB connection with the view ``items``."""
    columns = ", ".join(COLUMNS)
    with store.transaction("DEFERRED"):
        journal = store.rows(f"SELECT {columns} FROM items WHERE sentiment IS NOT NULL")
        listed = store.rows("SELECT day, file FROM days ORDER BY day")
    first = day_of(of.start) if of.start is not None else ""
    last = day_of(of.end) if of.end is not None else "9999"
    files = [str(store.folder / row["file"]) for row in listed if first <= row["day"] <= last]
    base = _duckdb().connect(config={"threads": 1})
    try:
        base.register("journal", as_table([dict(row) for row in journal]))
        stored = ""
        if files:
            base.read_parquet(files, hive_partitioning=False).create_view("stored")
            stored = f" UNION ALL SELECT {columns} FROM stored"
        base.execute(f"CREATE VIEW items AS SELECT {columns} FROM journal{stored}")
        yield base
    finally:
        base.close()


def bucket_counts(
    store: Store, bucket: str, start: float, end: float, negative: str, unsure_below: float
) -> list[BucketCount]:
    """Count items that are not late by bucket, topic and source, in the order of these."""
    of = Selection(start=start, end=end)
    condition, values = of.where()
    query = (
        f"SELECT CAST(floor(time / {BUCKETS[bucket]}) * {BUCKETS[bucket]} AS BIGINT) AS bucket, "
        "topic, source, count(*), count(*) FILTER (sentiment = ?), count(*) FILTER (score < ?) "
        f"FROM items WHERE {condition} AND NOT late GROUP BY ALL ORDER BY ALL"
    )
    return [BucketCount(*row) for row in select(store, query, [negative, unsure_below, *values], of)]


def trends(store: Store, of: Selection, bucket: str = "day", level: float = 0.95) -> list[dict[str, Any]]:
    """Return count and share of each sentiment by bucket, with Wilson intervals of the shares."""
    condition, values = of.where()
    length = BUCKETS[bucket]
    query = (
        f"SELECT CAST(floor(time / {length}) * {length} AS BIGINT) AS bucket, sentiment, count(*) "
        f"FROM items WHERE {condition} GROUP BY ALL ORDER BY ALL"
    )
    buckets: dict[int, dict[str, int]] = {}
    for start, sentiment, count in select(store, query, values, of):
        buckets.setdefault(start, {})[sentiment] = count
    labels = sorted({label for counts in buckets.values() for label in counts})
    return [
        _trend(start, {label: counts.get(label, 0) for label in labels}, level)
        for start, counts in buckets.items()
    ]


def _trend(start: int, counts: dict[str, int], level: float) -> dict[str, Any]:
    total = sum(counts.values())
    labels = {}
    for label, count in counts.items():
        low, high = wilson(count, total, level)
        labels[label] = {"count": count, "share": count / total, "low": low, "high": high}
    return {"start": as_iso(start), "total": total, "labels": labels}


def texts(store: Store, of: Selection, limit: int = 50) -> list[dict[str, Any]]:
    """Return items with their labels, the latest first."""
    condition, values = of.where()
    query = (
        "SELECT id, text, time, source, sentiment, score, topic FROM items "
        f"WHERE {condition} ORDER BY time DESC, id LIMIT ?"
    )
    keys = ("id", "text", "time", "source", "sentiment", "score", "topic")
    items = [dict(zip(keys, row, strict=True)) for row in select(store, query, [*values, limit], of)]
    return [{**item, "time": as_iso(item["time"])} for item in items]


def names(store: Store) -> dict[str, list[str]]:
    """Return the topics, sources and sentiments that occur."""
    query = "SELECT DISTINCT {0} FROM items WHERE {0} <> '' ORDER BY 1 LIMIT 1000"
    columns = ("topic", "source", "sentiment")
    return {name: [row[0] for row in select(store, query.format(name), [], Selection())] for name in columns}


def wilson(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share.

    Example
    -------
    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    if not total:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = count / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    margin = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - margin), min(1.0, middle + margin)


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise InputError("monitor needs DuckDB: pip install 'react-ray[monitor]'") from None
    return duckdb
