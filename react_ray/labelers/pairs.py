"""The discriminator of open tasks: whether a candidate is right for a row, from frozen features of both.

D is a logistic regression on pairs. It is fitted to (x, y) against (x, not y) of the labelled rows and, as
for classes, to the proposed answers of unlabelled rows in other folds than the one that it judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from react_ray.labelers.candidates import CLIP, FOLDS, ITERATIONS, LABEL_WEIGHT, fold_of_rows
from react_ray.lgan.probe import fit_softmax

__all__ = ["Mix", "Pairs", "fit_mix", "judge_pairs", "pair_features"]

MIX_COST = 1.0

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """Pairs of a row and a candidate.

    Parameters
    ----------
    row
        The row of each pair (p), ascending.
    features
        See :func:`pair_features`, p x f.
    score
        Score of each candidate by the model; 1 for (x, y), 0 for (x, not y) where D is fitted to them (p).
    weight
        Weight of each pair in the fit of D (p).
    """

    row: NDArray[np.int64]
    features: Array
    score: Array
    weight: Array


def pair_features(encode: Callable[[Sequence[str]], Array], texts: Sequence[tuple[str, ...]]) -> Array:
    """Return features of pairs, p x f.

    ``texts`` has what was asked, then the candidate in one or more ways. Of each way: the product and the
    difference of both embeddings, their cosine, and the logarithm of the length. ``encode`` returns
    embeddings of length 1.
    """
    if not texts:
        return np.zeros((0, 1), np.float32)
    place = {text: n for n, text in enumerate(dict.fromkeys(text for pair in texts for text in pair))}
    embeddings = encode(list(place))
    question, *candidates = (
        embeddings[[place[text] for text in column]] for column in zip(*texts, strict=True)
    )
    blocks = []
    for candidate in candidates:
        product = question * candidate
        blocks += [product * question.shape[1] ** 0.5, question - candidate, product.sum(1, keepdims=True)]
    lengths = np.log1p([[len(text) for text in pair] for pair in texts]) / 5
    return np.hstack([*blocks, lengths, lengths[:, :1] - lengths[:, 1:]]).astype(np.float32)


def judge_pairs(labelled: Pairs, proposed: Pairs, candidates: Pairs, seed: int, apart: bool = False) -> Array:
    """Return D's probability that each of the ``candidates`` is correct (p).

    ``labelled`` are pairs of labelled rows, ``proposed`` pairs of the same rows as the candidates, with the
    proposed answers as correct ones: D judges a row without those of its fold. ``apart``: the candidates are
    of other rows than the proposed pairs.
    """
    if apart:
        return _fit(labelled, proposed, np.ones(len(proposed.row), bool), candidates.features)
    fold = fold_of_rows(int(max(candidates.row, default=-1)) + 1, seed)
    judged = np.zeros(len(candidates.row), np.float32)
    for number in range(FOLDS):
        held_out, train = fold[candidates.row] == number, fold[proposed.row] != number
        judged[held_out] = _fit(labelled, proposed, train, candidates.features[held_out])
    return judged


def _fit(labelled: Pairs, proposed: Pairs, train: NDArray[np.bool_], queries: Array) -> Array:
    """Fit D to the labelled pairs and the proposed ones in ``train`` (mask), and judge ``queries``."""
    features = np.vstack([labelled.features, proposed.features[train]])
    correct = np.concatenate([labelled.score, proposed.score[train]]).astype(np.int64)
    weight = np.concatenate([LABEL_WEIGHT * labelled.weight, proposed.weight[train]])
    return fit_softmax(features, correct, 2, weight, iterations=ITERATIONS).predict_proba(queries)[:, 1]


@dataclass(frozen=True)
class Mix:
    """Calibrated probability that a candidate is right, from D's and the model's own score.

    The log-odds are ``bias`` + weights[0] * log-odds of D + weights[1] * log-odds of the model.
    """

    weights: tuple[float, float] = (0.5, 0.5)
    bias: float = 0.0

    def __call__(self, judged: Array, score: Array) -> Array:
        """Return the probability of each candidate."""
        odds = _odds(judged, score) @ np.array(self.weights) + self.bias
        return expit(odds).astype(np.float32)


def fit_mix(judged: Array, score: Array, correct: NDArray[np.bool_]) -> Mix:
    """Fit a mix to candidates of rows that neither the model nor D was fitted to."""
    probe = fit_softmax(_odds(judged, score).astype(np.float32), correct.astype(np.int64), 2, cost=MIX_COST)
    first, second = (probe.weights[1] - probe.weights[0]).tolist()
    return Mix((first, second), float(probe.bias[1] - probe.bias[0]))


def _odds(judged: Array, score: Array) -> NDArray[np.float64]:
    return logit(np.clip(np.stack([judged, score], 1).astype(np.float64), CLIP, 1 - CLIP))
