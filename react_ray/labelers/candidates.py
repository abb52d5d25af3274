"""Labels for the pool by the fine-tuned model, judged out of fold on frozen features.

The model that was fine-tuned on the labelled rows proposes a distribution for each unit of a pool row (a
token, or the row itself). D is fitted on frozen features of the units: labelled ones with their truth, and
pool ones of the other folds with what was proposed for them, so it judges a proposal that it has not seen.
The label of a unit is the product of both, and the weight of a row is the certainty of its least certain
unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from react_ray.lgan.names import product
from react_ray.lgan.probe import fit_softmax

__all__ = [
    "FOLDS",
    "align_balance",
    "collapse_alarm",
    "fold_of_rows",
    "join",
    "judge_units",
    "row_certainty",
    "row_weights",
    "sharpen",
]

FOLDS = 3
ITERATIONS = 25
LABEL_WEIGHT = 5.0
"""Of a labelled unit against one whose label was proposed."""
KEPT = 0.7
"""Share of the pool rows that are trained on: the most certain ones."""
SHARPENING = 2.0
"""Power of the probabilities in D_aug, see :mod:`react_ray.lgan.generate`."""
CLIP = 1e-4
"""Least distance of a probability from 0 and 1."""
MOST_SHIFT = 10.0
"""Of log-odds, to meet a share."""
VANISHED = 0.05
"""A class vanished when it has less than this share of its part among the labelled units."""
DUE = 5
"""Units that a class is due at least: one of fewer may be missing by chance."""

Array = NDArray[np.float32]


def fold_of_rows(rows: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row: D judges all units of a row without knowing any of their proposals."""
    return np.random.default_rng(seed).permutation(rows) % FOLDS


def judge_units(
    labeled: Array, truth: Array, pool: Array, given: Array, fold: NDArray[np.int64], exclusive: bool
) -> Array:
    """D's probability of each option of the pool's units: v x options.

    Parameters
    ----------
    labeled, truth
        Features of the labelled units (u x d) and their targets (u x options).
    pool, given, fold
        Features of the pool's units (v x d), what was proposed for them (v x options), and their fold (v).
    exclusive
        Whether a unit has exactly one of the options, or any number of them.
    """
    judged = np.empty_like(given)
    for number in range(FOLDS):
        own = fold == number
        others = ~own
        features = np.vstack([labeled, pool[others]])
        targets = np.vstack([truth, given[others]])
        weights = np.concatenate([np.full(len(labeled), LABEL_WEIGHT), np.ones(others.sum())])
        fit = _one_of if exclusive else _any_of
        judged[own] = fit(features, targets, weights.astype(np.float32), pool[own])
    return judged


def _one_of(features: Array, targets: Array, weights: Array, asked: Array) -> Array:
    classes = targets.shape[1]
    probe = fit_softmax(features, targets.argmax(1), classes, weights, iterations=ITERATIONS)
    return probe.predict_proba(asked)


def _any_of(features: Array, targets: Array, weights: Array, asked: Array) -> Array:
    """A logistic regression for each option: as softmax over yes and no."""
    columns = []
    for option in targets.T:
        yes = np.stack([1 - option, option], axis=1)
        probe = fit_softmax(features, yes, 2, weights, iterations=ITERATIONS)
        columns.append(probe.predict_proba(asked)[:, 1])
    return np.stack(columns, axis=1)


def join(given: Array, judged: Array, exclusive: bool) -> Array:
    """Both as equals: the product of two distributions, each to the power of one half."""
    if exclusive:
        return product(given, judged, 0.5)
    odds = logit(np.clip(given, CLIP, 1 - CLIP)) + logit(np.clip(judged, CLIP, 1 - CLIP))
    return expit(odds / 2).astype(np.float32)


def align_balance(probabilities: Array, shares: NDArray[np.floating]) -> Array:
    """Hold the most frequent option (O, of tags) to its share among the labelled units.

    A model that has seen few entities finds few, and one that learns from it fewer still. So where the most
    frequent option has more than its share (``shares``, one an option), its odds are changed by one factor
    for all units until its mean probability is that. Where it has less, the pool may well be richer. What the
    other options have among themselves stays.
    """
    most = int(np.argmax(shares))
    if not len(probabilities) or not 0 < shares[most] < probabilities[:, most].mean():
        return probabilities
    odds = logit(np.clip(probabilities[:, most].astype(np.float64), CLIP**2, 1 - CLIP**2))
    low, high = -MOST_SHIFT, MOST_SHIFT
    for _ in range(50):  # bisection: the mean grows with the shift
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < shares[most] else (low, middle)
    first = expit(odds + high).astype(np.float32)
    rest = probabilities.copy()
    rest[:, most] = 0
    rest *= ((1 - first) / np.maximum(rest.sum(1), CLIP**2))[:, None]
    rest[:, most] = first
    return rest / rest.sum(1, keepdims=True)


def sharpen(joined: Array, exclusive: bool) -> Array:
    """Harder distributions, for training: a model trained on soft ones is less confident."""
    if not exclusive:
        return expit(SHARPENING * logit(np.clip(joined, CLIP, 1 - CLIP))).astype(np.float32)
    powers = joined**SHARPENING
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def row_certainty(joined: Array, sizes: NDArray[np.int64], exclusive: bool) -> Array:
    """Certainty of each row: that of its least certain unit, 1 for a row without units.

    Where a unit may have any number of options its certainty is the (geometric) mean over them.
    """
    certainty = joined.max(1) if exclusive else np.exp(np.log(np.maximum(joined, 1 - joined)).mean(1))
    parts = np.split(certainty, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return np.array([part.min(initial=1.0) for part in parts], np.float32)


def row_weights(certainty: Array, groups: NDArray[np.int64]) -> Array:
    """Weight of each row: its certainty, 0 for the rows that are least certain.

    KEPT of the rows of each of the ``groups`` have a weight: rows without any entity are the most certain,
    and would push out all others.
    """
    weights = np.zeros_like(certainty)
    for group in np.unique(groups):
        members = groups == group
        floor = np.quantile(certainty[members], 1 - KEPT)
        weights[members] = np.where(certainty[members] >= floor, certainty[members], 0)
    return weights


def collapse_alarm(given: Array, truth: Array, names: Sequence[str]) -> list[str]:
    """Options that the labelled units have and the proposals have lost, in words."""
    if not len(given) or not len(truth):
        return []
    before, now = truth.mean(0), given.mean(0)
    due = before * len(given) >= DUE
    lost = [name for k, name in enumerate(names) if due[k] and now[k] < VANISHED * before[k]]
    return [f"{name!r} has vanished from the pool" for name in lost]
