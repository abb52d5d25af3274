"""95 % intervals and paired tests by resampling rows, for any metric of summed statistics.

A metric depends only on how often each distinct row of statistics occurs, so a bootstrap sample is one
multinomial draw over the distinct rows (Efron 1979). Rows that are all right, or all wrong, cannot be
resampled into others: they get the exact binomial bound (Clopper & Pearson 1934), so that ten right answers
do not pass for certainty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

__all__ = ["Score", "Statistics", "intervals", "lead_interval", "probability_worse"]

RESAMPLES = 1000
DRAWS = 4000
SEED = 0
PRIOR_ROWS = 2
"""Rows on which either method is better, assumed before any is seen."""

Statistics = Any
"""n x s counts of each row, dense or sparse."""
Score = Callable[[NDArray[np.float64]], Mapping[str, Any]]
"""Metrics of sums of statistics: (... x s) to arrays of shape (...)."""


def intervals(statistics: Statistics, credit: NDArray[np.float64], score: Score) -> dict[str, list[float]]:
    """95 % interval of each metric of ``score``, by its name; ``credit`` (n, 0 to 1) is that of each row."""
    if exact := _without_spread(credit):
        return dict.fromkeys(score(csr_array(statistics).sum(0)), exact)
    distinct, counts = _resample(csr_array(statistics))
    return {name: _middle(values) for name, values in score(counts @ distinct).items()}


def lead_interval(ours: Statistics, theirs: Statistics, score: Score, metric: str) -> list[float]:
    """95 % interval of how much ``metric`` of ``ours`` is above that of ``theirs``, on the same rows."""
    ours, theirs = csr_array(ours), csr_array(theirs)
    distinct, counts = _resample(csr_array(hstack([ours, theirs])))
    sums = counts @ distinct
    width = ours.shape[1]
    return _middle(score(sums[:, :width])[metric] - score(sums[:, width:])[metric])


def probability_worse(plain: Statistics, other: Statistics, score: Score, metric: str, seed: int) -> float:
    """Share of Bayesian bootstrap draws in which ``other`` has a lower ``metric`` than ``plain``.

    Paired: both are statistics of the same rows. Rows assumed on both sides keep a lead of one or two rows
    from looking certain (Rubin 1981, with a prior).
    """
    plain, other = csr_array(plain), csr_array(other)
    assumed = np.repeat([1.0, -1.0], PRIOR_ROWS)
    rows = plain.shape[0]
    weights = np.random.default_rng(seed).dirichlet(np.ones(rows + len(assumed)), DRAWS)
    seen = weights[:, :rows]
    difference = score(seen @ other)[metric] - score(seen @ plain)[metric]
    return float((seen.sum(1) * difference + weights[:, rows:] @ assumed < 0).mean())


def _without_spread(credit: NDArray[np.float64]) -> list[float] | None:
    bound = 0.025 ** (1 / len(credit))
    if (credit == 1).all():
        return [bound, 1.0]
    return None if (credit > 0).any() else [0.0, 1 - bound]


def _resample(statistics: csr_array) -> tuple[csr_array, NDArray[np.int64]]:
    """Distinct rows of ``statistics`` (c x s), and how often each is in every sample (samples x c)."""
    statistics.sort_indices()
    parts = zip(
        np.split(statistics.indices, statistics.indptr[1:-1]),
        np.split(-statistics.data, statistics.indptr[1:-1]),
        strict=True,
    )
    keys = [(tuple(columns.tolist()), tuple(values.tolist())) for columns, values in parts]
    first: dict[Any, int] = {}
    counts: dict[Any, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
        counts[key] = counts.get(key, 0) + 1
    order = sorted(counts)
    found = np.array([counts[key] for key in order])
    n = found.sum()
    draws = np.random.default_rng(SEED).multinomial(n, found / n, size=RESAMPLES)
    return statistics[[first[key] for key in order]], draws


def _middle(values: NDArray[np.float64]) -> list[float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]
