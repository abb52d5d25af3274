"""Metrics of retrieval, intents and out-of-scope detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from react_ray.apps.assist.words import words

__all__ = ["accuracy_at_recall", "macro_f1", "out_of_scope_auroc", "retrieval", "solved_curve", "token_f1"]

AT = 10
POINTS = 21


def retrieval(places: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return MRR@10 and recall of each question from the place of its first right answer, from 1; 0: none.

    >>> {name: values.tolist() for name, values in retrieval(np.array([2, 0])).items()}
    {'mrr_at_10': [0.5, 0.0], 'recall_at_1': [0.0, 0.0], 'recall_at_5': [1.0, 0.0]}
    """
    is_ranked = places > 0
    reciprocal = np.where(is_ranked & (places <= AT), 1 / np.maximum(places, 1), 0.0)
    recalls = {f"recall_at_{at}": (is_ranked & (places <= at)).astype(float) for at in (1, 5)}
    return {f"mrr_at_{AT}": reciprocal, **recalls}


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """Return the mean F1 over the intents that are true or predicted."""
    return float(
        f1_score(list(truth), [str(intent) for intent in predicted], average="macro", zero_division=0)
    )


def out_of_scope_auroc(in_scope: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve of out of scope; ``scores`` are higher in scope. None: one kind."""
    if in_scope.all() or not in_scope.any():
        return None
    return float(roc_auc_score(in_scope, scores))


def accuracy_at_recall(
    in_scope: NDArray[np.bool_], scores: NDArray[np.float64], recall: float = 0.95
) -> float | None:
    """Return the share of questions whose scope is decided right. None: all or none are in scope.

    Parameters
    ----------
    in_scope
        Whether each question is in scope.
    scores
        Higher in scope.
    recall
        Share of the questions in scope that must be accepted; the threshold is the highest that does.

    Example
    -------
    >>> accuracy_at_recall(np.array([True, True, False, False]), np.array([0.9, 0.5, 0.6, 0.1]))
    0.75
    """
    if in_scope.all() or not in_scope.any():
        return None
    threshold = np.quantile(scores[in_scope], 1 - recall, method="lower")
    return float(((scores >= threshold) == in_scope).mean())


def token_f1(answer: str, truth: str) -> float:
    """Return the F1 of the words of an answer, as SQuAD has it; Chinese by pairs of characters.

    >>> round(token_f1("in five days", "five days"), 2)
    0.8
    """
    predicted, reference = Counter(words(answer)), Counter(words(truth))
    common = (predicted & reference).total()
    return 2 * common / max(1, predicted.total() + reference.total())


def solved_curve(correct: NDArray[np.bool_], scores: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return the shares of all questions that are answered right and wrong from some thresholds on.

    Parameters
    ----------
    correct
        Whether the answer of each question is right; an answer to a question out of scope is wrong.
    scores
        How sure it is.

    Example
    -------
    >>> solved_curve(np.array([True, False]), np.array([0.9, 0.1]))[-1]
    {'threshold': 0.9, 'solved': 0.5, 'wrong': 0.0}
    """
    if not len(scores):
        return []
    thresholds: NDArray[np.float64] = np.unique(np.quantile(scores, np.linspace(0, 1, POINTS)))
    return [
        {
            "threshold": float(threshold),
            "solved": float((correct & (scores >= threshold)).mean()),
            "wrong": float((~correct & (scores >= threshold)).mean()),
        }
        for threshold in thresholds
    ]
