"""Metrics of answers and of generated labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from react_ray.answer import Answer
from react_ray.evaluate.intervals import intervals, lead_interval
from react_ray.evaluate.schema import Bin, ClassLabels, Difference, LabelQuality, Score
from react_ray.tasks import Task

__all__ = ["answer_quality", "label_quality", "lead", "measure", "reliability"]

BINS = 15
"""Number of bins of equal width, as in Guo et al. 2017, arXiv:1706.04599."""


def measure(
    task: Task, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str], details: bool = True
) -> Score:
    """Return all metrics of ``answers`` for ``rows`` with targets, one answer per row.

    These are the metrics of the task with intervals, the calibration of the scores and, with ``details``,
    the task's further results. Raises ValueError without rows or if the numbers differ, and KeyError for a
    name that is not a class.
    """
    if not len(rows) or len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows with targets, but {len(answers)} answers")
    statistics, credit = task.statistics(answers, rows, labels), task.credit(answers, rows)
    bins = reliability(np.array([answer.score for answer in answers]), task.correct(credit))
    metrics: dict[str, Any] = {"n": len(rows)}
    for name, interval in intervals(statistics, credit, task.score).items():
        metrics |= {name: None, f"{name}_interval": interval}
    metrics |= task.measure(answers, rows, labels) | {"ece": _calibration_error(bins)}
    if details:
        metrics |= {**task.details(answers, rows, labels), "reliability": bins}
    return metrics


def lead(
    task: Task, first: Sequence[Answer], second: Sequence[Answer], rows: pa.Table, labels: Sequence[str]
) -> Difference:
    """Return the difference in the headline metric, ``first`` minus ``second``, with its interval."""
    metric = task.metrics[0]
    difference = task.measure(first, rows, labels)[metric] - task.measure(second, rows, labels)[metric]
    first_counts, second_counts = (task.statistics(answers, rows, labels) for answers in (first, second))
    return {metric: difference, "interval": lead_interval(first_counts, second_counts, task.score, metric)}


def reliability(confidence: NDArray[np.floating], correct: NDArray[Any]) -> list[Bin]:
    """Return the non-empty bins of ``confidence`` (n, 0 to 1) with their mean of ``correct`` (n, 0 to 1)."""
    edges = np.linspace(0, 1, BINS + 1)
    bin_index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "n": int((bin_index == i).sum()),
            "confidence": float(confidence[bin_index == i].mean()),
            "accuracy": float(correct[bin_index == i].mean()),
        }
        for i in np.unique(bin_index)
    ]


def label_quality(
    probabilities: ArrayLike,
    weight: NDArray[np.floating],
    verdict: NDArray[np.floating],
    names: Sequence[str],
    truth: Sequence[str | None] | None = None,
    balance: ArrayLike | None = None,
    out_of_scope: NDArray[np.bool_] | None = None,
) -> LabelQuality | None:
    """Measure the quality of generated labels; None without rows.

    Parameters
    ----------
    probabilities
        Label distributions: m x K.
    weight, verdict
        Weight of each label, and D's score for it: m.
    truth
        True labels, None where unknown; a label whose truth is not a class counts as wrong.
    balance
        Estimated share of each class: K.
    out_of_scope
        Mask of the rows that are of no class: m.
    """
    distributions = np.asarray(probabilities, dtype=np.float64)
    if not len(distributions):
        return None
    predicted, kept = distributions.argmax(axis=1), weight > 0
    truths = np.array([None] * len(distributions) if truth is None else list(truth), dtype=object)
    has_truth = np.array([value is not None for value in truths], dtype=bool)
    correct = np.array([value == names[i] for value, i in zip(truths, predicted, strict=True)], dtype=bool)
    bins = reliability(weight[has_truth & kept], correct[has_truth & kept])
    return {
        "generated": len(distributions),
        "kept": int(kept.sum()),
        "foreign": 0 if out_of_scope is None else int(out_of_scope.sum()),
        "known": int(has_truth.sum()),
        "accuracy": _mean(correct[has_truth]),
        "kept_accuracy": _mean(correct[has_truth & kept]),
        "auroc_weight": _auroc(correct[has_truth], weight[has_truth]),
        "auroc_score": _auroc(correct[has_truth], verdict[has_truth]),
        "ece_weight": _calibration_error(bins) if bins else None,
        "reliability": bins,
        "per_class": {
            name: _class_quality(predicted == i, kept, has_truth, correct) for i, name in enumerate(names)
        },
        "balance": None
        if balance is None
        else dict(zip(names, map(float, np.asarray(balance)), strict=True)),
    }


def answer_quality(
    answers: Sequence[Answer],
    weight: NDArray[np.floating],
    has_truth: NDArray[np.bool_],
    credit: NDArray[np.float64],
    correct: NDArray[np.float64],
) -> LabelQuality | None:
    """Measure the quality of the answers for m rows of the unlabelled pool; None without rows.

    As :func:`label_quality`, for tasks without a single label per row: ``credit`` is that of the rows where
    ``has_truth`` (m), and accuracy is its mean. The weights are compared with ``correct``, the
    :meth:`Task.correct` of that credit.
    """
    if not len(answers):
        return None
    kept, score = weight > 0, np.array([answer.score for answer in answers])
    bins = reliability(weight[has_truth & kept], correct[kept[has_truth]])
    exact = credit == 1
    return {
        "generated": len(answers),
        "kept": int(kept.sum()),
        "foreign": 0,
        "known": int(has_truth.sum()),
        "accuracy": _mean(credit),
        "kept_accuracy": _mean(credit[kept[has_truth]]),
        "auroc_weight": _auroc(exact, weight[has_truth]),
        "auroc_score": _auroc(exact, score[has_truth]),
        "ece_weight": _calibration_error(bins) if bins else None,
        "reliability": bins,
        "per_class": {},
        "balance": None,
    }


def _class_quality(
    of_class: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    has_truth: NDArray[np.bool_],
    correct: NDArray[np.bool_],
) -> ClassLabels:
    return {
        "generated": int(of_class.sum()),
        "kept": int((of_class & kept).sum()),
        "accuracy": _mean(correct[of_class & has_truth]),
    }


def _calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy, weighted by rows."""
    distances = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins)
    return distances / sum(b["n"] for b in bins)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _auroc(correct: NDArray[np.bool_], signal: NDArray[np.floating]) -> float | None:
    if len(np.unique(correct)) < 2 or not np.isfinite(signal).all():
        return None
    return float(roc_auc_score(correct, signal))
