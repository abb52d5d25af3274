"""Softmax regression on frozen features: the plain arm, and a part of the others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from react_ray.lgan.inputs import Features, Indices, Probabilities

__all__ = ["MANY_CLASSES", "Probe", "fit_probe", "fit_softmax", "one_hot", "seconds_a_cell", "softmax"]

MANY_CLASSES = 200
"""Above this the cost of a fit, rows times classes, dominates a run, so fits are made cheaper."""
TOLERANCE = 1e-4
"""Of the loss: with many classes a fit ends at the first step that gains less. The iterations after it
change hardly a label, and the last of them search for a gain below the precision of the sums."""
BLOCK_CELLS = 1 << 22
"""Of rows times classes, worked on at a time."""

COST = 10.0
"""1 / L2 penalty. Unit-length features and few labels: from 1 to 100 it hardly matters,
but many classes want it at 10 or more."""
BIAS_PENALTY = 1e-3
"""Keeps the bias finite for a class without rows."""
_BLAS = ThreadpoolController()
"""To fit on one thread: the steps are so small that more threads wait for each other."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: weights K x d, bias K."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: Features) -> NDArray[np.float32]:
        """Scores before the softmax, n x K."""
        return features @ self.weights.T + self.bias

    def predict_proba(self, features: Features) -> Probabilities:
        """Probabilities, n x K."""
        return softmax(self.logits(features))


def fit_probe(
    features: Features, labels: Indices, classes: int, cost: float = COST, balanced: bool = False
) -> Probe:
    """Logistic regression on labelled rows (n x d; n labels); ``balanced``: each class of equal weight.

    A class without rows gets a low probability; without any row all are equal.
    """
    weights = None
    if balanced and len(labels):
        counts = np.bincount(labels, minlength=classes)
        weights = (len(labels) / (counts > 0).sum() / counts[labels]).astype(np.float32)
    return fit_softmax(features, labels, classes, weights, cost=cost)


def fit_softmax(
    features: Features,
    targets: Probabilities | Indices,
    classes: int,
    weights: NDArray[np.float32] | None = None,
    cost: float = COST,
    start: Probe | None = None,
    iterations: int = 100,
) -> Probe:
    """Softmax regression on ``targets``: n classes, or n x K distributions; ``weights`` (n) of the rows.

    Minimises cost * sum of weighted cross-entropies + |W|^2 / 2 with L-BFGS, from
    ``start`` if given. With more than MANY_CLASSES it stops at TOLERANCE.
    """
    n, width = features.shape
    if not n:
        return Probe(np.zeros((classes, width), np.float32), np.zeros(classes, np.float32))
    rows = np.hstack([features, np.ones((n, 1), np.float32)]).astype(np.float32, copy=False)
    scale = np.full(n, cost, np.float32) if weights is None else (cost * weights).astype(np.float32)
    penalty = np.r_[np.ones(width), BIAS_PENALTY]
    size = max(1, BLOCK_CELLS // classes)
    blocks = [slice(first, first + size) for first in range(0, n, size)]

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        solution = flat.reshape(classes, width + 1)
        narrow, slope = solution.T.astype(np.float32), solution * penalty
        loss = 0.5 * (solution**2 * penalty).sum()
        for block in blocks:
            off = softmax(rows[block] @ narrow)
            loss += _subtract(off, targets[block], scale[block])
            slope += off.T @ rows[block]
        return loss, slope.ravel()

    first = np.zeros((classes, width + 1))
    if start is not None:
        first = np.hstack([start.weights, start.bias[:, None]]).astype(np.float64)
    options: dict[str, float] = {"maxiter": iterations}
    if classes > MANY_CLASSES:
        options["ftol"] = TOLERANCE
    with _BLAS.limit(limits=1):
        result = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    solution = result.x.reshape(classes, width + 1)
    return Probe(solution[:, :-1].astype(np.float32), solution[:, -1].astype(np.float32))


def _subtract(
    predicted: Probabilities, targets: Probabilities | Indices, scale: NDArray[np.float32]
) -> np.float64:
    """Turn ``predicted`` (n x K) in place into the slope of the loss by logits; the loss over all rows."""
    if targets.ndim == 1:
        true_cells = np.arange(len(targets)), targets
        losses = log(predicted[true_cells])
        predicted[true_cells] -= 1
    else:
        losses = (targets * log(predicted)).sum(1)
        predicted -= targets
    predicted *= scale[:, None]
    return -(scale * losses).sum(dtype=np.float64)


def seconds_a_cell(width: int, rows: int = 1024, classes: int = 256) -> float:
    """What a pass over one row and class costs here: measured on made-up rows, for estimates."""
    features, weights = np.ones((rows, width), np.float32), np.zeros((width, classes), np.float32)
    labels, scale = np.arange(rows) % classes, np.ones(rows, np.float32)
    spent = []
    with _BLAS.limit(limits=1):
        for _ in range(3):
            started = time.monotonic()
            off = softmax(features @ weights)
            _subtract(off, labels, scale)
            off.T @ features
            spent.append(time.monotonic() - started)
    return min(spent) / (rows * classes)


def one_hot(labels: Indices, classes: int) -> Probabilities:
    """Certain distributions, n x K."""
    return np.eye(classes, dtype=np.float32)[labels]


def softmax(logits: NDArray[Any]) -> Probabilities:
    """Probabilities of each row of ``logits``, in single precision."""
    probabilities: Probabilities = special.softmax(logits, axis=1).astype(np.float32, copy=False)
    return probabilities


def log(probabilities: Probabilities) -> NDArray[np.float32]:
    """Logarithm that stays finite at 0."""
    return np.log(np.maximum(probabilities, 1e-12))
