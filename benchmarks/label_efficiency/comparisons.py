"""Paired comparison of two methods over the draws that both were run on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

__all__ = ["Comparison", "compare"]

RESAMPLES = 10_000
FEWEST = 6
"""Pairs below which nothing is claimed: of five, no outcome has p < 0.05."""

SURE = 0.05


@dataclass(frozen=True)
class Comparison:
    """Mean difference over ``cells``, its 95 % interval (bootstrap of cells), Wilcoxon's p."""

    cells: int
    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """A gain or a loss where the interval and the test agree that there is one."""
        if self.cells < FEWEST:
            return "too few pairs"
        if self.p >= SURE:
            return "not shown"
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "not shown"


def compare(one: pd.Series, other: pd.Series) -> Comparison | None:
    """``one`` less ``other``, both indexed by data set and seed; None without a common cell."""
    difference = (one - other).dropna().to_numpy()
    if not len(difference):
        return None
    draws = np.random.default_rng(0).integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.quantile(difference[draws].mean(1), [0.025, 0.975])
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return Comparison(len(difference), float(difference.mean()), float(low), float(high), p)
