"""Nearest neighbours by cosine, in blocks, so that no n x n matrix is in memory."""

from __future__ import annotations

import numpy as np

from react_ray.lgan.inputs import Features, Indices, Probabilities

__all__ = ["homophily", "nearest", "neighbour_count", "smooth"]

MIN_COUNT, MAX_COUNT = 3, 15
BLOCK_CELLS = 1 << 24
"""Cosines in a block: about 200 MB with their sort indices."""


def neighbour_count(rows: int, classes: int) -> int:
    """Return the number of neighbours: an eighth of an average class, so that most can be of it."""
    return int(np.clip(rows / classes / 8, MIN_COUNT, MAX_COUNT))


def nearest(queries: Features, rows: Features, count: int) -> Indices:
    """Return the indices of the ``count`` nearest ``rows`` of each query (norm 1): n x count.

    A row that is also a query is its own neighbour. With fewer rows there are fewer columns.
    """
    count = min(count, len(rows))
    indices = np.empty((len(queries), count), np.int64)
    block = max(1, BLOCK_CELLS // max(len(rows), 1))
    for start in range(0, len(queries), block):
        closeness = queries[start : start + block] @ rows.T
        indices[start : start + block] = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
    return indices


def smooth(probabilities: Probabilities, near: Indices, share: float) -> Probabilities:
    """Mix each distribution with the mean of its neighbours, which has the weight ``share``."""
    if not share:
        return probabilities
    mean = np.zeros((len(near), probabilities.shape[1]), np.float32)
    for column in near.T:
        mean += probabilities[column]
    return (1 - share) * probabilities + share * mean / near.shape[1]


def homophily(labels: Indices, near: Indices) -> float:
    """Return how much more often than by chance a row's neighbours have its label: 0 is chance, 1 is always.

    ``near`` has the neighbours of the rows themselves, so each row is one of its own.
    """
    if near.shape[1] < 2:
        return 0.0
    same = ((labels[near] == labels[:, None]).sum(1) - 1).mean() / (near.shape[1] - 1)
    chance = ((np.bincount(labels) / len(labels)) ** 2).sum()
    return float((same - chance) / max(1 - chance, 1e-6))
