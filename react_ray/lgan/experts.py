"""The teacher G_y starts from and is held to: labels and names joined, then self-training.

1. Product of experts: probe^(1-w) * names^w. The weight w of the names is found out
   of fold on the labelled rows and falls to 0 where names do not help.
2. Every distribution is mixed with its neighbours' mean: close rows tend to share a class.
3. Self-training: fitted again on its most confident fifth, two fifths, ... of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.neighbours import nearest, smooth
from react_ray.lgan.probe import Probe, fit_probe, fit_softmax, log, one_hot, softmax
from react_ray.lgan.self_training import confident_rows

__all__ = ["Teacher", "class_prior", "fit_teacher", "names_weight", "product", "similarity"]

SHARPNESS = 15.0
"""Turns cosines of centred features into logits; differences between names are near 0.1."""
ROUNDS = 5
SMOOTHING = 0.5
GRID = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
"""Weights of the names that are tried."""
PRIOR_WEIGHT, PRIOR_ROWS = 0.3, 10
"""What is believed of w before any row is seen, and how many rows that belief is worth."""
PRIOR_STRENGTH = 0.1
"""Pseudo-rows for the labelled rows' balance in the prior, as a share of the pool."""


@dataclass(frozen=True)
class Teacher:
    """Labels for the pool (n x K), a linear classifier, the class balance, w."""

    believed: Probabilities
    probe: Probe
    prior: NDArray[np.float32]
    names_weight: float


def fit_teacher(inputs: LganInputs, use_names: bool = True) -> Teacher:
    """Join labels, names and pool; no chance in it. Needs some row or copy."""
    rows = np.vstack([inputs.labeled, inputs.augmented])
    labels = np.concatenate([inputs.labels, inputs.augmented_labels])
    pool, classes = inputs.pool, inputs.classes
    probe = fit_probe(inputs.labeled, inputs.labels, classes)
    if not len(pool):
        even = np.full(classes, 1 / classes, np.float32)
        return Teacher(np.zeros((0, classes), np.float32), probe, even, 0.0)
    centre = pool.mean(0)
    weight = names_weight(inputs, centre) if use_names else 0.0
    named = similarity(pool, inputs.names, centre)
    near = nearest(pool, pool)
    believed = product(probe.predict_proba(pool), named, weight)
    for turn in range(1, ROUNDS + 1):
        believed = smooth(believed, near, SMOOTHING)
        sure = confident_rows(believed, turn / ROUNDS)
        targets = np.vstack([one_hot(labels, classes), one_hot(believed[sure].argmax(1), classes)])
        probe = fit_softmax(np.vstack([rows, pool[sure]]), targets, start=probe, iterations=40)
        believed = probe.predict_proba(pool)
    believed = smooth(believed, near, SMOOTHING)
    return Teacher(believed, probe, class_prior(believed, inputs.labels), weight)


def similarity(features: Features, names: Features, centre: NDArray[np.float32]) -> Probabilities:
    """The names' own verdict: how much nearer each row is to a class's name; n x K."""
    rows, texts = features - centre, names - names.mean(0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    texts /= np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-6)
    return softmax(SHARPNESS * rows @ texts.T)


def product(first: Probabilities, second: Probabilities, weight: float) -> Probabilities:
    """first^(1 - weight) * second^weight, scaled to sum to 1."""
    return softmax((1 - weight) * log(first) + weight * log(second))


def names_weight(inputs: LganInputs, centre: NDArray[np.float32]) -> float:
    """The weight w of the names, by likelihood of the labelled rows out of fold.

    Without labels it is 1. Classes with a single row have nothing to hold out: their
    rows say how good the names are, not how good the probe is.
    """
    if not len(inputs.labels):
        return 1.0
    named = similarity(inputs.labeled, inputs.names, centre)
    guessed = _out_of_fold(inputs.labeled, inputs.labels, inputs.classes)
    belief = -PRIOR_ROWS * np.abs(GRID - PRIOR_WEIGHT)
    rows = np.arange(len(inputs.labels))
    for i, weight in enumerate(GRID):
        likelihood = log(product(guessed, named, float(weight)))[rows, inputs.labels]
        belief[i] += likelihood.sum()
    chances = softmax(belief[None].astype(np.float32))[0]
    return float(chances @ GRID)


def _out_of_fold(features: Features, labels: Indices, classes: int) -> Probabilities:
    """Probe's distribution of each labelled row, fitted without it."""
    guessed = np.full((len(labels), classes), 1 / classes, np.float32)
    counts = np.bincount(labels, minlength=classes)
    held = np.flatnonzero(counts[labels] > 1)
    folds = int(min(5, counts[labels[held]].min())) if len(held) else 0
    if folds < 2:
        return guessed
    single = np.flatnonzero(counts[labels] == 1)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    for train, test in splitter.split(held, labels[held]):
        fitted = np.concatenate([held[train], single])
        probe = fit_probe(features[fitted], labels[fitted], classes)
        guessed[held[test]] = probe.predict_proba(features[held[test]])
    return guessed


def class_prior(believed: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Class balance of the pool: what is believed of it, drawn a little to the labels'."""
    classes = believed.shape[1]
    counts = np.bincount(labels, minlength=classes) + 1.0
    pseudo = PRIOR_STRENGTH * len(believed) * counts / counts.sum()
    total = believed.sum(0) + pseudo
    return (total / total.sum()).astype(np.float32)
