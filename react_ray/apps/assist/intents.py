"""Intent classifier on the features of a frozen encoder: linear discriminant analysis.

The classes share a covariance matrix, so all of it is known in closed form: it takes seconds for hundreds of
classes, and the distance to the nearest class tells what is out of scope (Mahalanobis distance; Lee et al.
2018, arXiv:1807.03888).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.model_selection import StratifiedKFold

__all__ = ["SCOPE_FEATURES", "IntentClassifier", "folds"]

SCOPE_FEATURES = ("nearness", "relative_nearness", "energy", "log_probability")
FOLDS = 5
MIN_SHRINKAGE = 0.01


@dataclass(frozen=True)
class IntentClassifier:
    """Means of the classes in a space where all have the identity as covariance.

    Attributes
    ----------
    names
        The K intents.
    whiten
        d x d: embedding -> that space.
    means
        K x d, in that space.
    center
        Mean of all questions in that space, d.
    scale
        Inverse temperature of the probabilities.
    """

    names: list[str]
    whiten: NDArray[np.float32]
    means: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: float = 1.0

    @classmethod
    def fit(
        cls, vectors: NDArray[np.float32], intents: Sequence[str], scale: float = 1.0
    ) -> IntentClassifier:
        """Fit on embeddings (n x d) and their intents."""
        names, codes = np.unique(np.asarray(intents, dtype=object).astype(str), return_inverse=True)
        counts = np.bincount(codes)
        means = np.zeros((len(names), vectors.shape[1]))
        np.add.at(means, codes, vectors)
        means /= counts[:, None]
        whiten = _whitening(vectors - means[codes])
        center = (vectors @ whiten).mean(0)
        whitened = [array.astype(np.float32) for array in (whiten, means @ whiten, center)]
        return cls(names.tolist(), whitened[0], whitened[1], whitened[2], scale)

    def log_probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log probabilities, n x K."""
        result: NDArray[np.float64] = log_softmax(self._logits(vectors), axis=1)
        return result

    def scope_features(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what tells questions in scope from others, n x SCOPE_FEATURES; higher in scope."""
        distances, logits = self._distances(vectors), self._logits(vectors)
        nearest, width = distances.min(1), vectors.shape[1]
        background = ((vectors @ self.whiten - self.center) ** 2).sum(1)
        best = log_softmax(logits, axis=1).max(1)
        return np.stack(
            [-nearest / width, (background - nearest) / width, logsumexp(logits, axis=1) / 10, best], 1
        )

    def with_scale(self, vectors: NDArray[np.float32], codes: NDArray[np.int64]) -> float:
        """Return the scale with the smallest log loss on rows that were not trained on."""
        logits, rows = self._logits(vectors) / self.scale, np.arange(len(codes))

        def loss(log_scale: float) -> float:
            return -float(log_softmax(logits * np.exp(log_scale), axis=1)[rows, codes].mean())

        return float(np.exp(minimize_scalar(loss, bounds=(-5, 3), method="bounded").x))

    def _logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        return -self.scale / 2 * self._distances(vectors)

    def _distances(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        z = (vectors @ self.whiten).astype(np.float64)
        squares = (z**2).sum(1)[:, None] + (self.means.astype(np.float64) ** 2).sum(1)
        return np.maximum(squares - 2 * z @ self.means.T, 0)


def folds(intents: Sequence[str], seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield rows to fit and rows held out; an intent with one row is never held out."""
    names, codes, counts = np.unique(np.asarray(intents, str), return_inverse=True, return_counts=True)
    often = np.flatnonzero(counts[codes] > 1)
    single = np.flatnonzero(counts[codes] == 1)
    if len(often) < 2 or len(names) < 2:
        return
    count = int(min(FOLDS, max(2, counts.max())))
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    for _, held in splitter.split(often, codes[often]):
        held_out = often[held]
        train = np.setdiff1d(np.concatenate([often, single]), held_out)
        missing = np.setdiff1d(codes[held_out], codes[train])
        held_out = held_out[~np.isin(codes[held_out], missing)]
        yield train, held_out


def _whitening(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return W with W W' = inverse of the covariance of the residuals, shrunk towards the identity."""
    width = residuals.shape[1]
    covariance = residuals.T @ residuals / max(1, len(residuals))
    variance = np.trace(covariance) / width
    if variance < 1e-12:  # one row in each class
        return np.eye(width) * width**0.5
    shrinkage = max(MIN_SHRINKAGE, float(ledoit_wolf_shrinkage(residuals, assume_centered=True)))
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * variance * np.eye(width))
    result: NDArray[np.float64] = axes / np.sqrt(np.maximum(values, 1e-12))
    return result
