"""Labels for the unlabelled pool by the fine-tuned model, verified out of fold on frozen features.

The model that was fine-tuned on the labelled rows proposes a distribution for each unit of a row (a token,
or the row itself). The discriminator D is fitted on frozen features of labelled units with their truth and of
unlabelled units of other folds with their proposals, so it has not seen the proposals that it verifies. The
label of a unit is the product of both distributions, and the weight of a row is the certainty of its least
certain unit.
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
    "align_shares",
    "collapse_alarm",
    "fold_of_rows",
    "join",
    "judge_units",
    "predict_independent",
    "row_certainty",
    "row_weights",
    "sharpen",
]

FOLDS = 3
ITERATIONS = 25
LABEL_WEIGHT = 5.0
"""Weight of a labelled unit; a unit with a proposed label has weight 1."""
KEPT_SHARE = 0.7
"""Share of the unlabelled rows to train on, the most certain ones."""
SHARPENING = 2.0
"""Power of the probabilities in D_aug, see :mod:`react_ray.lgan.generate`."""
CLIP = 1e-4
"""Minimum distance of a probability from 0 and 1."""
MAX_SHIFT = 10.0
"""Maximum shift of log-odds to match a share."""
VANISHED_SHARE = 0.05
"""A class has vanished if its frequency is below this share of that among the labelled units."""
MIN_EXPECTED = 5
"""Minimum expected units of a class for the alarm; a class with fewer may be missing by chance."""

Array = NDArray[np.float32]


def fold_of_rows(rows: int, seed: int) -> NDArray[np.int64]:
    """Assign a fold to each row; all units of a row are in the same fold."""
    return np.random.default_rng(seed).permutation(rows) % FOLDS


def judge_units(
    labeled: Array, truth: Array, pool: Array, proposed: Array, fold: NDArray[np.int64], exclusive: bool
) -> Array:
    """Return D's probability of each option of the unlabelled units: v x options.

    Parameters
    ----------
    labeled, truth
        Features of the labelled units (u x d) and their targets (u x options).
    pool, proposed, fold
        Features of the unlabelled units (v x d), the proposed distributions (v x options) and folds (v).
    exclusive
        Whether a unit has exactly one of the options; else any number of them.
    """
    judged = np.empty_like(proposed)
    for fold_number in range(FOLDS):
        in_fold = fold == fold_number
        train = ~in_fold
        features = np.vstack([labeled, pool[train]])
        targets = np.vstack([truth, proposed[train]])
        weights = np.concatenate([np.full(len(labeled), LABEL_WEIGHT), np.ones(train.sum())])
        predict = _predict_exclusive if exclusive else predict_independent
        judged[in_fold] = predict(features, targets, weights.astype(np.float32), pool[in_fold])
    return judged


def _predict_exclusive(features: Array, targets: Array, weights: Array, queries: Array) -> Array:
    classes = targets.shape[1]
    probe = fit_softmax(features, targets.argmax(1), classes, weights, iterations=ITERATIONS)
    return probe.predict_proba(queries)


def predict_independent(features: Array, targets: Array, weights: Array, queries: Array) -> Array:
    """Fit a logistic regression for each option, as softmax over no and yes."""
    columns = []
    for option in targets.T:
        two_classes = np.stack([1 - option, option], axis=1)
        probe = fit_softmax(features, two_classes, 2, weights, iterations=ITERATIONS)
        columns.append(probe.predict_proba(queries)[:, 1])
    return np.stack(columns, axis=1)


def join(proposed: Array, judged: Array, exclusive: bool, weight: float = 0.5) -> Array:
    """Combine two distributions: proposed^(1 - weight) * judged^weight, scaled to probabilities."""
    if exclusive:
        return product(proposed, judged, weight)
    first, second = (
        logit(np.clip(probabilities, CLIP, 1 - CLIP).astype(np.float64))
        for probabilities in (proposed, judged)
    )
    return expit((1 - weight) * first + weight * second).astype(np.float32)


def align_balance(probabilities: Array, shares: NDArray[np.floating]) -> Array:
    """Reduce the most frequent option (for tags: O) to its share among the labelled units.

    A model trained on few entities predicts too few, and self-training amplifies that. If the mean
    probability of the most frequent option is above its share (``shares``: options), its odds are multiplied
    by one factor for all units, so that the mean equals the share. If it is below, nothing changes, because
    the unlabelled pool may have more entities. The ratios between the other options stay the same.
    """
    frequent = int(np.argmax(shares))
    if not len(probabilities) or not 0 < shares[frequent] < probabilities[:, frequent].mean():
        return probabilities
    aligned = _shift_to(probabilities[:, frequent], shares[frequent])
    result = probabilities.copy()
    result[:, frequent] = 0
    result *= ((1 - aligned) / np.maximum(result.sum(1), CLIP**2))[:, None]
    result[:, frequent] = aligned
    return result / result.sum(1, keepdims=True)


def align_shares(probabilities: Array, shares: NDArray[np.floating]) -> Array:
    """Shift the odds of each option, for all units, until its mean probability is its share (``shares``).

    For options that do not exclude each other, of which most are rare: a model that has seen three rows of a
    label gives it next to no probability. An option without labelled units stays as it is.
    """
    aligned = probabilities.copy()
    for option in np.flatnonzero((shares > 0) & (shares < 1) & (len(probabilities) > 0)):
        aligned[:, option] = _shift_to(probabilities[:, option], shares[option])
    return aligned


def _shift_to(probability: Array, share: float) -> Array:
    """Probabilities whose odds are multiplied by one factor, such that their mean is ``share``."""
    odds = logit(np.clip(probability.astype(np.float64), CLIP**2, 1 - CLIP**2))
    low, high = -MAX_SHIFT, MAX_SHIFT
    for _ in range(50):  # bisection: the mean grows with the shift
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < share else (low, middle)
    return expit(odds + high).astype(np.float32)


def sharpen(joined: Array, exclusive: bool) -> Array:
    """Sharpen distributions for training: a model trained on soft ones is underconfident."""
    if not exclusive:
        return expit(SHARPENING * logit(np.clip(joined, CLIP, 1 - CLIP))).astype(np.float32)
    powers = joined**SHARPENING
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def row_certainty(joined: Array, sizes: NDArray[np.int64], exclusive: bool) -> Array:
    """Return the certainty of each row: that of its least certain unit, or 1 without units.

    If options are not exclusive, the certainty of a unit is the geometric mean over its options.
    """
    certainty = joined.max(1) if exclusive else np.exp(np.log(np.maximum(joined, 1 - joined)).mean(1))
    parts = np.split(certainty, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return np.array([part.min(initial=1.0) for part in parts], np.float32)


def row_weights(certainty: Array, groups: NDArray[np.int64]) -> Array:
    """Return the weight of each row: its certainty, or 0 for the least certain rows.

    The share KEPT_SHARE is applied within each of the ``groups``, because rows without entities are the most
    certain and would displace all others.
    """
    weights = np.zeros_like(certainty)
    for group in np.unique(groups):
        members = groups == group
        threshold = np.quantile(certainty[members], 1 - KEPT_SHARE)
        weights[members] = np.where(certainty[members] >= threshold, certainty[members], 0)
    return weights


def collapse_alarm(proposed: Array, truth: Array, names: Sequence[str]) -> list[str]:
    """Return a message for each option that occurs in the labelled units but vanished from the proposals."""
    if not len(proposed) or not len(truth):
        return []
    expected, mean = truth.mean(0), proposed.mean(0)
    is_expected = expected * len(proposed) >= MIN_EXPECTED
    vanished = [
        name for k, name in enumerate(names) if is_expected[k] and mean[k] < VANISHED_SHARE * expected[k]
    ]
    return [f"{name!r} has vanished from the generated labels" for name in vanished]
