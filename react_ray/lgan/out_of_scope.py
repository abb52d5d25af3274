"""Out-of-scope detection: unlabelled rows of none of the classes, by conformal p-values (S4).

The nearness of a row is its cosine to the nearest labelled row plus that to the mean of all. The
labelled rows, each measured against the others, calibrate it:

    p(x) = (1 + labelled rows that are no nearer than x) / (1 + labelled rows)

(Bates et al. 2023, arXiv:2104.08279). The procedure of Benjamini & Hochberg (1995) takes
the rows of small p so that at most RATE of those taken are expected to be of a class; where
all are, it takes next to none.

This assumes labelled rows that were drawn from the classes as the unlabelled pool was. No row is taken
where labelled rows are few, or where so many rows are unlike them that they are hardly a fair sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from react_ray.lgan.inputs import Features, LganInputs

__all__ = ["find_out_of_scope"]

RATE = 0.3
FEWEST = 20
"""Labelled rows below which the smallest p says little."""
MOST = 1 / 3
"""Largest share of the pool; above it the labelled rows may be unusual (made up, of one source)."""
BLOCK = 4096


def find_out_of_scope(inputs: LganInputs) -> NDArray[np.bool_]:
    """Return a mask of the unlabelled rows (m) that are of none of the classes.

    All false where a class has no labelled row, because nothing is known of its rows.
    """
    labeled, unlabeled = inputs.labeled, inputs.unlabeled
    seen = np.bincount(inputs.labels, minlength=inputs.classes)
    if len(labeled) < FEWEST or not len(unlabeled) or not seen.all():
        return np.zeros(len(unlabeled), bool)
    usual = np.sort(_by_blocks(labeled, labeled, leave_one_out=True))
    no_nearer = np.searchsorted(usual, _by_blocks(unlabeled, labeled), side="right")
    outside = np.asarray(false_discovery_control((1 + no_nearer) / (1 + len(usual))) <= RATE)
    return outside if outside.mean() <= MOST else np.zeros(len(unlabeled), bool)


def _by_blocks(rows: Features, labeled: Features, leave_one_out: bool = False) -> NDArray[np.floating]:
    """Nearness of each of the ``rows``; of labelled rows (``leave_one_out``) to the others."""
    total, nearness = labeled.sum(0), []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosines = block @ labeled.T
        others = np.broadcast_to(total, block.shape)
        if leave_one_out:
            places = np.arange(len(block))
            cosines[places, start + places] = -1
            others = total - block
        mean = (others * block).sum(1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9)
        nearness.append(cosines.max(1) + mean)
    return np.concatenate(nearness)
