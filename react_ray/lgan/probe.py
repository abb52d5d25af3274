"""Softmax regression on frozen features: the plain arm, and a component of the others."""

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
"""Above this number, fits dominate the cost of a run (rows times classes), so cheaper ones are used."""
TOLERANCE = 1e-4
"""Relative improvement of the loss at which a fit with many classes stops. Later iterations change hardly any
label, and the last improvements are below the precision of the sums."""
BLOCK_CELLS = 1 << 22
"""Maximum rows times classes that are computed at a time."""

COST = 10.0
"""1 / L2 penalty. With features of norm 1 and few labels, values from 1 to 100 hardly differ, but many
classes need 10 or more."""
BIAS_PENALTY = 1e-3
"""L2 penalty of the bias, which keeps it finite for a class without rows."""
_BLAS = ThreadpoolController()
"""Limits fits to one thread: the matrices are so small that more threads are slower."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier with weights (K x d) and bias (K)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: Features) -> NDArray[np.float32]:
        """Return logits: n x K."""
        return features @ self.weights.T + self.bias

    def predict_proba(self, features: Features) -> Probabilities:
        """Return probabilities: n x K."""
        return softmax(self.logits(features))


def fit_probe(
    features: Features, labels: Indices, classes: int, cost: float = COST, balanced: bool = False
) -> Probe:
    """Fit logistic regression to labelled rows (n x d) with ``labels`` (n).

    With ``balanced`` all classes have the same weight. A class without rows gets a low probability; without
    any rows all classes have the same.
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
    """Fit softmax regression to ``targets``: class indices (n) or distributions (n x K).

    Minimizes cost * sum of cross-entropies, weighted by ``weights`` (n), + |W|^2 / 2 by L-BFGS, starting from
    ``start``. With more than MANY_CLASSES it stops at TOLERANCE.
    """
    n, width = features.shape
    if not n:
        return Probe(np.zeros((classes, width), np.float32), np.zeros(classes, np.float32))
    rows = np.hstack([features, np.ones((n, 1), np.float32)]).astype(np.float32, copy=False)
    scale = np.full(n, cost, np.float32) if weights is None else (cost * weights).astype(np.float32)
    penalty = np.r_[np.ones(width), BIAS_PENALTY]
    block_size = max(1, BLOCK_CELLS // classes)
    blocks = [slice(row, row + block_size) for row in range(0, n, block_size)]

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        solution = flat.reshape(classes, width + 1)
        single_precision, gradient = solution.T.astype(np.float32), solution * penalty
        loss = 0.5 * (solution**2 * penalty).sum()
        for block in blocks:
            residuals = softmax(rows[block] @ single_precision)
            loss += _to_residuals(residuals, targets[block], scale[block])
            gradient += residuals.T @ rows[block]
        return loss, gradient.ravel()

    start_values = np.zeros((classes, width + 1))
    if start is not None:
        start_values = np.hstack([start.weights, start.bias[:, None]]).astype(np.float64)
    options: dict[str, float] = {"maxiter": iterations}
    if classes > MANY_CLASSES:
        options["ftol"] = TOLERANCE
    with _BLAS.limit(limits=1):
        result = minimize(objective, start_values.ravel(), jac=True, method="L-BFGS-B", options=options)
    solution = result.x.reshape(classes, width + 1)
    return Probe(solution[:, :-1].astype(np.float32), solution[:, -1].astype(np.float32))


def _to_residuals(
    probabilities: Probabilities, targets: Probabilities | Indices, scale: NDArray[np.float32]
) -> np.float64:
    """Replace ``probabilities`` (n x K) in place by the gradient of the loss by logits; return the loss."""
    if targets.ndim == 1:
        true_cells = np.arange(len(targets)), targets
        losses = log(probabilities[true_cells])
        probabilities[true_cells] -= 1
    else:
        losses = (targets * log(probabilities)).sum(1)
        probabilities -= targets
    probabilities *= scale[:, None]
    return -(scale * losses).sum(dtype=np.float64)


def seconds_a_cell(width: int, rows: int = 1024, classes: int = 256) -> float:
    """Measure the seconds of a pass over one row and class on this machine, to estimate durations."""
    features, weights = np.ones((rows, width), np.float32), np.zeros((width, classes), np.float32)
    labels, scale = np.arange(rows) % classes, np.ones(rows, np.float32)
    durations = []
    with _BLAS.limit(limits=1):
        for _ in range(3):
            started = time.monotonic()
            residuals = softmax(features @ weights)
            _to_residuals(residuals, labels, scale)
            residuals.T @ features
            durations.append(time.monotonic() - started)
    return min(durations) / (rows * classes)


def one_hot(labels: Indices, classes: int) -> Probabilities:
    """Return one-hot distributions: n x K."""
    return np.eye(classes, dtype=np.float32)[labels]


def softmax(logits: NDArray[Any]) -> Probabilities:
    """Return the softmax of each row of ``logits`` in single precision."""
    probabilities: Probabilities = special.softmax(logits, axis=1).astype(np.float32, copy=False)
    return probabilities


def log(probabilities: Probabilities) -> NDArray[np.float32]:
    """Return the logarithm, finite at 0."""
    return np.log(np.maximum(probabilities, 1e-12))
