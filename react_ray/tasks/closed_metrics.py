"""Metrics of single-label classification, as functions of summed counts.

``class_statistics`` returns counts of each row and ``class_scores`` the metrics of their sum, so that
intervals, paired tests and sums over workers share the code. The values equal those of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = [
    "Indices",
    "class_figures",
    "class_scores",
    "class_statistics",
    "f1_of_counts",
    "macro_f1_of_counts",
]

Indices = NDArray[np.int64]
"""n class indices."""
Counts = NDArray[np.float64]
"""Counts of any shape."""


def class_statistics(truth: Indices, predicted: Indices, classes: int) -> csr_array:
    """Count for each row its true class, its predicted class, and the class if both agree.

    Returns
    -------
    n x 3K sparse counts, in blocks of K columns: true, predicted, true positives.
    """
    rows = np.arange(len(truth))
    hits = truth == predicted
    columns = np.concatenate([truth, predicted + classes, truth[hits] + 2 * classes])
    places = (np.concatenate([rows, rows, rows[hits]]), columns)
    return csr_array((np.ones(len(columns)), places), shape=(len(truth), 3 * classes))


def class_scores(sums: NDArray[np.float64]) -> dict[str, Any]:
    """Return macro-F1 and accuracy of summed statistics (... x 3K), each of shape (...).

    Macro-F1 is the mean over the classes that are true or predicted for some row, as in
    ``sklearn.metrics.f1_score``. F1 of a class is 2 TP / (true + predicted).

    Example
    -------
    >>> sums = class_statistics(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 3).sum(0)
    >>> round(float(class_scores(sums)["macro_f1"]), 3)
    0.556
    """
    true, predicted, hits = np.split(np.asarray(sums, np.float64), 3, axis=-1)
    return {
        "macro_f1": macro_f1_of_counts(true, predicted, hits),
        "accuracy": hits.sum(-1) / true.sum(-1),
    }


def f1_of_counts(true: Counts, predicted: Counts, hits: Counts) -> Counts:
    """Return F1 = 2 TP / (true + predicted), 0 where nothing is true or predicted."""
    total = true + predicted
    return np.divide(2 * hits, total, out=np.zeros(np.shape(total)), where=total > 0)


def macro_f1_of_counts(true: Counts, predicted: Counts, hits: Counts) -> Counts:
    """Return the mean F1 over the classes (last axis) that are true or predicted at least once."""
    counted = (true + predicted > 0).sum(-1)
    return f1_of_counts(true, predicted, hits).sum(-1) / np.maximum(counted, 1)


def class_figures(sums: NDArray[np.float64], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and support of each class that is true or predicted (sums: 3K)."""
    true, predicted, hits = np.split(np.asarray(sums, np.float64), 3)
    return {
        label: {
            "precision": float(hits[i] / predicted[i]) if predicted[i] else 0.0,
            "recall": float(hits[i] / true[i]) if true[i] else 0.0,
            "f1": float(2 * hits[i] / (true[i] + predicted[i])),
            "support": int(true[i]),
        }
        for i, label in enumerate(labels)
        if true[i] + predicted[i]
    }
