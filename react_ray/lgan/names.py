"""Class names as evidence for labels, with an estimated weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.probe import fit_probe, log, softmax

__all__ = ["join", "names_weight", "product", "similarity", "spread"]

SHARPNESS = 15.0
"""Scale from cosines of centred features to logits; cosines of different names differ by about 0.1."""
WEIGHTS = np.arange(0.0, 0.75, 0.1)
"""Candidate weights of the names."""
TOPICAL_WEIGHT = 0.5
"""Prior mean of w if the pool varies along the names."""
PRIOR_STRENGTH = 4.0
"""Penalty of the log-posterior per unit of distance from the prior mean."""


def similarity(features: Features, names: Features, centre: NDArray[np.float32]) -> Probabilities:
    """Return label probabilities by similarity to the class names, n x K."""
    return softmax(SHARPNESS * _unit(features - centre) @ _unit(names - names.mean(0)).T)


def product(first: Probabilities, second: Probabilities, weight: float) -> Probabilities:
    """Return first^(1 - weight) * second^weight, normalized: n x K."""
    return softmax((1 - weight) * log(first) + weight * log(second))


def join(
    predicted: Probabilities, named: Probabilities, weight: float, labelled: NDArray[np.bool_]
) -> Probabilities:
    """Combine the probabilities from labels and from names: n x K.

    For ``labelled`` classes (mask: K) this is their product; for the others, the probability from names.
    """
    joined = named.copy()
    if not labelled.any():
        return joined
    labelled_share = named[:, labelled].sum(1, keepdims=True)
    joined[:, labelled] = labelled_share * product(predicted[:, labelled], named[:, labelled], weight)
    return joined


def spread(pool: Features, names: Features) -> float:
    """Return the variance of the pool along the names, relative to that along a random direction.

    It is near 1 for uninformative names (0, 1, 2), and 2 or more for topics.
    """
    rows = pool - pool.mean(0)
    total = rows.var(0).mean()
    return float((rows @ _unit(names - names.mean(0)).T).var(0).mean() / max(total, 1e-12))


def names_weight(inputs: LganInputs) -> float:
    """Estimate the weight w of the names, 0 to 1, by the likelihood of the labelled rows out of fold.

    It is 1 without labels. The only row of a class cannot be held out, so the probe predicts it with uniform
    probabilities. The prior of w comes from :func:`spread`.
    """
    if not len(inputs.labels):
        return 1.0
    prior = TOPICAL_WEIGHT * np.clip(spread(inputs.pool, inputs.names) - 1, 0, 1)
    named = similarity(inputs.labeled, inputs.names, inputs.pool.mean(0))
    predicted = out_of_fold(inputs.labeled, inputs.labels, inputs.classes)
    rows = np.arange(len(inputs.labels))
    log_posterior = [
        log(product(predicted, named, weight))[rows, inputs.labels].sum()
        - PRIOR_STRENGTH * abs(weight - prior)
        for weight in WEIGHTS
    ]
    return float(softmax(np.array([log_posterior], np.float32))[0] @ WEIGHTS)


def out_of_fold(features: Features, labels: Indices, classes: int) -> Probabilities:
    """Return the out-of-fold probabilities of the probe for each labelled row: n x K."""
    predicted = np.full((len(labels), classes), 1 / classes, np.float32)
    counts = np.bincount(labels, minlength=classes)
    repeated = np.flatnonzero(counts[labels] > 1)
    single = np.flatnonzero(counts[labels] == 1)
    if not len(repeated):
        return predicted
    splitter = StratifiedKFold(int(min(5, counts[labels[repeated]].min())), shuffle=True, random_state=0)
    for train, test in splitter.split(repeated, labels[repeated]):
        fitted = np.concatenate([repeated[train], single])
        probe = fit_probe(features[fitted], labels[fitted], classes)
        predicted[repeated[test]] = probe.predict_proba(features[repeated[test]])
    return predicted


def _unit(rows: Features) -> Features:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
