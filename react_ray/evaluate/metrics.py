"""The figures of a run: how good answers are, and how good generated labels are."""

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
"""Of equal width, as in Guo et al. 2017, arXiv:1706.04599."""


def measure(
    task: Task, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str], details: bool = True
) -> Score:
    """All figures of ``answers`` for ``rows`` with known targets, one answer per row.

    Each metric of the task with its interval, the calibration of the scores and, with ``details``, what the
    task tells beside its metrics. Raises ValueError without rows or when the numbers differ, KeyError for a
    name that is no class.
    """
    if not len(rows) or len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows with known targets, but {len(answers)} answers")
    statistics, credit = task.statistics(answers, rows, labels), task.credit(answers, rows)
    bins = reliability(np.array([answer.score for answer in answers]), credit)
    found: dict[str, Any] = {"n": len(rows)}
    for name, interval in intervals(statistics, credit, task.score).items():
        found |= {name: None, f"{name}_interval": interval}
    found |= task.measure(answers, rows, labels) | {"ece": _calibration_error(bins)}
    if details:
        found |= {**task.details(answers, rows, labels), "reliability": bins}
    return found


def lead(
    task: Task, ours: Sequence[Answer], theirs: Sequence[Answer], rows: pa.Table, labels: Sequence[str]
) -> Difference:
    """By how much the headline metric of ``ours`` is above that of ``theirs``."""
    metric = task.metrics[0]
    difference = task.measure(ours, rows, labels)[metric] - task.measure(theirs, rows, labels)[metric]
    our_counts, their_counts = (task.statistics(answers, rows, labels) for answers in (ours, theirs))
    return {metric: difference, "interval": lead_interval(our_counts, their_counts, task.score, metric)}


def reliability(confidence: NDArray[np.floating], credit: NDArray[Any]) -> list[Bin]:
    """Rows in bins of ``confidence`` (n, 0 to 1), and the mean credit (n, 0 to 1) of each bin."""
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "n": int((place == i).sum()),
            "confidence": float(confidence[place == i].mean()),
            "accuracy": float(credit[place == i].mean()),
        }
        for i in np.unique(place)
    ]


def label_quality(
    probabilities: ArrayLike,
    weight: NDArray[np.floating],
    verdict: NDArray[np.floating],
    names: Sequence[str],
    truth: Sequence[str | None] | None = None,
    balance: ArrayLike | None = None,
    foreign: NDArray[np.bool_] | None = None,
) -> LabelQuality | None:
    """Generated labels (m x K) with their ``weight`` and D's ``verdict`` (m each), judged.

    ``truth`` has None where it is not known; a truth that is no class makes the label
    wrong. ``balance`` (K) is the estimated share of each class, ``foreign`` (m) the rows
    taken to be of none. None without rows.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if not len(given):
        return None
    made, kept = given.argmax(axis=1), weight > 0
    of_truth = np.array([None] * len(given) if truth is None else list(truth), dtype=object)
    known = np.array([value is not None for value in of_truth], dtype=bool)
    right = np.array([value == names[i] for value, i in zip(of_truth, made, strict=True)], dtype=bool)
    bins = reliability(weight[known & kept], right[known & kept])
    return {
        "generated": len(given),
        "kept": int(kept.sum()),
        "foreign": 0 if foreign is None else int(foreign.sum()),
        "known": int(known.sum()),
        "accuracy": _share(right[known]),
        "kept_accuracy": _share(right[known & kept]),
        "auroc_weight": _auroc(right[known], weight[known]),
        "auroc_score": _auroc(right[known], verdict[known]),
        "ece_weight": _calibration_error(bins) if bins else None,
        "reliability": bins,
        "per_class": {name: _class_labels(made == i, kept, known, right) for i, name in enumerate(names)},
        "balance": None
        if balance is None
        else dict(zip(names, map(float, np.asarray(balance)), strict=True)),
    }


def answer_quality(
    answers: Sequence[Answer],
    weight: NDArray[np.floating],
    known: NDArray[np.bool_],
    credit: NDArray[np.float64],
) -> LabelQuality | None:
    """Answers made for m pool rows, judged by the ``credit`` of those with ``known`` truth.

    As :func:`label_quality`, for tasks without one label a row: accuracy is the mean credit.
    """
    if not len(answers):
        return None
    kept, score = weight > 0, np.array([answer.score for answer in answers])
    bins = reliability(weight[known & kept], credit[kept[known]])
    right = credit == 1
    return {
        "generated": len(answers),
        "kept": int(kept.sum()),
        "foreign": 0,
        "known": int(known.sum()),
        "accuracy": _share(credit),
        "kept_accuracy": _share(credit[kept[known]]),
        "auroc_weight": _auroc(right, weight[known]),
        "auroc_score": _auroc(right, score[known]),
        "ece_weight": _calibration_error(bins) if bins else None,
        "reliability": bins,
        "per_class": {},
        "balance": None,
    }


def _class_labels(
    own: NDArray[np.bool_], kept: NDArray[np.bool_], known: NDArray[np.bool_], right: NDArray[np.bool_]
) -> ClassLabels:
    return {
        "generated": int(own.sum()),
        "kept": int((own & kept).sum()),
        "accuracy": _share(right[own & known]),
    }


def _calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence and accuracy, a bin counting as much as it has rows."""
    distances = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins)
    return distances / sum(b["n"] for b in bins)


def _share(right: NDArray[Any]) -> float | None:
    return float(right.mean()) if len(right) else None


def _auroc(right: NDArray[np.bool_], signal: NDArray[np.floating]) -> float | None:
    if len(np.unique(right)) < 2 or not np.isfinite(signal).all():
        return None
    return float(roc_auc_score(right, signal))
