"""Close buckets by the watermark, and judge each of them once: surges and drift become alerts."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from react_ray.apps.monitor.items import BUCKETS, DAY, as_iso
from react_ray.apps.monitor.query import BucketCount, bucket_counts
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import Store
from react_ray.apps.monitor.surge import Counts, Detector

__all__ = ["ALL", "Alert", "Watcher"]

ALL = "*"
"""Stands for all topics or all sources."""
FIT_DAYS, REFIT_DAYS = 364, 14
"""Days that a detector is fitted on, and after which it is fitted again."""
DRIFT_DAYS, REFERENCE_DAYS, DRIFT_TEXTS, MOVED = 28, 84, 200, 0.2
"""Drift: the last days against those before, at least so many texts in both, and the index of a shift."""
Series = tuple[str, str]
Numbers = Mapping[int, tuple[int, int, int]]
"""By the start of the bucket: texts, negative texts, unsure texts."""


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

    def close(self) -> int:
        """Count and judge the buckets that end before the watermark, once; return the end of the last one.

        The watermark is the latest time of an item less the lateness. Items of a closed bucket that come
        later are in trends, and in no count that surges are found with.
        """
        latest = self.store.get("latest", 0)
        end = int((latest - self.config.lateness_hours * 3600) // self.length * self.length)
        start = int(self.store.get("closed_until", 0))
        if end <= start:
            return start
        with self.store.transaction() as base:
            waiting = base.execute("SELECT count(*) FROM items WHERE sentiment IS NULL AND time < ?", [end])
            if waiting.fetchone()[0]:
                return start
            counts = bucket_counts(
                self.store, self.config.bucket, start, end, self.negative, self.config.unsure_below
            )
            base.executemany(
                "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?)",
                [(one.bucket, one.topic, one.source, one.total, one.negative, one.unsure) for one in counts],
            )
            self.store.put("closed_until", end)
            if counts:
                self._judge(base, max(start, counts[0].bucket), end)
        return end

    def _judge(self, base: sqlite3.Connection, start: int, end: int) -> None:
        """Add alerts for the buckets from ``start`` to before ``end``."""
        several = self._series(start, end)
        for bucket in range(start, end, self.length):
            for series, numbers in several.items():
                for alert in self._alerts(series, numbers, bucket, len(several)):
                    _add(base, alert, self.length * self.config.surge.quiet)

    def _series(self, start: int, end: int) -> dict[Series, Numbers]:
        """Return the counts of the largest series, and of all together, as far back as they are needed."""
        back = start - (FIT_DAYS + REFIT_DAYS + self.config.surge.history + 8) * DAY
        rows = self.store.rows("SELECT * FROM closed WHERE bucket >= ? AND bucket < ?", [back, end])
        every: dict[Series, dict[int, tuple[int, int, int]]] = {}
        for row in rows:
            one = BucketCount(*row)
            for series in {(one.topic, one.source), (ALL, ALL)}:
                numbers = every.setdefault(series, {})
                was = numbers.get(one.bucket, (0, 0, 0))
                numbers[one.bucket] = (was[0] + one.total, was[1] + one.negative, was[2] + one.unsure)
        if len(every) == 2:  # one pair: all together is the same
            del every[next(series for series in every if series != (ALL, ALL))]
        largest = sorted(every, key=lambda one: (-sum(total for total, _, _ in every[one].values()), one))
        return {series: every[series] for series in largest[: self.config.surge.max_series]}

    def _alerts(self, series: Series, numbers: Numbers, bucket: int, several: int) -> Iterator[Alert]:
        if surge := self._surge(series, numbers, bucket, several):
            yield surge
        if series == (ALL, ALL):
            yield from self._drift(numbers, bucket)

    def _surge(self, series: Series, numbers: Numbers, bucket: int, several: int) -> Alert | None:
        surge = self.config.surge
        detector = self._detector(series, numbers, bucket, surge.false_alarms_per_month / several)
        if detector is None:
            return None
        back = (surge.history + 8) * DAY + (surge.gap + surge.longest) * self.length
        counts = self._counts(numbers, bucket - back, bucket + self.length)
        found = detector.alarm(counts)
        if found is None:
            return None
        total, negative, _ = numbers.get(bucket, (0, 0, 0))
        expected = (found.expected, found.expected_share)
        return Alert("surge", bucket, *series, negative, total, *expected, found.statistic)

    def _detector(self, series: Series, numbers: Numbers, bucket: int, rate: float) -> Detector | None:
        """Return the detector fitted on what was closed before the last time to fit."""
        epoch = bucket // (REFIT_DAYS * DAY) * (REFIT_DAYS * DAY)
        if series not in self._fitted or self._fitted[series][0] != epoch:
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
                expected = now[0] * reference
                yield Alert(kind, bucket, ALL, ALL, now[place], now[0], expected, reference, moved)

    def _sums(self, numbers: Numbers, start: int, end: int) -> tuple[int, ...]:
        found = [numbers[one] for one in range(start, end, self.length) if one in numbers]
        return tuple(map(sum, zip(*found, strict=True))) if found else (0, 0, 0)


def stability_index(share: float, reference: float) -> float:
    """Return the population stability index of two shares; 0.2 and more is usually called a shift.

    Example
    -------
    >>> round(stability_index(0.5, 0.2), 3)
    0.416
    """
    index = 0.0
    for one, other in ((share, reference), (1 - share, 1 - reference)):
        one, other = max(one, 1e-3), max(other, 1e-3)
        index += (one - other) * math.log(one / other)
    return index


def _add(base: sqlite3.Connection, alert: Alert, quiet: int) -> None:
    """Add an alert, unless its series has one in the ``quiet`` seconds before (drift: in its window)."""
    quiet = quiet if alert.kind == "surge" else DRIFT_DAYS * DAY
    series = [alert.kind, alert.topic, alert.source]
    query = "SELECT max(bucket) FROM alerts WHERE kind = ? AND topic = ? AND source = ?"
    last = base.execute(query, series).fetchone()[0]
    if last is not None and alert.bucket - last <= quiet:
        return
    content = json.dumps({"start": as_iso(alert.bucket), **asdict(alert)}, ensure_ascii=False)
    base.execute(
        "INSERT INTO alerts (id, bucket, kind, topic, source, content) VALUES (?, ?, ?, ?, ?, ?)",
        [alert.id, alert.bucket, alert.kind, alert.topic, alert.source, content],
    )
