"""Surges of negative texts: expected counts and shares, residuals, and a scan over the latest buckets.

The expected number of negative texts is that of the same weekday in the weeks before, shrunk towards
the level of all days (negative binomial); the expected share is that of these weeks (binomial, with
the variance that was seen). Both residuals become normal scores. The statistic is the largest mean of
a residual over the last 1, 2, ... buckets, in units of its threshold. The thresholds are set by
resampling blocks of the history, so that in as many resampled months as stated there is a false alarm.
Buckets with few negative texts together raise no alarm; the thresholds are set without this rule, so that
it takes alarms away only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtri

from react_ray.apps.monitor.settings import SurgeSettings

__all__ = ["Counts", "Detector", "alarms_a_month", "expected", "largest_share", "onsets", "warm_buckets"]

Floats = NDArray[np.float64]
WARM_DAYS = 14
"""Days before the first bucket that is judged."""
MONTH_DAYS = 30.0
BLOCK_DAYS = 28
"""Days of a block that is resampled: longer than a surge, so that what lasts in the history lasts."""
SHRINKAGE = 1.0
"""Negative texts at the common level that are added to those of a weekday."""
LARGEST = 8.0
"""Residuals are cut at so many standard deviations."""
LEAST_LEVEL = 0.02
MIN_ALPHA, MAX_RHO = 1e-4, 0.9


@dataclass(frozen=True)
class Counts:
    """Texts and negative texts of all buckets in a row, ``per_day`` of them a day.

    The last axis is time, so that many histories of the same length are judged at once.
    """

    total: Floats
    negative: Floats
    per_day: int = 1

    def __getitem__(self, part: slice) -> Counts:
        return Counts(self.total[..., part], self.negative[..., part], self.per_day)

    def __len__(self) -> int:
        return int(self.total.shape[-1])


@dataclass(frozen=True)
class Detector:
    """A detector with its dispersions and thresholds; made by :meth:`fit`.

    Attributes
    ----------
    alpha, rho
        Dispersion of the count (negative binomial) and of the share (correlation of two texts of a bucket).
    thresholds
        Of the statistics of count and share.
    """

    settings: SurgeSettings
    alpha: float
    rho: float
    thresholds: tuple[float, float]

    @classmethod
    def fit(cls, history: Counts, settings: SurgeSettings, rate: float, seed: int = 0) -> Detector | None:
        """Fit on a history, for ``rate`` false alarms in 30 days; None if the history is too short."""
        warm = warm_buckets(history.per_day, settings)
        if len(history) < 2 * warm:
            return None
        level, share = expected(history, settings)
        judged = slice(warm, None)
        y, n, m, p = history.negative[judged], history.total[judged], level[judged], share[judged]
        alpha = np.sum((y - m) ** 2 - m) / np.sum(m**2)
        spread = np.sum((y - n * p) ** 2 - n * p * (1 - p)) / max(np.sum(n * (n - 1) * p * (1 - p)), 1.0)
        fitted = cls(settings, float(max(alpha, MIN_ALPHA)), float(np.clip(spread, 0, MAX_RHO)), (1.0, 1.0))
        residuals = np.stack(fitted.residuals(history))[:, judged]
        resampled = _resample(residuals, settings, history.per_day, seed)
        scans = np.stack([scan(sample, settings.longest) for sample in resampled])
        return cls(settings, fitted.alpha, fitted.rho, _thresholds(scans, settings, rate, history.per_day))

    def residuals(self, counts: Counts) -> tuple[Floats, Floats]:
        """Return the normal scores of counts and of shares; 0 where there is too little to judge."""
        level, share = expected(counts, self.settings)
        size = counts.total / (1 + np.maximum(counts.total - 1, 0) * self.rho)
        scaled = counts.negative * size / np.maximum(counts.total, 1)
        count = _score(*_negative_binomial_tails(counts.negative, level, 1 / self.alpha))
        of_share = np.where(counts.total > 0, _score(*_binomial_tails(scaled, size, share)), 0.0)
        warm = np.arange(len(counts)) >= warm_buckets(counts.per_day, self.settings)
        return count * warm, of_share * warm

    def windows(self, counts: Counts) -> Floats:
        """Return the larger statistic of the last 1 to ``longest`` buckets, longest x ... x buckets.

        It is in units of its threshold; 0 where these buckets have fewer negative texts than ``min_texts``.
        """
        scaled = [
            residual / threshold
            for residual, threshold in zip(self.residuals(counts), self.thresholds, strict=True)
        ]
        windows = np.zeros((self.settings.longest, *counts.total.shape))
        for width in range(1, self.settings.longest + 1):
            larger = np.maximum(*(_latest(residual, width) for residual in scaled)) / np.sqrt(width)
            enough = _latest(counts.negative, width) >= self.settings.min_texts
            windows[width - 1] = np.where(enough, larger, 0.0)
        return windows

    def statistic(self, counts: Counts) -> Floats:
        """Return the largest statistic of each bucket, in units of its threshold: alarms are over 1."""
        largest: Floats = self.windows(counts).max(0)
        return largest


def warm_buckets(per_day: int, settings: SurgeSettings) -> int:
    """Return the number of buckets before the first one that is judged."""
    return WARM_DAYS * per_day + settings.gap


def expected(counts: Counts, settings: SurgeSettings) -> tuple[Floats, Floats]:
    """Return the expected negative texts, and the expected share, of each bucket from those before it."""
    week, width = 7 * counts.per_day, settings.history * counts.per_day
    ones = np.ones_like(counts.total)
    sum_n, sum_y, sum_1 = (
        _rolling(series, width, settings.gap, 1) for series in (counts.total, counts.negative, ones)
    )
    same_y, same_1 = (_rolling(series, width, settings.gap, week) for series in (counts.negative, ones))
    overall = sum_y / np.maximum(sum_1, 1)
    overall = np.maximum(overall, LEAST_LEVEL)
    level = (same_y + SHRINKAGE) / (same_1 + SHRINKAGE / overall)
    return level, (sum_y + 0.5) / (sum_n + 1.0)


def _rolling(values: Floats, width: int, gap: int, step: int) -> Floats:
    """Sum the values ``step`` apart in the ``width`` buckets that end ``gap`` buckets before each."""
    length = values.shape[-1]
    last = step * -(-(gap + 1) // step)  # how far back the latest of them is
    padded = np.concatenate([np.zeros((*values.shape[:-1], width + last)), values], -1)
    sums = padded.copy()
    for start in range(step, padded.shape[-1], step):
        stop = min(start + step, padded.shape[-1])
        sums[..., start:stop] += sums[..., start - step : start - step + (stop - start)]
    return sums[..., width : width + length] - sums[..., :length]


def scan(residuals: Floats, longest: int) -> Floats:
    """Return the largest standardized sum of the last 1 to ``longest`` residuals of each bucket."""
    best = np.full(residuals.shape, -np.inf)
    for width in range(1, longest + 1):
        best = np.maximum(best, _latest(residuals, width) / np.sqrt(width))
    return best


def _latest(values: Floats, width: int) -> Floats:
    """Return the sum of the last ``width`` values up to each."""
    sums = np.cumsum(values, -1)
    before = np.concatenate([np.zeros((*sums.shape[:-1], width)), sums], -1)[..., : sums.shape[-1]]
    latest: Floats = sums - before
    return latest


def onsets(over: NDArray[np.bool_], quiet: int) -> NDArray[np.bool_]:
    """Return where alarms begin: buckets over a threshold after ``quiet`` or more that are not."""
    starts = over.copy()
    for back in range(1, min(quiet, over.shape[-1] - 1) + 1):
        starts[..., back:] &= ~over[..., :-back]
    return starts


def alarms_a_month(over: NDArray[np.bool_], quiet: int, per_day: int) -> float:
    """Return the mean number of alarms in 30 days."""
    days = over.size / per_day
    return float(onsets(over, quiet).sum() / days * MONTH_DAYS)


def _resample(residuals: Floats, settings: SurgeSettings, per_day: int, seed: int) -> Floats:
    """Return histories of blocks that are drawn from the residuals, 2 x simulations x buckets."""
    length = residuals.shape[-1]
    block = min(BLOCK_DAYS * per_day, length)
    draw = np.random.default_rng(seed)
    starts = draw.integers(0, length, (settings.simulations, -(-length // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(settings.simulations, -1)[:, :length] % length
    resampled: Floats = residuals[:, places]
    return resampled


def _thresholds(scans: Floats, settings: SurgeSettings, rate: float, per_day: int) -> tuple[float, float]:
    """Return thresholds that both statistics pass equally often, and together at the stated rate."""
    ordered = np.sort(scans.reshape(2, -1), -1)

    def at(share: float) -> Floats:
        place = int((1 - share) * (ordered.shape[-1] - 1))
        return np.maximum(ordered[:, place], 1e-6)

    def rate_at(share: float) -> float:
        passed = scans > at(share)[:, None, None]
        return alarms_a_month(passed[0] | passed[1], settings.quiet, per_day)

    count, share = at(largest_share(rate_at, rate))
    return float(count), float(share)


def largest_share(rate_at: Callable[[float], float], rate: float) -> float:
    """Return the share of buckets over a threshold up to which there are no more than ``rate`` alarms.

    It is approached from below: where nearly all buckets are over a threshold, few alarms begin.
    """
    low, high = 0.0, 1e-5
    while high < 1 and rate_at(high) <= rate:
        low, high = high, 1.5 * high
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if rate_at(middle) <= rate else (low, middle)
    return low


def _negative_binomial_tails(y: Floats, mean: Floats, size: float) -> tuple[Floats, Floats]:
    """Return P(Y > y) and P(Y >= y)."""
    odds = mean / (size + mean)
    return betainc(y + 1, size, odds), np.where(y > 0, betainc(np.maximum(y, 1e-9), size, odds), 1.0)


def _binomial_tails(y: Floats, n: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Return P(Y > y) and P(Y >= y) of a binomial of any positive size."""
    over = np.where(n - y > 1e-9, betainc(y + 1, np.maximum(n - y, 1e-9), p), 0.0)
    return over, np.where(y > 1e-9, betainc(np.maximum(y, 1e-9), n - y + 1, p), 1.0)


def _score(over: Floats, at_least: Floats) -> Floats:
    """Return the normal score of the middle of two tails."""
    scores: Floats = np.clip(-ndtri((over + at_least) / 2), -LARGEST, LARGEST)
    return scores
