"""Out-of-scope detection: unlabelled rows of no class, by conformal p-values (S4).

The nearness of a row is its cosine to the nearest labelled row plus that to the mean of all. The labelled
rows, each compared with the others, calibrate it:

    p(x) = (1 + labelled rows that are no nearer than x) / (1 + labelled rows)

(Bates et al. 2023, arXiv:2104.08279). The procedure of Benjamini & Hochberg (1995) selects rows with small p,
such that at most a share RATE of the selected rows is expected to be of a class. If all rows are of a class,
it selects almost none.

This assumes that labelled and unlabelled rows are from the same distribution. So no row is selected if there
are few labelled rows, or if so many rows are unlike them that they are hardly a representative sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from react_ray.lgan.inputs import Features, LganInputs

__all__ = ["find_out_of_scope"]

RATE = 0.3
MIN_LABELLED = 20
"""Minimum labelled rows: with fewer, the smallest possible p is too large."""
MAX_SHARE = 1 / 3
"""Maximum share of the pool; above it, the labelled rows may not be representative (of one source)."""
BLOCK = 4096


def find_out_of_scope(inputs: LganInputs) -> NDArray[np.bool_]:
    """Return a mask of the unlabelled rows that are of no class: m.

    It is all false if a class has no labelled row, because rows of that class would look out of scope.
    """
    labeled, unlabeled = inputs.labeled, inputs.unlabeled
    counts = np.bincount(inputs.labels, minlength=inputs.classes)
    if len(labeled) < MIN_LABELLED or not len(unlabeled) or not counts.all():
        return np.zeros(len(unlabeled), bool)
    calibration = np.sort(_nearness(labeled, labeled, leave_one_out=True))
    no_nearer = np.searchsorted(calibration, _nearness(unlabeled, labeled), side="right")
    outside = np.asarray(false_discovery_control((1 + no_nearer) / (1 + len(calibration))) <= RATE)
    return outside if outside.mean() <= MAX_SHARE else np.zeros(len(unlabeled), bool)


def _nearness(rows: Features, labeled: Features, leave_one_out: bool = False) -> NDArray[np.floating]:
    """Return the nearness of ``rows`` to the labelled rows: n; with ``leave_one_out``, to the others."""
    total, nearness = labeled.sum(0), []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosines = block @ labeled.T
        others = np.broadcast_to(total, block.shape)
        if leave_one_out:
            diagonal = np.arange(len(block))
            cosines[diagonal, start + diagonal] = -1
            others = total - block
        mean = (others * block).sum(1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)
        nearness.append(cosines.max(1) + mean)
    return np.concatenate(nearness)
