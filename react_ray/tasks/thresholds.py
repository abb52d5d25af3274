"""Decision thresholds of labels in multi-label classification.

A threshold of 0.5 is best for accuracy but not for F1: a label of 2% of the rows rarely has such a
probability. The optimal threshold for F1 is half of the optimal F1 (Lipton et al. 2014, arXiv:1402.1892).
All functions take logits, n x K, and return one threshold per label, also a logit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["best_sharpness", "f1_thresholds", "share_thresholds"]

PRIOR_ROWS = 30.0
"""With as many true rows of a label, its F1 is half measured and half expected from the probabilities."""
MOST_PREDICTED = 2.0
"""Rows that get a label, at most, for each that has it: what cannot be told apart is not given to all."""
PRIOR_SPREAD = 0.5
"""Standard deviation of the log of the temperature before any row is seen."""
MARGIN = 1.0
"""Distance of a threshold from the highest logit if no row gets the label, and from the lowest if all do."""

Logits = NDArray[np.floating]
Values = NDArray[np.float64]


def f1_thresholds(logits: Logits, targets: NDArray[np.floating]) -> Values:
    """Return the threshold of each label with the highest F1, for calibrated logits.

    F1 is computed with ``targets`` shrunk towards the probabilities, more strongly for rarer labels; a label
    without a row gets the threshold with the highest expected F1.
    """
    chances = expit(np.asarray(logits, np.float64))
    trust = targets.sum(0) / (targets.sum(0) + PRIOR_ROWS)
    expected = trust * targets + (1 - trust) * chances
    return np.array(
        [_best_f1(z, y) for z, y in zip(np.asarray(logits, np.float64).T, expected.T, strict=True)]
    )


def share_thresholds(logits: Logits, shares: Values) -> Values:
    """Return thresholds for which the predicted frequency of each label is that in ``shares`` (K)."""
    counts = np.rint(np.asarray(shares) * len(logits)).astype(int)
    return np.array(
        [
            _between(np.sort(z)[::-1], count)
            for z, count in zip(np.asarray(logits, np.float64).T, counts, strict=True)
        ]
    )


def best_sharpness(logits: Logits, targets: NDArray[np.floating]) -> float:
    """Return the inverse temperature with the highest posterior, see ``best_temperature``."""
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 101))
    z = np.asarray(logits, np.float64)
    loss = [float((np.logaddexp(0, z / t) - targets * z / t).sum()) for t in grid]
    return float(1 / grid[np.argmin(np.array(loss) + (np.log(grid) / PRIOR_SPREAD) ** 2 / 2)])


def _best_f1(logits: Values, targets: Values) -> float:
    order = np.argsort(-logits, kind="stable")
    ordered, hits = logits[order], np.cumsum(targets[order])
    count = np.arange(1, len(logits) + 1)
    f1 = 2 * hits / (count + hits[-1])
    most = max(1, int(np.ceil(MOST_PREDICTED * hits[-1])))
    splits = np.append(ordered[:-1] > ordered[1:], True)  # equal logits are on one side
    allowed = splits & ((count <= most) | (count == count[splits][0]))
    return _between(ordered, int(count[np.argmax(np.where(allowed, f1, -1))]))


def _between(ordered: Values, count: int) -> float:
    """Return the midpoint between the ``count``-th highest value of ``ordered`` (descending) and the next."""
    if count <= 0:
        return float(ordered[0] + MARGIN)
    if count >= len(ordered):
        return float(ordered[-1] - MARGIN)
    return float((ordered[count - 1] + ordered[count]) / 2)
