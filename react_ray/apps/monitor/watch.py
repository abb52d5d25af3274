"""Close buckets by the watermark, and judge each of them once: surges and drift become alerts.

Counting and judging are a transaction each at their end, so that nothing waits for them, and a
process that is killed in between goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from react_ray.apps.monitor.items import BUCKETS, DAY, as_iso
from react_ray.apps.monitor.query import BucketCount, bucket_counts
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import Store
from react_ray.apps.monitor.surge import Counts, Detector, expected, onsets

__all__ = ["ALL", "Alert", "Watcher"]

ALL = "*"
"""Stands for all topics or all sources."""
FIT_DAYS, REFIT_DAYS = 364, 14
"""Days that a detector is fitted on, and after which it is fitted again."""
DRIFT_DAYS, REFERENCE_DAYS, DRIFT_TEXTS, MOVED = 28, 84, 200, 0.2
"""Drift: the last days against those before, at least so many texts in both, and the index of a shift."""
Series = tuple[str, str]
Numbers = dict[int, tuple[int, int, int]]
"""Start of a bucket -> numbers of texts, negative texts and unsure texts."""


@dataclass(frozen=True)
class Alert:
    """What was found in a bucket.

    Attributes
    ----------
    kind
        surge (of negative texts), unsure (the share of unsure sentiments has moved) or labels (that of
        negative ones has).
    statistic
        Of a surge: in units of its threshold. Of drift: the population stability index.
    expected, expected_share
        Negative texts (of drift: unsure or negative ones) that were expected, and their share.
    buckets
        Number of buckets, ``bucket`` is the last of them, that all these numbers are of.
    """

    kind: str
    bucket: int
    topic: str
    source: str
    count: int
    total: int
    expected: float
    expected_share: float
    statistic: float
    buckets: int

    @property
    def id(self) -> str:
        """Id of the alert: the same if the bucket is judged again."""
        key = json.dumps([self.kind, self.bucket, self.topic, self.source])
        return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


class Watcher:
    """Closes the buckets of a store; the detectors of its series are fitted again as time goes on."""

    def __init__(self, store: Store, config: MonitorConfig, negative: str):
        self.store, self.config, self.negative = store, config, negative
        self.length = BUCKETS[config.bucket]
        self._fitted: dict[Series, tuple[int, Detector | None]] = {}
        self._begun: list[int] = []

    def close(self) -> int:
        """Count and judge the buckets that end before the watermark, once; return the end of the last one.

        The watermark is the latest time of an item, or the present if that is earlier, less the lateness.
        Items of a closed bucket that come later are in trends, and in no count that surges are found with.
        """
        end = self._count()
        self._judge(end)
        return end

    def _count(self) -> int:
        """Count the buckets that end before the watermark; return the end of the last one."""
        start, latest = int(self.store.get("closed_until", 0)), min(self.store.get("latest", 0), time.time())
        end = int((latest - self.config.lateness_hours * 3600) // self.length * self.length)
        if end <= start:
            return start
        with self.store.transaction() as base:
            waiting = base.execute("SELECT count(*) FROM items WHERE sentiment IS NULL AND time < ?", [end])
            if waiting.fetchone()[0]:
                return start
            self.store.put("closing_until", end)  # items before this time are late from now on
        unsure = self.config.unsure_below
        counts = bucket_counts(self.store, self.config.bucket, start, end, self.negative, unsure)
        with self.store.transaction() as base:
            base.executemany(
                "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        bucket_count.bucket,
                        bucket_count.topic,
                        bucket_count.source,
                        bucket_count.total,
                        bucket_count.negative,
                        bucket_count.unsure,
                    )
                    for bucket_count in counts
                ],
            )
            self.store.put("closed_until", end)
        return end

    def _judge(self, end: int) -> None:
        """Add alerts for the counted buckets that are not judged yet."""
        start = int(self.store.get("judged_until", 0))
        first = self.store.rows("SELECT min(bucket) FROM closed WHERE bucket >= ?", [start])[0][0]
        if start >= end or first is None:
            return
        alerts = [
            alert
            for series, numbers in self._series(first, end).items()
            for alert in self._alerts(series, numbers, first, end)
        ]
        with self.store.transaction() as base:
            for alert in sorted(alerts, key=lambda alert: alert.bucket):
                _add(base, alert)
            self.store.put("judged_until", end)

    def _series(self, start: int, end: int) -> dict[Series, Numbers]:
        """Return the counts of the largest series, and of all together, as far back as they are needed."""
        back = start - (FIT_DAYS + REFIT_DAYS + self.config.surge.history + 8) * DAY
        rows = self.store.rows("SELECT * FROM closed WHERE bucket >= ? AND bucket < ?", [back, end])
        every: dict[Series, Numbers] = {}
        for row in rows:
            count = BucketCount(*row)
            for series in {(count.topic, count.source), (ALL, ALL)}:
                numbers = every.setdefault(series, {})
                sums = numbers.get(count.bucket, (0, 0, 0))
                numbers[count.bucket] = (
                    sums[0] + count.total,
                    sums[1] + count.negative,
                    sums[2] + count.unsure,
                )
        if len(every) == 2:  # one pair: all together is the same
            del every[next(series for series in every if series != (ALL, ALL))]
        largest = sorted(every, key=lambda key: (-sum(total for total, _, _ in every[key].values()), key))
        selected = {series: every[series] for series in largest[: self.config.surge.max_series]}
        firsts = self.store.rows("SELECT topic, source, min(bucket) FROM closed GROUP BY topic, source")
        for topic, source, begin in firsts:
            for series in {(topic, source), (ALL, ALL)} & selected.keys():
                selected[series].setdefault(begin, (0, 0, 0))
        self._begun = sorted(min(numbers) for numbers in selected.values())
        return selected

    def _alerts(self, series: Series, numbers: Numbers, first: int, end: int) -> Iterator[Alert]:
        """Yield the alerts of the buckets from ``first`` to before ``end``, by detectors of their time."""
        span = REFIT_DAYS * DAY
        for epoch in range(first // span * span, end, span):
            start, stop = max(first, epoch), min(end, epoch + span)
            if any(numbers.get(bucket, (0, 0, 0))[1] for bucket in range(start, stop, self.length)):
                yield from self._surges(series, numbers, epoch, start, stop)
        if series == (ALL, ALL):
            for bucket in range(first, end, self.length):
                if bucket in numbers:
                    yield from self._drift(numbers, bucket)

    def _surges(self, series: Series, numbers: Numbers, epoch: int, start: int, stop: int) -> Iterator[Alert]:
        """Yield the surges that begin from ``start`` to before ``stop``."""
        surge, detector = self.config.surge, self._detector(series, numbers, epoch)
        if detector is None:
            return
        back = (surge.history + 8) * DAY + (surge.gap + surge.longest + surge.quiet) * self.length
        counts = self._counts(numbers, start - back, stop)
        windows = detector.windows(counts)
        level, share = expected(counts, surge)
        for place in np.flatnonzero(onsets(windows.max(0) > 1, surge.quiet)):
            bucket = stop - (len(counts) - int(place)) * self.length
            if bucket >= start and counts.negative[place]:
                width = int(windows[:, place].argmax()) + 1
                of = slice(max(0, int(place) + 1 - width), int(place) + 1)
                total, negative = counts.total[of], int(counts.negative[of].sum())
                shared = share[of] @ total / total.sum()
                expectation = round(float(level[of].sum()), 6), round(float(shared), 6)
                statistic = round(float(windows[width - 1, place]), 6)
                yield Alert(
                    "surge", bucket, *series, negative, int(total.sum()), *expectation, statistic, width
                )

    def _detector(self, series: Series, numbers: Numbers, epoch: int) -> Detector | None:
        """Return the detector fitted on what was closed before ``epoch``."""
        if series not in self._fitted or self._fitted[series][0] != epoch:
            several = max(1, sum(begin < epoch for begin in self._begun))
            rate = self.config.surge.false_alarms_per_month / several
            history = self._counts(numbers, epoch - FIT_DAYS * DAY, epoch)
            self._fitted[series] = epoch, Detector.fit(history, self.config.surge, rate, self.config.seed)
        return self._fitted[series][1]

    def _counts(self, numbers: Numbers, start: int, end: int) -> Counts:
        """Return the counts from ``start``, or the first bucket of the series if that is later."""
        first = max(start // self.length * self.length, min(numbers, default=end))
        table = np.array(
            [numbers.get(bucket, (0, 0, 0)) for bucket in range(first, end, self.length)], np.float64
        ).reshape(-1, 3)
        return Counts(table[:, 0], table[:, 1], DAY // self.length)

    def _drift(self, numbers: Numbers, bucket: int) -> Iterator[Alert]:
        """Compare the shares of unsure and of negative texts with those of the weeks before."""
        end = bucket + self.length
        now = self._sums(numbers, end - DRIFT_DAYS * DAY, end)
        before = self._sums(numbers, end - (DRIFT_DAYS + REFERENCE_DAYS) * DAY, end - DRIFT_DAYS * DAY)
        if min(now[0], before[0]) < DRIFT_TEXTS:
            return
        for kind, place in (("unsure", 2), ("labels", 1)):
            share, reference = now[place] / now[0], before[place] / before[0]
            moved = stability_index(share, reference)
            if moved >= MOVED:
                counts = now[place], now[0], now[0] * reference
                buckets = DRIFT_DAYS * DAY // self.length
                yield Alert(kind, bucket, ALL, ALL, *counts, reference, moved, buckets)

    def _sums(self, numbers: Numbers, start: int, end: int) -> tuple[int, ...]:
        present = [numbers[bucket] for bucket in range(start, end, self.length) if bucket in numbers]
        return tuple(map(sum, zip(*present, strict=True))) if present else (0, 0, 0)


def stability_index(share: float, reference: float) -> float:
    """Return the population stability index of two shares; 0.2 and more is usually called a shift.

    Example
    -------
    >>> round(stability_index(0.5, 0.2), 3)
    0.416
    """
    index = 0.0
    for current, baseline in ((share, reference), (1 - share, 1 - reference)):
        current, baseline = max(current, 1e-3), max(baseline, 1e-3)
        index += (current - baseline) * math.log(current / baseline)
    return index


def _add(base: sqlite3.Connection, alert: Alert) -> None:
    """Add an alert; drift is no news while the window has an alert of it already."""
    if alert.kind != "surge":
        query = "SELECT max(bucket) FROM alerts WHERE kind = ?"
        last = base.execute(query, [alert.kind]).fetchone()[0]
        if last is not None and alert.bucket - last <= DRIFT_DAYS * DAY:
            return
    content = json.dumps({"start": as_iso(alert.bucket), **asdict(alert)}, ensure_ascii=False)
    base.execute(
        "INSERT OR IGNORE INTO alerts (id, bucket, kind, topic, source, content) VALUES (?, ?, ?, ?, ?, ?)",
        [alert.id, alert.bucket, alert.kind, alert.topic, alert.source, content],
    )
