"""95% intervals by resampling rows, without touching the rows again.

A score depends only on how many rows fall into each cell (truth, prediction), so a
bootstrap sample is one multinomial draw over the occupied cells (Efron 1979). Rows that
are all right, or all wrong, cannot be resampled into others: they get the exact binomial
bound (Clopper & Pearson 1934), so that ten right answers do not pass for certainty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["accuracy_interval", "lead_interval", "macro_f1_interval"]

RESAMPLES = 1000
SEED = 0
Indices = NDArray[np.int64]


def macro_f1_interval(truth: Indices, predicted: Indices, classes: int) -> list[float]:
    """Of macro-F1 over the classes that occur in each sample."""
    if exact := _without_spread(truth == predicted):
        return exact
    cells, counts = _cells(truth, predicted)
    return _middle(_macro_f1(counts, cells[:, 0], cells[:, 1], classes))


def accuracy_interval(truth: Indices, predicted: Indices) -> list[float]:
    """Of the share of rows that are right."""
    if exact := _without_spread(truth == predicted):
        return exact
    cells, counts = _cells(truth, predicted)
    return _middle(counts @ (cells[:, 0] == cells[:, 1]) / len(truth))


def lead_interval(truth: Indices, predicted: Indices, other: Indices, classes: int) -> list[float]:
    """Of how much macro-F1 of ``predicted`` is above that of ``other``, on the same samples."""
    cells, counts = _cells(truth, predicted, other)
    ours = _macro_f1(counts, cells[:, 0], cells[:, 1], classes)
    return _middle(ours - _macro_f1(counts, cells[:, 0], cells[:, 2], classes))


def _without_spread(right: NDArray[np.bool_]) -> list[float] | None:
    bound = 0.025 ** (1 / len(right))
    if right.all():
        return [bound, 1.0]
    return None if right.any() else [0.0, 1 - bound]


def _cells(*columns: Indices) -> tuple[Indices, Indices]:
    """Distinct combinations (c x columns), and their number in each sample (samples x c)."""
    cells, found = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    n = found.sum()
    return cells, np.random.default_rng(SEED).multinomial(n, found / n, size=RESAMPLES)


def _macro_f1(counts: Indices, truth: Indices, predicted: Indices, classes: int) -> NDArray[np.float64]:
    """Macro-F1 of each sample: F1 of a class is 2 tp / (rows true + rows predicted)."""
    right = truth == predicted
    hits = counts[:, right] @ _members(truth[right], classes)
    total = counts @ (_members(truth, classes) + _members(predicted, classes))
    scores = np.divide(2.0 * hits, total, out=np.zeros(hits.shape), where=total > 0)
    return scores.sum(axis=1) / (total > 0).sum(axis=1)


def _members(labels: Indices, classes: int) -> csr_array:
    """Which class each cell is of (c x K): one number a cell, however many classes there are."""
    ones = np.ones(len(labels), np.int64)
    return csr_array((ones, labels, np.arange(len(labels) + 1)), shape=(len(labels), classes))


def _middle(values: NDArray[np.float64]) -> list[float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]
