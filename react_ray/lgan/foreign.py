"""Unlabelled rows that are of none of the classes, found by conformal p-values (S4).

A row is as near as its cosine to the nearest labelled row and that to the mean of all,
added. How near a row of the classes may be is seen from the labelled ones, each measured
against the others:

    p(x) = (1 + labelled rows that are no nearer than x) / (1 + labelled rows)

(Bates et al. 2023, arXiv:2104.08279). The procedure of Benjamini & Hochberg (1995) takes
the rows of small p so that at most RATE of those taken are expected to be of a class. Where
all are, it takes next to none; with a dozen labelled rows it can tell nothing yet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from react_ray.lgan.inputs import Features, LganInputs

__all__ = ["find_foreign"]

RATE = 0.3
BLOCK = 4096


def find_foreign(inputs: LganInputs) -> NDArray[np.bool_]:
    """Which unlabelled rows are of none of the classes, m.

    None are where a class has no labelled row: what its rows are like is not known.
    """
    labeled, unlabeled = inputs.labeled, inputs.unlabeled
    seen = np.bincount(inputs.labels, minlength=inputs.classes)
    if len(labeled) < 2 or not len(unlabeled) or not seen.all():
        return np.zeros(len(unlabeled), bool)
    total = labeled.sum(0)
    usual = np.sort(_usual(labeled, total))
    found = [
        _nearness(unlabeled[start : start + BLOCK], labeled, total)
        for start in range(0, len(unlabeled), BLOCK)
    ]
    no_nearer = np.searchsorted(usual, np.concatenate(found), side="right")
    adjusted = false_discovery_control((1 + no_nearer) / (1 + len(usual)))
    return np.asarray(adjusted <= RATE)


def _nearness(rows: Features, labeled: Features, total: Features) -> NDArray[np.floating]:
    return (rows @ labeled.T).max(1) + rows @ (total / np.linalg.norm(total))


def _usual(labeled: Features, total: Features) -> NDArray[np.floating]:
    """Nearness of each labelled row to the others."""
    cosines = labeled @ labeled.T
    np.fill_diagonal(cosines, -1)
    others = total - labeled
    return cosines.max(1) + (others * labeled).sum(1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)
