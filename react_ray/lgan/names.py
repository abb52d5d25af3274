"""Class names as evidence for labels, and the estimation of their weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.probe import fit_probe, log, softmax

__all__ = ["join", "names_weight", "product", "similarity", "spread"]

SHARPNESS = 15.0
"""Turns cosines of centred features into logits; differences between names are near 0.1."""
GRID = np.arange(0.0, 0.75, 0.1)
"""Weights of the names that are tried."""
TOPICAL_WEIGHT = 0.5
"""Prior of w, before any label, where the pool varies along the names."""
PRIOR_STRENGTH = 4.0
"""Log-odds against w, per unit of distance from the prior."""


def similarity(features: Features, names: Features, centre: NDArray[np.float32]) -> Probabilities:
    """Return label probabilities by similarity to the class names, n x K."""
    return softmax(SHARPNESS * _unit(features - centre) @ _unit(names - names.mean(0)).T)


def product(first: Probabilities, second: Probabilities, weight: float) -> Probabilities:
    """first^(1 - weight) * second^weight, scaled to sum to 1."""
    return softmax((1 - weight) * log(first) + weight * log(second))


def join(
    guessed: Probabilities, named: Probabilities, weight: float, labelled: NDArray[np.bool_]
) -> Probabilities:
    """Combine the probabilities from labels and from names, n x K.

    Over the ``labelled`` classes (K) this is their product; the others get the probability from names alone.
    """
    joined = named.copy()
    if not labelled.any():
        return joined
    share = named[:, labelled].sum(1, keepdims=True)
    joined[:, labelled] = share * product(guessed[:, labelled], named[:, labelled], weight)
    return joined


def spread(pool: Features, names: Features) -> float:
    """Variance of the pool along the names, over that along a direction at random.

    Near 1 for uninformative names (0, 1, 2), 2 and more for topics.
    """
    rows = pool - pool.mean(0)
    total = rows.var(0).mean()
    return float((rows @ _unit(names - names.mean(0)).T).var(0).mean() / max(total, 1e-12))


def names_weight(inputs: LganInputs) -> float:
    """Estimate the weight w of the names, 0 to 1, by the likelihood of the labelled rows out of fold.

    Without labels it is 1. The single row of a class cannot be held out, so it measures the names, not
    the probe. The prior of w comes from :func:`spread`.
    """
    if not len(inputs.labels):
        return 1.0
    prior = TOPICAL_WEIGHT * np.clip(spread(inputs.pool, inputs.names) - 1, 0, 1)
    named = similarity(inputs.labeled, inputs.names, inputs.pool.mean(0))
    guessed = out_of_fold(inputs.labeled, inputs.labels, inputs.classes)
    rows = np.arange(len(inputs.labels))
    odds = [
        log(product(guessed, named, weight))[rows, inputs.labels].sum() - PRIOR_STRENGTH * abs(weight - prior)
        for weight in GRID
    ]
    return float(softmax(np.array([odds], np.float32))[0] @ GRID)


def out_of_fold(features: Features, labels: Indices, classes: int) -> Probabilities:
    """Return the out-of-fold probabilities of the probe for each labelled row, n x K."""
    guessed = np.full((len(labels), classes), 1 / classes, np.float32)
    counts = np.bincount(labels, minlength=classes)
    held = np.flatnonzero(counts[labels] > 1)
    single = np.flatnonzero(counts[labels] == 1)
    if not len(held):
        return guessed
    splitter = StratifiedKFold(int(min(5, counts[labels[held]].min())), shuffle=True, random_state=0)
    for train, test in splitter.split(held, labels[held]):
        fitted = np.concatenate([held[train], single])
        probe = fit_probe(features[fitted], labels[fitted], classes)
        guessed[held[test]] = probe.predict_proba(features[held[test]])
    return guessed


def _unit(rows: Features) -> Features:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
