"""Combinations of recommenders: weighted scores, and new items between the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.measure import allowed_items
from react_ray.apps.recommend.recommenders import Recommender, Scores

__all__ = ["Blend", "WithNew", "from_zero_to_one", "place_new"]


@dataclass(frozen=True)
class Blend:
    """Weighted sum of the scores of recommenders, each from 0 to 1 for every user."""

    recommenders: Mapping[str, Recommender]
    weights: Mapping[str, float]

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return users x items."""
        parts = [
            weight * from_zero_to_one(self.recommenders[name].scores(liked, only))
            for name, weight in self.weights.items()
            if weight
        ]
        return np.asarray(sum(parts), np.float32)


@dataclass(frozen=True)
class WithNew:
    """A recommender that puts a cold item, one without interactions, in every ``slot``-th position.

    Collaborative scores do not exist for cold items, so they are ordered among themselves, by the similarity
    of their text, and get a fixed share of the positions.

    Parameters
    ----------
    recommender, text
        Recommender of the items with interactions, and of the cold items.
    is_new
        Mask of the cold items.
    slot
        Interval of the positions for cold items; None: they come last.
    """

    recommender: Recommender
    text: Recommender
    is_new: NDArray[np.bool_]
    slot: int | None

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return users x items: the negative position of each item, equal for equal scores."""
        return self.places(self.recommender.scores(liked, only), liked, only)

    def places(self, scores: Scores, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return minus the places for the ``scores`` of the recommender; liked items are last."""
        allowed = allowed_items(liked, only)
        likeness = np.where(allowed, self.text.scores(liked), -np.inf)
        return place_new(np.where(allowed, scores, -np.inf), likeness, self.is_new, self.slot)


def place_new(scores: Scores, likeness: Scores, is_new: NDArray[np.bool_], slot: int | None) -> Scores:
    """Return minus the place of each item, with new ones in every ``slot``-th place in order of ``likeness``.

    >>> place_new(np.array([[9.0, 8, 7, 0]]), np.array([[0, 0, 0, 1.0]]), np.array([0, 0, 0, 1], bool), 3)
    array([[-0., -1., -3., -2.]], dtype=float32)
    """
    places = np.empty(scores.shape, np.float32)
    known, new = np.flatnonzero(~is_new), np.flatnonzero(is_new)
    before = _ranks(scores[:, known])
    if slot is None:
        places[:, known], places[:, new] = before, len(known) + _ranks(likeness[:, new])
        return -places
    # a new item follows slot - 1 others, as long as there are any
    places[:, known] = before + np.minimum(before // (slot - 1), len(new))
    order = _ranks(likeness[:, new])
    places[:, new] = np.minimum((order + 1) * slot - 1, len(known) + order)
    return -places


def _ranks(scores: Scores) -> NDArray[np.float32]:
    """Return how many items of a row have a higher score."""
    ranks = np.empty(scores.shape, np.float32)
    for row, values in enumerate(scores):
        ranks[row] = len(values) - np.searchsorted(np.sort(values), values, side="right")
    return ranks


def from_zero_to_one(scores: Scores) -> Scores:
    """Return the scores of each user from 0 to 1.

    >>> from_zero_to_one(np.array([[2.0, 4.0, 3.0]])).tolist()
    [[0.0, 1.0, 0.5]]
    """
    low = scores.min(1, keepdims=True)
    return np.asarray((scores - low) / np.maximum(scores.max(1, keepdims=True) - low, 1e-9))
