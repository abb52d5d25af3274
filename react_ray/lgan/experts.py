"""The teacher of G_y: labels and class names combined, then self-training.

There is an expert for each view of the rows, see :mod:`react_ray.data.views`:

1. Product of labels and names, probe^(1-w) * names^w, with w from :mod:`react_ray.lgan.names`. All
   classes have the same weight in the probe, because their numbers of labelled rows are often arbitrary.
   The probability of a class without a labelled row comes from the names alone (:func:`names.join`), and
   its name is used as a labelled row.
2. If the pool is homophilous (neighbours have the same label), every distribution is mixed with the mean of
   its neighbours. Topics are homophilous, sentiment is not.
3. Self-training: the probe is refitted on the most confident rows of each class, with more rows in each
   round. If the pool is not homophilous, this may fail; then a committee votes, with names and without,
   after no, half and all rounds. If there are few rows of each class, all rounds vote.

The teacher is the product of the experts, each to the power of its weight, which grows with the
homophily of its view. Homophily needs no labels. With several encoders, each of them has its own views, so
the encoder that says most of the pool counts most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from react_ray.console.reporter import Progress
from react_ray.data.views import SENTENCE, View, views_of
from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.names import TOPICAL_WEIGHT, join, names_weight, similarity
from react_ray.lgan.neighbours import homophily, nearest, neighbour_count, smooth
from react_ray.lgan.probe import MANY_CLASSES, Probe, fit_probe, fit_softmax, log, one_hot, softmax
from react_ray.lgan.self_training import confident_rows

__all__ = ["Expert", "Teacher", "class_prior", "committee", "fit_teacher"]

LABEL_WEIGHT = 5.0
"""Weight of a labelled row; a row with a generated label has weight 1."""
HOMOPHILOUS = 0.5
FEW_ROWS = 30
"""Unlabelled rows per class below which the errors of a single round may dominate a class."""
NO_SMOOTHING, MOST_SMOOTHING, SLOPE = 0.4, 0.5, 2.5
"""The weight of neighbours rises from 0 at a homophily of 0.4 to 0.5 at 0.6."""
ITERATIONS = 25
HOMOPHILY_SCALE = 15.0
"""Log-odds of a view's weight per unit of homophily."""
SENTENCE_BONUS = 0.03
"""Added to the homophily of the sentence view."""
PRIOR_STRENGTH = 0.1
"""Pseudo-rows for the labelled rows' balance in the prior, as a share of the pool."""


@dataclass(frozen=True)
class Expert:
    """Label probabilities of the pool (n x K) from one view, and a linear classifier of that view.

    ``names_weight`` is w. ``homophily`` measures how much more often than by chance neighbours have the
    same label, and determines ``smoothing``, the weight of neighbours.
    """

    probabilities: Probabilities
    probe: Probe
    names_weight: float
    homophily: float
    smoothing: float


@dataclass(frozen=True)
class Teacher:
    """Label probabilities of the pool (n x K), and linear classifiers of all features and of sentences.

    ``sentence_probes`` has one for each encoder; ``prior`` is the pool's class balance; ``view_weights`` sum
    to 1.
    """

    probabilities: Probabilities
    probe: Probe
    sentence_probes: Sequence[Probe]
    prior: NDArray[np.float32]
    experts: Mapping[str, Expert]
    view_weights: Mapping[str, float]

    @property
    def encoder_weights(self) -> list[float]:
        """Sum of the weights of the views of each encoder."""
        weights = np.array(list(self.view_weights.values()))
        return weights.reshape(len(self.sentence_probes), -1).sum(1).tolist()

    @property
    def smoothing(self) -> float:
        """Weight of neighbours, averaged over the experts."""
        return sum(self.view_weights[view] * expert.smoothing for view, expert in self.experts.items())

    @property
    def names_weight(self) -> float:
        """Weight of the class names beside the labels, averaged over the experts."""
        return sum(self.view_weights[view] * expert.names_weight for view, expert in self.experts.items())

    @property
    def homophily(self) -> float:
        """Homophily, averaged over the experts."""
        return sum(self.view_weights[view] * expert.homophily for view, expert in self.experts.items())


def fit_teacher(
    inputs: LganInputs, use_names: bool = True, rounds: int = 5, progress: Progress | None = None
) -> Teacher:
    """Fit the teacher to labels, names and pool; the result is deterministic."""
    experts: dict[str, Expert] = {}
    views = views_of(inputs.blocks)
    for view in views:
        experts[view.name] = _fit_expert(inputs.seen_as(view), use_names, rounds)
        if progress:
            progress(len(experts), len(views), "views of the pool")
    view_weights = _view_weights(views, [expert.homophily for expert in experts.values()])
    parts = [view_weights[name] * log(expert.probabilities) for name, expert in experts.items()]
    probabilities = softmax(np.sum(parts, axis=0))
    return Teacher(
        probabilities=probabilities,
        probe=_combine_probes(experts, view_weights, inputs.blocks),
        sentence_probes=[
            _fit_sentence_probe(inputs, view, probabilities, experts[view.name].probe)
            for view in views
            if _is_sentence(view)
        ],
        prior=class_prior(probabilities, inputs.labels),
        experts=experts,
        view_weights=view_weights,
    )


def _view_weights(views: Sequence[View], homophily: Sequence[float]) -> dict[str, float]:
    """Return the exponent of each view in the product; they sum to 1."""
    scores = [
        value + SENTENCE_BONUS * _is_sentence(view) for view, value in zip(views, homophily, strict=True)
    ]
    weights = softmax(HOMOPHILY_SCALE * np.array([scores]))[0].tolist()
    return {view.name: weight for view, weight in zip(views, weights, strict=True)}


def _is_sentence(view: View) -> bool:
    return (view.first, view.count) == (SENTENCE.first, SENTENCE.count)


def _combine_probes(experts: Mapping[str, Expert], view_weights: Mapping[str, float], blocks: int) -> Probe:
    """Combine the experts' linear classifiers into one of all features."""
    views = views_of(blocks)
    weights = [
        view_weights[view.name] * view.unfold(experts[view.name].probe.weights, blocks) for view in views
    ]
    biases = [view_weights[view.name] * experts[view.name].probe.bias for view in views]
    return Probe(np.sum(weights, axis=0, dtype=np.float32), np.sum(biases, axis=0, dtype=np.float32))


def _fit_sentence_probe(
    inputs: LganInputs, sentence: View, probabilities: Probabilities, start: Probe
) -> Probe:
    """Fit a classifier of the sentence embeddings of an encoder alone to the teacher's probabilities."""
    if inputs.blocks == 1:
        return start
    return _fit(inputs.seen_as(sentence), probabilities, np.arange(len(probabilities)), start)


def _fit_expert(inputs: LganInputs, use_names: bool, rounds: int) -> Expert:
    weight, labelled = 0.0, np.ones(inputs.classes, bool)
    if use_names:
        weight = names_weight(inputs) if len(inputs.pool) else 0.0
        labelled = np.isin(np.arange(inputs.classes), inputs.labels)
        inputs = _names_as_rows(inputs, ~labelled)
    pool, classes = inputs.pool, inputs.classes
    probe = fit_probe(inputs.labeled, inputs.labels, classes, balanced=True)
    if not len(pool):
        return Expert(probe.predict_proba(pool), probe, weight, 0.0, 0.0)
    named = similarity(pool, inputs.names, pool.mean(0))
    start = probe.predict_proba(pool)
    neighbours = nearest(pool, pool, neighbour_count(len(pool), classes))
    pool_homophily = homophily(join(start, named, weight, labelled).argmax(1), neighbours)
    share = float(np.clip(SLOPE * (pool_homophily - NO_SMOOTHING), 0, MOST_SMOOTHING))
    votes = np.zeros_like(start)
    for member_weight, n_rounds, vote in committee(
        weight, pool_homophily, rounds, len(pool) / classes, classes
    ):
        probabilities = join(start, named, member_weight, labelled)
        votes += vote * one_hot(
            _self_train(inputs, probabilities, probe, neighbours, share, n_rounds), classes
        )
    everyone = np.arange(len(pool))
    probe = _fit(inputs, votes / votes.sum(1, keepdims=True), everyone, probe)
    probabilities = smooth(probe.predict_proba(pool), neighbours, share)
    return Expert(probabilities, probe, weight, pool_homophily, share)


def _names_as_rows(inputs: LganInputs, named: NDArray[np.bool_]) -> LganInputs:
    """Add the names of the ``named`` classes (K) as labelled rows."""
    return replace(
        inputs,
        labeled=np.vstack([inputs.labeled, inputs.names[named]]),
        labels=np.concatenate([inputs.labels, np.flatnonzero(named)]),
    )


def committee(
    weight: float, pool_homophily: float, rounds: int, rows: float, classes: int
) -> list[tuple[float, int, float]]:
    """Return the members that vote on the pool: weight of the names, rounds, and weight of the vote.

    With many classes only the last round votes, because each member is an expensive self-training.
    """
    if classes > MANY_CLASSES:
        return [(weight, rounds, 1.0)]
    if pool_homophily > HOMOPHILOUS:
        return [(weight, n_rounds, 1.0) for n_rounds in range(0 if rows < FEW_ROWS else rounds, rounds + 1)]
    trust = min(1.0, weight / TOPICAL_WEIGHT)
    sides = [(weight, trust), (0.0, 1 - trust)]
    return [
        (side_weight, n_rounds, vote)
        for side_weight, vote in sides
        if vote
        for n_rounds in (0, ceil(rounds / 2), rounds)
    ]


def _self_train(
    inputs: LganInputs,
    probabilities: Probabilities,
    probe: Probe,
    neighbours: Indices,
    share: float,
    rounds: int,
) -> Indices:
    """Return labels of the pool after ``rounds``, each with more of its most confident rows."""
    for round_number in range(1, rounds + 1):
        probabilities = smooth(probabilities, neighbours, share)
        probe = _fit(
            inputs,
            probabilities.argmax(1),
            confident_rows(probabilities, round_number / rounds),
            probe,
        )
        probabilities = probe.predict_proba(inputs.pool)
    return smooth(probabilities, neighbours, share).argmax(1)


def _fit(inputs: LganInputs, targets: Probabilities | Indices, confident: Indices, start: Probe) -> Probe:
    """Fit labelled rows, copies, and the ``confident`` rows of the pool to their targets.

    With many classes copies are left out: they are most of the rows, and gain almost nothing here.
    """
    copies = slice(0) if inputs.classes > MANY_CLASSES else slice(None)
    features: Features = np.vstack([inputs.labeled, inputs.augmented[copies], inputs.pool[confident]])
    labels = np.concatenate([inputs.labels, inputs.augmented_labels[copies]])
    labelled_targets = one_hot(labels, inputs.classes) if targets.ndim == 2 else labels
    weights = np.ones(len(features), np.float32)
    weights[: len(inputs.labels)] = LABEL_WEIGHT
    return fit_softmax(
        features,
        np.concatenate([labelled_targets, targets[confident]]),
        inputs.classes,
        weights,
        start=start,
        iterations=ITERATIONS,
    )


def class_prior(probabilities: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Estimate the class balance of the pool, shrunk a little towards that of the labels."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes) + 1.0
    pseudo = max(PRIOR_STRENGTH * len(probabilities), 1.0) * counts / counts.sum()
    total = probabilities.sum(0) + pseudo
    return (total / total.sum()).astype(np.float32)
