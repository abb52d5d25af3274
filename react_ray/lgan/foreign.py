"""Unlabelled rows that are of none of the classes, found by conformal p-values (S4).

A row is as near as its cosine to the nearest labelled row and that to the mean of all,
added. How near a row of the classes may be is seen from the labelled ones, each measured
against the others:

    p(x) = (1 + labelled rows that are no nearer than x) / (1 + labelled rows)

(Bates et al. 2023, arXiv:2104.08279). The procedure of Benjamini & Hochberg (1995) takes
the rows of small p so that at most RATE of those taken are expected to be of a class; where
all are, it takes next to none.

All this holds for labelled rows that were drawn from the classes as the pile was. Where so
many rows are unlike them that they are hardly a fair sample, and where they are few, no
row is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from react_ray.lgan.inputs import Features, LganInputs

__all__ = ["find_foreign"]

RATE = 0.3
FEWEST = 20
"""Labelled rows below which the smallest p says little."""
MOST = 1 / 3
"""Of the pile; if more is unlike the labelled rows, these may be the odd ones (made up, of one source)."""
BLOCK = 4096


def find_foreign(inputs: LganInputs) -> NDArray[np.bool_]:
    """Which unlabelled rows are of none of the classes, m.

    None where a class has no labelled row: what its rows are like is not known.
    """
    labeled, unlabeled = inputs.labeled, inputs.unlabeled
    seen = np.bincount(inputs.labels, minlength=inputs.classes)
    if len(labeled) < FEWEST or not len(unlabeled) or not seen.all():
        return np.zeros(len(unlabeled), bool)
    usual = np.sort(_by_blocks(labeled, labeled, own=True))
    no_nearer = np.searchsorted(usual, _by_blocks(unlabeled, labeled), side="right")
    found = np.asarray(false_discovery_control((1 + no_nearer) / (1 + len(usual))) <= RATE)
    return found if found.mean() <= MOST else np.zeros(len(unlabeled), bool)


def _by_blocks(rows: Features, labeled: Features, own: bool = False) -> NDArray[np.floating]:
    """Nearness of each of the ``rows``; of labelled rows (``own``) that to the others."""
    total, found = labeled.sum(0), []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosines = block @ labeled.T
        others = np.broadcast_to(total, block.shape)
        if own:
            places = np.arange(len(block))
            cosines[places, start + places] = -1
            others = total - block
        mean = (others * block).sum(1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)
        found.append(cosines.max(1) + mean)
    return np.concatenate(found)
