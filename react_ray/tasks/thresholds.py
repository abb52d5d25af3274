"""Thresholds of labels that are decided one by one, so that rare labels are found too.

A threshold of 0.5 is best for accuracy and bad for F1: a label of 2% of the rows seldom has so high a
probability. F1 is highest at half of its own best value (Lipton et al. 2014, arXiv:1402.1892). All functions
take logits, n x K, and give a logit a label from which on the label is in the set.
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
"""Above the highest logit, for a label that no row is to get, and below the lowest for one that all get."""

Logits = NDArray[np.floating]
Values = NDArray[np.float64]


def f1_thresholds(logits: Logits, targets: NDArray[np.floating]) -> Values:
    """The threshold of each label with the highest F1, for logits whose probabilities are calibrated.

    F1 is counted with ``targets`` that are drawn towards the probabilities, the more the rarer a label is
    among these rows; one that no row has gets the threshold with the highest expected F1.
    """
    chances = expit(np.asarray(logits, np.float64))
    trust = targets.sum(0) / (targets.sum(0) + PRIOR_ROWS)
    expected = trust * targets + (1 - trust) * chances
    return np.array(
        [_best_f1(z, y) for z, y in zip(np.asarray(logits, np.float64).T, expected.T, strict=True)]
    )


def share_thresholds(logits: Logits, shares: Values) -> Values:
    """Thresholds with which the share of rows that get a label is its share in ``shares`` (K)."""
    counts = np.rint(np.asarray(shares) * len(logits)).astype(int)
    return np.array(
        [
            _between(np.sort(z)[::-1], count)
            for z, count in zip(np.asarray(logits, np.float64).T, counts, strict=True)
        ]
    )


def best_sharpness(logits: Logits, targets: NDArray[np.floating]) -> float:
    """The factor for all logits with the highest posterior (1 / temperature), see ``best_temperature``."""
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
    """A threshold that the ``count`` highest of ``ordered`` (falling) reach, half way to the next."""
    if count <= 0:
        return float(ordered[0] + MARGIN)
    if count >= len(ordered):
        return float(ordered[-1] - MARGIN)
    return float((ordered[count - 1] + ordered[count]) / 2)
