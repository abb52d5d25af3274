"""Active learning: select the unlabelled rows that are most useful to label.

The selected rows represent many other uncertain rows: they are nearest to the centres of a k-means clustering
whose rows are weighted by uncertainty (Zhdanov 2019, arXiv:1901.05954).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from react_ray.lgan.inputs import Features, Indices

__all__ = ["most_useful"]

CANDIDATES = 20_000
"""Maximum rows to cluster, a random sample of a larger pool."""


def most_useful(rows: Features, uncertainty: NDArray[np.float32], count: int, seed: int = 0) -> Indices:
    """Indices of ``count`` of the ``rows`` (m x d), the largest clusters of doubt first.

    ``uncertainty`` (m, 0 to 1) is the probability that the generated label of a row is wrong. All
    rows where there are no more than ``count``.
    """
    candidates = np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(CANDIDATES, count)])
    if len(candidates) <= count:
        return candidates[np.argsort(-uncertainty[candidates], kind="stable")]
    weights = np.maximum(uncertainty[candidates], 1e-6)
    clusters = MiniBatchKMeans(count, n_init=3, random_state=seed, batch_size=4096).fit(
        rows[candidates], sample_weight=weights
    )
    distances = np.square(rows[candidates] - clusters.cluster_centers_[clusters.labels_]).sum(1)
    order = np.lexsort((distances, clusters.labels_))
    _, first = np.unique(clusters.labels_[order], return_index=True)
    chosen = order[first]
    largest = np.argsort(-np.bincount(clusters.labels_, weights)[clusters.labels_[chosen]], kind="stable")
    remaining = np.setdiff1d(np.argsort(-weights, kind="stable"), chosen, assume_unique=True)
    return candidates[np.concatenate([chosen[largest], remaining])[:count]]  # a cluster may be empty
