"""The figures of a run: how good predictions are, and how good generated labels are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import classification_report, confusion_matrix, f1_score, roc_auc_score

from react_ray.evaluate.intervals import accuracy_interval, lead_interval, macro_f1_interval
from react_ray.evaluate.schema import Bin, ClassLabels, ClassScore, Difference, Figures, LabelQuality, Score
from react_ray.labels import LabelMap

__all__ = ["brief", "label_quality", "lead", "reliability", "score"]

BINS = 15
"""Of equal width, as in Guo et al. 2017, arXiv:1706.04599."""
MATRIX_CLASSES = 200
"""Above this the confusion matrix would be most of metrics.json, and nearly all of it zeros."""
Labels = Sequence[str] | NDArray[np.int64]


def score(truth: Labels, probabilities: ArrayLike, names: Sequence[str]) -> Score:
    """All figures of predictions: ``truth`` (n names or class indices), n x K probabilities.

    ``names`` are the classes in the order of the columns. Raises ValueError without rows
    or when the shapes do not fit, KeyError for a name that is no class.
    """
    # a collapsed arm gives numbers that are none: no probability at all, so that the rest is still told
    given, true = np.nan_to_num(np.asarray(probabilities, dtype=np.float64), posinf=0), _indices(truth, names)
    if not len(true) or given.shape != (len(true), len(names)):
        raise ValueError(f"{len(true)} labels and {len(names)} classes, but probabilities of {given.shape}")
    predicted = given.argmax(axis=1)
    bins = reliability(given.max(axis=1), predicted == true)
    whole = len(names) <= MATRIX_CLASSES
    found: Score = {
        "n": len(true),
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
        "macro_f1_interval": macro_f1_interval(true, predicted, len(names)),
        "accuracy": float((true == predicted).mean()),
        "accuracy_interval": accuracy_interval(true, predicted),
        "ece": _calibration_error(bins),
        "per_class": _per_class(true, predicted, names),
        "confusion": confusion_matrix(true, predicted, labels=range(len(names))).tolist() if whole else None,
        "reliability": bins,
    }
    if not whole:
        cells, counts = np.unique(np.stack([true, predicted], axis=1), axis=0, return_counts=True)
        found["cells"] = np.column_stack([cells, counts]).tolist()
    return found


def brief(full: Score) -> Figures:
    """The figures of ``full`` without details, for arms other than the saved model."""
    return {key: full[key] for key in Figures.__annotations__}  # type: ignore[return-value,literal-required]


def lead(truth: Labels, probabilities: ArrayLike, other: ArrayLike, names: Sequence[str]) -> Difference:
    """By how much macro-F1 of ``probabilities`` is above that of ``other`` (both n x K)."""
    true = _indices(truth, names)
    ours, theirs = np.asarray(probabilities).argmax(axis=1), np.asarray(other).argmax(axis=1)
    macro = [f1_score(true, made, average="macro", zero_division=0) for made in (ours, theirs)]
    return {"macro_f1": float(macro[0] - macro[1]), "interval": lead_interval(true, ours, theirs, len(names))}


def reliability(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> list[Bin]:
    """Rows in bins of ``confidence`` (n, 0 to 1) and the share of each bin that is right."""
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "n": int((place == i).sum()),
            "confidence": float(confidence[place == i].mean()),
            "accuracy": float(right[place == i].mean()),
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


def _indices(labels: Labels, names: Sequence[str]) -> NDArray[np.int64]:
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return labels
    return LabelMap(tuple(names)).indices([str(label) for label in labels])


def _per_class(
    true: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]
) -> dict[str, ClassScore]:
    occur = np.union1d(true, predicted)
    report = classification_report(true, predicted, labels=occur, output_dict=True, zero_division=0)
    return {names[i]: _class_score(report[str(i)]) for i in occur}


def _class_score(row: dict[str, float]) -> ClassScore:
    return {
        "precision": float(row["precision"]),
        "recall": float(row["recall"]),
        "f1": float(row["f1-score"]),
        "support": int(row["support"]),
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


def _share(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None


def _auroc(right: NDArray[np.bool_], signal: NDArray[np.floating]) -> float | None:
    if len(np.unique(right)) < 2 or not np.isfinite(signal).all():
        return None
    return float(roc_auc_score(right, signal))
