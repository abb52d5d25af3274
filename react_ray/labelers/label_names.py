"""Names of labels as evidence, where a row may have any number of them.

The counterpart of :mod:`react_ray.lgan.names`, which is for classes that exclude each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold

from react_ray.labelers.candidates import align_shares, join, predict_independent

__all__ = ["name_probabilities", "names_weight"]

GRID = np.arange(0.0, 0.75, 0.1)
"""Weights of the names that are tried."""
FOLDS = 5
FEWEST = 10
"""Labelled rows without which the names get no weight."""

Array = NDArray[np.float32]


def name_probabilities(sentences: Array, names: Array, shares: NDArray[np.floating]) -> Array:
    """Probability of each label for each row by the similarity of the row to the label's name: n x K.

    Cosines are standardized over the rows, because one name is nearer to all texts than another, and then
    aligned to the share of each label among the labelled rows.

    Parameters
    ----------
    sentences, names
        Embeddings of the rows (n x d) and of the names (K x d).
    shares
        Share of each label among the labelled rows (K).
    """
    cosines = _unit(sentences) @ _unit(names).T
    spread = np.maximum(cosines.std(0, keepdims=True), 1e-6)
    return align_shares(expit((cosines - cosines.mean(0)) / spread).astype(np.float32), shares)


def names_weight(features: Array, truth: Array, named: Array, seed: int) -> float:
    """The weight of the names with the highest mean average precision on the labelled rows, 0 to 0.7.

    ``named`` (u x K) are the results of :func:`name_probabilities` for the labelled rows, which have
    ``features`` (u x d) and ``truth`` (u x K). They are joined with a classifier that did not see the row, as
    the model did not see the pool. Names that say nothing, such as numbers, get a weight near 0.
    """
    if len(truth) < FEWEST:
        return 0.0
    predicted = np.empty_like(truth)
    for train, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(truth):
        unit_weights = np.ones(len(train), np.float32)
        predicted[held_out] = predict_independent(
            features[train], truth[train], unit_weights, features[held_out]
        )
    precision = [_mean_average_precision(truth, join(predicted, named, False, weight)) for weight in GRID]
    return float(GRID[int(np.argmax(precision))])


def _mean_average_precision(truth: Array, chances: Array) -> float:
    """Over the labels: unlike the likelihood it does not grow when a classifier gets less confident."""
    labels = np.flatnonzero(truth.any(0))
    return float(np.mean([average_precision_score(truth[:, k], chances[:, k]) for k in labels] or [0.0]))


def _unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
