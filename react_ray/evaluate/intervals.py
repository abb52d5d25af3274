"""Bootstrap confidence intervals and paired tests, for any metric of summed statistics.

A metric depends only on how often each distinct row of statistics occurs, so a bootstrap sample is one
multinomial draw over the distinct rows (Efron 1979). If all rows are correct, or all wrong, resampling has no
spread; then the exact binomial interval is used (Clopper & Pearson 1934), so that ten correct answers are not
reported as certainty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

__all__ = ["Score", "Statistics", "intervals", "lead_interval", "probability_worse"]

RESAMPLES = 1000
BAYESIAN_DRAWS = 4000
SEED = 0
PRIOR_ROWS = 2
"""Pseudo-rows of the prior on which each of the two methods is better."""

Statistics = Any
"""Counts of each row: n x s, dense or sparse."""
Score = Callable[[NDArray[np.float64]], Mapping[str, Any]]
"""Function from sums of statistics (... x s) to metrics, each of shape (...)."""


def intervals(statistics: Statistics, credit: NDArray[np.float64], score: Score) -> dict[str, list[float]]:
    """Return the 95% interval of each metric of ``score``; ``credit`` (n, 0 to 1) is that of each row."""
    if exact := _exact_interval(credit):
        return dict.fromkeys(score(csr_array(statistics).sum(0)), exact)
    distinct, counts = _resample(csr_array(statistics))
    return {name: _percentiles(values) for name, values in score(counts @ distinct).items()}


def lead_interval(first: Statistics, second: Statistics, score: Score, metric: str) -> list[float]:
    """Return the 95% interval of the paired difference in ``metric``, ``first`` minus ``second``."""
    first, second = csr_array(first), csr_array(second)
    distinct, counts = _resample(csr_array(hstack([first, second])))
    sums = counts @ distinct
    width = first.shape[1]
    return _percentiles(score(sums[:, :width])[metric] - score(sums[:, width:])[metric])


def probability_worse(plain: Statistics, other: Statistics, score: Score, metric: str, seed: int) -> float:
    """Return the probability that ``other`` has a lower ``metric`` than ``plain``, by the Bayesian bootstrap.

    The test is paired: both are statistics of the same rows. A prior of PRIOR_ROWS for either side keeps a
    lead of one or two rows from looking certain (Rubin 1981).
    """
    plain, other = csr_array(plain), csr_array(other)
    prior = np.repeat([1.0, -1.0], PRIOR_ROWS)
    rows = plain.shape[0]
    weights = np.random.default_rng(seed).dirichlet(np.ones(rows + len(prior)), BAYESIAN_DRAWS)
    sampled = weights[:, :rows]
    counts = sampled * weights.shape[1]  # metrics of corpora, such as BLEU, need sums of the size of counts
    difference = score(counts @ other)[metric] - score(counts @ plain)[metric]
    return float((sampled.sum(1) * difference + weights[:, rows:] @ prior < 0).mean())


def _exact_interval(credit: NDArray[np.float64]) -> list[float] | None:
    bound = 0.025 ** (1 / len(credit))
    if (credit == 1).all():
        return [bound, 1.0]
    return None if (credit > 0).any() else [0.0, 1 - bound]


def _resample(statistics: csr_array) -> tuple[csr_array, NDArray[np.int64]]:
    """Return the distinct rows of ``statistics`` (c x s), and their counts in each sample (samples x c)."""
    statistics.sort_indices()
    row_parts = zip(
        np.split(statistics.indices, statistics.indptr[1:-1]),
        np.split(-statistics.data, statistics.indptr[1:-1]),
        strict=True,
    )
    keys = [(tuple(columns.tolist()), tuple(values.tolist())) for columns, values in row_parts]
    first: dict[Any, int] = {}
    counts: dict[Any, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
        counts[key] = counts.get(key, 0) + 1
    order = sorted(counts)
    frequencies = np.array([counts[key] for key in order])
    rows = frequencies.sum()
    draws = np.random.default_rng(SEED).multinomial(rows, frequencies / rows, size=RESAMPLES)
    return statistics[[first[key] for key in order]], draws


def _percentiles(values: NDArray[np.float64]) -> list[float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]
