"""Active learning: unlabelled rows that a person should label next.

They represent many other uncertain rows: k-means over the pool, each row weighted by the uncertainty
of its label, and of each cluster the row nearest its centre
(Zhdanov 2019, arXiv:1901.05954).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from react_ray.lgan.inputs import Features, Indices

__all__ = ["most_useful"]

CANDIDATES = 20_000
"""Rows that are clustered, drawn at random from a larger pool."""


def most_useful(rows: Features, doubt: NDArray[np.float32], count: int, seed: int = 0) -> Indices:
    """Indices of ``count`` of the ``rows`` (m x d), the largest clusters of doubt first.

    ``doubt`` (m, 0 to 1) is the probability that the generated label of a row is wrong. All
    rows where there are no more than ``count``.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(CANDIDATES, count)])
    if len(some) <= count:
        return some[np.argsort(-doubt[some], kind="stable")]
    weights = np.maximum(doubt[some], 1e-6)
    clusters = MiniBatchKMeans(count, n_init=3, random_state=seed, batch_size=4096).fit(
        rows[some], sample_weight=weights
    )
    away = np.square(rows[some] - clusters.cluster_centers_[clusters.labels_]).sum(1)
    order = np.lexsort((away, clusters.labels_))
    _, first = np.unique(clusters.labels_[order], return_index=True)
    chosen = order[first]
    largest = np.argsort(-np.bincount(clusters.labels_, weights)[clusters.labels_[chosen]], kind="stable")
    others = np.setdiff1d(np.argsort(-weights, kind="stable"), chosen, assume_unique=True)
    return some[np.concatenate([chosen[largest], others])[:count]]  # a cluster may be empty
