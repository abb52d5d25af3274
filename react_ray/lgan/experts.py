"""The teacher G_y starts from and is held to: labels and names joined, then self-training.

1. Product of experts, probe^(1-w) * names^w, with w from :mod:`react_ray.lgan.names`.
2. Where the pool is homophilous (close rows get one label), every distribution is
   mixed with its neighbours' mean. Topics are so, sentiment is not.
3. Self-training: fitted again on the most confident rows of each class, more each round.
   Where the pool is not homophilous this may lead astray, so a committee votes there:
   with names and without, and with more and fewer rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.names import TOPICAL_WEIGHT, names_weight, product, similarity
from react_ray.lgan.neighbours import homophily, nearest, neighbour_count, smooth
from react_ray.lgan.probe import Probe, fit_probe, fit_softmax, one_hot
from react_ray.lgan.self_training import confident_rows

__all__ = ["Teacher", "class_prior", "fit_teacher"]

LABEL_WEIGHT = 5.0
"""Of a labelled row against a row labelled by the teacher itself."""
ROUNDS = 5
COMMITTEE_ROUNDS = (0, 3, 5)
HOMOPHILOUS = 0.5
NO_SMOOTHING, MOST_SMOOTHING, SLOPE = 0.4, 0.5, 2.5
"""The neighbours' share rises from 0 at a homophily of 0.4 to 0.5 at 0.6."""
ITERATIONS = 25
PRIOR_STRENGTH = 0.1
"""Pseudo-rows for the labelled rows' balance in the prior, as a share of the pool."""


@dataclass(frozen=True)
class Teacher:
    """Labels for the pool (n x K), a linear classifier, and what was found on the way.

    ``prior`` is the pool's class balance, ``names_weight`` w, ``homophily`` how much
    more often than by chance close rows get one label, ``smoothing`` the neighbours'
    share that follows from it.
    """

    believed: Probabilities
    probe: Probe
    prior: NDArray[np.float32]
    names_weight: float
    homophily: float
    smoothing: float


def fit_teacher(inputs: LganInputs, use_names: bool = True) -> Teacher:
    """Join labels, names and pool; there is no chance in it."""
    pool, classes = inputs.pool, inputs.classes
    probe = fit_probe(inputs.labeled, inputs.labels, classes)
    if not len(pool):
        prior = class_prior(probe.predict_proba(pool), inputs.labels)
        return Teacher(probe.predict_proba(pool), probe, prior, 0.0, 0.0, 0.0)
    weight = names_weight(inputs) if use_names else 0.0
    named = similarity(pool, inputs.names, pool.mean(0))
    start = probe.predict_proba(pool)
    near = nearest(pool, pool, neighbour_count(len(pool), classes))
    alike = homophily(product(start, named, weight).argmax(1), near)
    share = float(np.clip(SLOPE * (alike - NO_SMOOTHING), 0, MOST_SMOOTHING))
    votes = np.zeros_like(start)
    for member_weight, rounds, say in _committee(weight, alike):
        believed = product(start, named, member_weight)
        votes += say * one_hot(_self_train(inputs, believed, probe, near, share, rounds), classes)
    everyone = np.arange(len(pool))
    probe = _fit(inputs, votes / votes.sum(1, keepdims=True), everyone, probe)
    believed = smooth(probe.predict_proba(pool), near, share)
    return Teacher(believed, probe, class_prior(believed, inputs.labels), weight, alike, share)


def _committee(weight: float, alike: float) -> list[tuple[float, int, float]]:
    """Members that vote on the pool: weight of the names, rounds, and say."""
    if alike > HOMOPHILOUS:
        return [(weight, ROUNDS, 1.0)]
    trust = min(1.0, weight / TOPICAL_WEIGHT)
    sides = [(weight, trust), (0.0, 1 - trust)]
    return [(side, rounds, say) for side, say in sides if say for rounds in COMMITTEE_ROUNDS]


def _self_train(
    inputs: LganInputs, believed: Probabilities, probe: Probe, near: Indices, share: float, rounds: int
) -> Indices:
    """Labels of the pool after ``rounds``, each with more of its most confident rows."""
    for turn in range(1, rounds + 1):
        believed = smooth(believed, near, share)
        probe = _fit(
            inputs,
            one_hot(believed.argmax(1), inputs.classes),
            confident_rows(believed, turn / rounds),
            probe,
        )
        believed = probe.predict_proba(inputs.pool)
    return smooth(believed, near, share).argmax(1)


def _fit(inputs: LganInputs, targets: Probabilities, sure: Indices, start: Probe) -> Probe:
    """Fit labelled rows, copies, and the ``sure`` rows of the pool to their targets."""
    features: Features = np.vstack([inputs.labeled, inputs.augmented, inputs.pool[sure]])
    known = one_hot(np.concatenate([inputs.labels, inputs.augmented_labels]), inputs.classes)
    weights = np.ones(len(features), np.float32)
    weights[: len(inputs.labels)] = LABEL_WEIGHT
    return fit_softmax(
        features, np.vstack([known, targets[sure]]), weights, start=start, iterations=ITERATIONS
    )


def class_prior(believed: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Class balance of the pool: what is believed of it, drawn a little to the labels'."""
    classes = believed.shape[1]
    counts = np.bincount(labels, minlength=classes) + 1.0
    pseudo = max(PRIOR_STRENGTH * len(believed), 1.0) * counts / counts.sum()
    total = believed.sum(0) + pseudo
    return (total / total.sum()).astype(np.float32)
