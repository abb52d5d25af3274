"""Close buckets by the watermark, and keep what was counted in them."""

from __future__ import annotations

from react_ray.apps.monitor.items import BUCKETS
from react_ray.apps.monitor.query import bucket_counts
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import Store

__all__ = ["close_buckets"]


def close_buckets(store: Store, config: MonitorConfig, negative: str) -> int:
    """Count the buckets that end before the watermark, once; return the end of the last one.

    The watermark is the latest time of an item less the lateness. Items of a closed bucket that come later
    are in trends, and in no count that surges are found with.
    """
    length = BUCKETS[config.bucket]
    latest = store.get("latest", 0)
    end = int((latest - config.lateness_hours * 3600) // length * length)
    start = store.get("closed_until", 0)
    if end <= start:
        return int(start)
    with store.transaction() as base:
        waiting = base.execute("SELECT count(*) FROM items WHERE sentiment IS NULL AND time < ?", [end])
        if waiting.fetchone()[0]:
            return int(start)
        counts = bucket_counts(store, config.bucket, start, end, negative, config.unsure_below)
        base.executemany(
            "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?)",
            [(one.bucket, one.topic, one.source, one.total, one.negative, one.unsure) for one in counts],
        )
        store.put("closed_until", end)
    return end
