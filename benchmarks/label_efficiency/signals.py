"""What tells right labels from wrong ones: D, and the plain signals that it must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from react_ray.lgan import Generation, LganInputs
from react_ray.lgan.inputs import Indices, Probabilities
from react_ray.lgan.neighbours import nearest, neighbour_count

__all__ = ["judge", "judge_balance", "judge_foreign", "signals"]

COVERAGE = np.arange(0.1, 1.01, 0.1)
DIGITS = 6

Signals = dict[str, NDArray[np.float32]]


def signals(inputs: LganInputs, given: Probabilities, made: Generation) -> Signals:
    """For each made label, by name of the signal: higher where the label is more to be believed.

    ``confidence`` and ``margin`` are those of ``given``, what G_y alone says; ``neighbours`` is
    what it says of the nearest other rows, ``D`` the verifier's verdict, ``weight`` what a run
    trains with.
    """
    rows, labels = inputs.unlabeled, made.labels.argmax(1)
    near = nearest(rows, rows, neighbour_count(len(rows), inputs.classes) + 1)
    all_of_them = np.sum([given[column] for column in near.T], axis=0) if len(rows) else given
    around = (all_of_them - given) / max(near.shape[1] - 1, 1)
    return {
        "confidence": _of(given, labels),
        "margin": _of(given, labels) - _runner_up(given, labels),
        "neighbours": _of(around, labels),
        "D": made.score,
        "weight": made.weight,
    }


def _of(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    return probabilities[np.arange(len(labels)), labels]


def _runner_up(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = 0
    return others.max(1)


def judge(found: Signals, right: NDArray[np.bool_]) -> dict[str, Any]:
    """AUROC of each signal for ``right``, and its errors among the surest 10, 20, ... 100 %."""
    if len(np.unique(right)) < 2:
        return {}
    auroc = {name: round(float(roc_auc_score(right, signal)), DIGITS) for name, signal in found.items()}
    risk = {name: _risk(signal, right) for name, signal in found.items()}
    return {"auroc": auroc, "risk": risk}


def judge_foreign(found: Signals, kept: NDArray[np.bool_], foreign: NDArray[np.bool_]) -> dict[str, Any]:
    """How well rows of none of the classes are told from the others, and what becomes of both.

    AUROC of each signal, the share of each kind that is ``kept``, and the mean weight of all of it.
    """
    if foreign.all() or not foreign.any():
        return {}
    kinds = {"foreign": foreign, "own": ~foreign}
    return {
        "share": round(float(foreign.mean()), DIGITS),
        "auroc": {name: round(float(roc_auc_score(~foreign, s)), DIGITS) for name, s in found.items()},
        "kept": {kind: round(float(kept[rows].mean()), DIGITS) for kind, rows in kinds.items()},
        "weight": {kind: round(float(found["weight"][rows].mean()), DIGITS) for kind, rows in kinds.items()},
    }


def judge_balance(estimated: NDArray[np.floating], truth: Indices, labels: Indices) -> dict[str, float]:
    """Distance of the pool's class balance, half the sum of differences, from three guesses of it."""
    classes = len(estimated)
    own = np.bincount(truth[truth >= 0], minlength=classes)
    if not own.sum():
        return {}
    guesses = {"estimated": estimated, "labels": np.bincount(labels, minlength=classes) + 1e-9}
    guesses["uniform"] = np.ones(classes)
    return {
        name: round(float(np.abs(guess / guess.sum() - own / own.sum()).sum() / 2), DIGITS)
        for name, guess in guesses.items()
    }


def _risk(signal: NDArray[np.float32], right: NDArray[np.bool_]) -> list[float]:
    """Share of wrong labels at each coverage (El-Yaniv & Wiener 2010)."""
    wrong = ~right[np.argsort(-signal, kind="stable")]
    counts = np.maximum(np.round(COVERAGE * len(wrong)), 1).astype(int)
    return [round(float(wrong[:count].mean()), DIGITS) for count in counts]
