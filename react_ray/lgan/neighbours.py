"""Nearest rows by cosine, in blocks: never a whole n x n matrix in memory."""

from __future__ import annotations

import numpy as np

from react_ray.lgan.inputs import Features, Indices, Probabilities

__all__ = ["NEIGHBOURS", "nearest", "smooth"]

NEIGHBOURS = 15
BLOCK = 1024


def nearest(queries: Features, rows: Features, count: int = NEIGHBOURS) -> Indices:
    """Indices of the ``count`` nearest of ``rows`` for each query (unit length); n x count.

    A row that is its own query counts as its nearest. Fewer rows give fewer columns.
    """
    count = min(count, len(rows))
    found = np.empty((len(queries), count), np.int64)
    for start in range(0, len(queries), BLOCK):
        closeness = queries[start : start + BLOCK] @ rows.T
        found[start : start + BLOCK] = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
    return found


def smooth(probabilities: Probabilities, near: Indices, share: float) -> Probabilities:
    """Mix each distribution with the mean of its neighbours'; ``share`` 0 leaves it."""
    mean = np.zeros((len(near), probabilities.shape[1]), np.float32)
    for column in near.T:
        mean += probabilities[column]
    return (1 - share) * probabilities + share * mean / near.shape[1]
