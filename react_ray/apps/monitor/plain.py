"""Plain rules that the detector is compared with: fixed thresholds and z-scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.monitor.surge import Counts

__all__ = ["RULES"]

Floats = NDArray[np.float64]
WINDOW_DAYS = 28
MIN_TEXTS = 5
"""Texts of a bucket whose share counts for the fixed threshold."""
LEAST_DEVIATION = {"count": 0.25, "share": 0.05}


def _z_score(values: Floats, per_day: int, least: float) -> Floats:
    """Return by how many standard deviations of the 28 days before each value is above their mean."""
    width = WINDOW_DAYS * per_day
    padded = np.concatenate([np.zeros((*values.shape[:-1], width + 1)), values], -1)
    present = np.concatenate([np.zeros(width + 1), np.ones(values.shape[-1])])
    sums, squares, counts = np.cumsum(padded, -1), np.cumsum(padded**2, -1), np.cumsum(present)
    length = values.shape[-1]
    total, square, count = (
        cumulative[..., width : width + length] - cumulative[..., :length]
        for cumulative in (sums, squares, counts)
    )
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    scores: Floats = (values - mean) / np.maximum(deviation, least)
    return scores


def _share(counts: Counts) -> Floats:
    shares: Floats = counts.negative / np.maximum(counts.total, 1)
    return shares


RULES: dict[str, Callable[[Counts], Floats]] = {
    "fixed_count": lambda counts: counts.negative,
    "fixed_share": lambda counts: np.where(counts.total >= MIN_TEXTS, _share(counts), 0.0),
    "z_count": lambda counts: _z_score(counts.negative, counts.per_day, LEAST_DEVIATION["count"]),
    "z_share": lambda counts: _z_score(_share(counts), counts.per_day, LEAST_DEVIATION["share"]),
}
"""Statistic of each rule: counts to a value of each bucket; an alarm is over its threshold."""
