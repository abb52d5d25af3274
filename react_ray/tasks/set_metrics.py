"""Metrics of sets of labels (multi-label classification), as functions of summed counts.

The values equal those of scikit-learn with ``zero_division=nan``: a label that is neither true nor predicted
for any row does not count in macro-F1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from scipy.stats import rankdata

from react_ray.tasks.closed_metrics import f1_of_counts, macro_f1_of_counts

__all__ = ["set_credit", "set_scores", "set_statistics"]

Sets = NDArray[np.bool_]
"""n x K: whether a row has a label."""


def set_statistics(truth: Sets, predicted: Sets, scores: NDArray[np.floating]) -> csr_array:
    """Count for each row; ``scores`` (n x K) rank the labels.

    Returns
    -------
    n x (3K + 3) sparse counts: K true, K predicted, K that are both, then whether the set is right, the label
    ranking average precision, and 1 for each row.
    """
    counts = np.hstack([truth, predicted, truth & predicted]).astype(np.float64)
    exact = (truth == predicted).all(1)
    of_row = np.stack([exact, _ranking_precision(truth, scores), np.ones(len(truth))], axis=1)
    return csr_array(hstack([csr_array(counts), csr_array(of_row)]))


def set_scores(sums: NDArray[np.float64]) -> dict[str, Any]:
    """Return macro-F1, micro-F1, subset accuracy and ranking precision of sums (... x (3K + 3))."""
    sums = np.asarray(sums, np.float64)
    true, predicted, hits = np.split(sums[..., :-3], 3, axis=-1)
    exact, precision, rows = np.moveaxis(sums[..., -3:], -1, 0)
    return {
        "macro_f1": macro_f1_of_counts(true, predicted, hits),
        "micro_f1": f1_of_counts(true.sum(-1), predicted.sum(-1), hits.sum(-1)),
        "subset_accuracy": exact / rows,
        "label_ranking_average_precision": precision / rows,
    }


def set_credit(truth: Sets, predicted: Sets) -> NDArray[np.float64]:
    """Return the F1 of each row's set (n, 0 to 1); 1 where a row has no label and none is predicted."""
    total = truth.sum(1) + predicted.sum(1)
    hits = (truth & predicted).sum(1)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)


def _ranking_precision(truth: Sets, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return for each row the mean over its labels of the precision at their rank."""
    rank = rankdata(-scores, method="max", axis=1)
    precision = np.ones(len(truth))
    for row in np.flatnonzero(truth.any(1) & ~truth.all(1)):
        ranks = rank[row, truth[row]]
        precision[row] = (rankdata(ranks, method="max") / ranks).mean()
    return precision
