"""Candidates for each user, and their features for the ranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.interactions import Histories, Interactions
from react_ray.apps.recommend.measure import allowed_items
from react_ray.apps.recommend.recommenders import (
    Als,
    ItemNeighbours,
    Popularity,
    Recommender,
    Scores,
    TextProfile,
    blocks,
    top_items,
)
from react_ray.apps.recommend.settings import RecommendConfig, Tuned
from react_ray.apps.recommend.text_map import HALF_LIFE, apply_text_map, fit_text_map

__all__ = ["MAPPED", "TEXT", "TEXT_FEATURES", "Candidates", "Sources", "without_text"]

RECENT_SHARE = 0.1
"""Share of the interactions, the last ones by time, in which an item's recent popularity is counted."""
SHORT, LONG = 3.0, 10.0
"""Later items after which an item of a history counts half."""
LAST_ITEMS = 20
"""Items of a history that the text of a candidate is compared with one by one."""
TEXT_FEATURES = (
    "text_profile",
    "text_recent",
    "text_nearest",
    "text_nearest_rank",
    "text_mapped_rank",
)
TEXT, MAPPED, NEIGHBOURS = "text", "text_mapped", "item_knn"
TEXT_SHARE = 1e-3
"""Share of the text in the score of items that are no candidates: it decides between equally popular ones."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of some users, one after the other.

    Attributes
    ----------
    query
        Index of the user of each candidate, n.
    items
        The candidates, n.
    features
        n x features, in the order of :meth:`Sources.names`.
    """

    query: NDArray[np.int64]
    items: NDArray[np.int64]
    features: NDArray[np.float32]

    def sizes(self, queries: int) -> NDArray[np.int64]:
        """Return the number of candidates of each user."""
        return np.bincount(self.query, minlength=queries)


class Sources:
    """Recommenders fitted on some interactions: they name candidates, and their scores are features.

    Parameters
    ----------
    train
        Interactions that may be known.
    embeddings
        Of the texts of all items, items x d.
    given
        Numbers given for the items, items x g.
    tuned
        Settings of the neighbours and of the factors.
    config
        Settings: candidates of each source, seed, names of the given features.
    text_map
        Map of the embeddings, d x d; None: it is fitted on ``train``.

    Attributes
    ----------
    simple
        The recommenders that name candidates, by name.
    similarity
        Of items that the same users liked, items x items.
    is_new
        Which items nobody liked so far.
    """

    def __init__(
        self,
        train: Interactions,
        embeddings: NDArray[np.float32],
        item_features: NDArray[np.float32],
        tuned: Tuned,
        config: RecommendConfig,
        text_map: NDArray[np.float32] | None = None,
    ):
        self.config, self._embeddings, self._item_features = config, embeddings, item_features
        counts = train.counts()
        self.is_new = counts == 0
        # shares of the items, because numbers of users and times grow from training to use
        self._popularity = _percentiles(counts)
        self._recent = _percentiles(_recent_counts(train))
        self._first = _first_times(train)
        neighbours, als = tuned.neighbours, tuned.als
        if text_map is None:
            text_map = fit_text_map(embeddings, train, config.seed)
        self.similarity = ItemNeighbours.fit(train, neighbours.count, neighbours.shrinkage).similarity
        self.simple: dict[str, Recommender] = {
            NEIGHBOURS: ItemNeighbours(self.similarity, neighbours.half_life),
            "als": Als.fit(train, als.factors, als.regularization, als.alpha, config.seed),
            "popularity": Popularity(train),
            TEXT: TextProfile(embeddings, SHORT),
            MAPPED: TextProfile(apply_text_map(embeddings, text_map), HALF_LIFE),
        }
        self._further: dict[str, Recommender] = {
            "neighbours_all": ItemNeighbours(self.similarity),
            "neighbours_recent": ItemNeighbours(self.similarity, SHORT),
            "text_all": TextProfile(embeddings),
        }

    def names(self) -> tuple[str, ...]:
        """Return the names of the features."""
        return self.names_of(self.config, self._first is not None)

    @staticmethod
    def names_of(config: RecommendConfig, timed: bool) -> tuple[str, ...]:
        """Return the names of the features with these settings, with times or without."""
        names = ["neighbours", "neighbours_all", "neighbours_recent", "neighbours_rank", "als", "als_rank"]
        names += [*TEXT_FEATURES, "popularity"]
        names += ["recent_popularity", "age"] if timed else []
        return (*names, *(f"given_{name}" for name in config.features))

    def candidates(
        self, liked: Histories, texts: bool = True, only: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, Candidates]]:
        """Yield the first user of a part, and the candidates of its users; liked and new items are none.

        Without ``texts`` no candidate is named for its text. With ``only``, others are no candidates.
        """
        for first, last in blocks(len(liked), liked.item_count):
            yield first, self._part(liked.part(first, last), texts, only)

    def fallback_scores(self, liked: Histories, texts: bool = True) -> Scores:
        """Return scores below 1 for items that are no candidates: by popularity, then by text."""
        counts = self.simple["popularity"].scores(liked)
        if not texts:
            return counts / (counts.max(initial=0) + 1)
        likeness = (self.simple[TEXT].scores(liked) + 1) / 2
        return counts / (counts.max(initial=0) + 1) * (1 - TEXT_SHARE) + TEXT_SHARE * likeness

    def _part(self, liked: Histories, texts: bool, only: NDArray[np.int64] | None) -> Candidates:
        main = {name: recommender.scores(liked) for name, recommender in self.simple.items()}
        further = {name: recommender.scores(liked) for name, recommender in self._further.items()}
        allowed = allowed_items(liked, only) & ~self.is_new
        naming = {name: values for name, values in main.items() if texts or name not in (TEXT, MAPPED)}
        chosen = self._choose(naming, allowed)
        query, items = np.nonzero(chosen)
        at = query, items
        ranks = {name: _ranks(main[name][at], query) for name in (NEIGHBOURS, "als", MAPPED)}
        nearest = self._nearest_texts(liked, query, items)
        columns = [
            _share_of_best(main[NEIGHBOURS][at], query),
            _share_of_best(further["neighbours_all"][at], query),
            _share_of_best(further["neighbours_recent"][at], query),
            ranks[NEIGHBOURS],
            main["als"][at],
            ranks["als"],
            further["text_all"][at],
            main[TEXT][at],
            nearest,
            _ranks(nearest, query),
            ranks[MAPPED],
            self._popularity[items],
        ]
        if self._first is not None:
            columns += [self._recent[items], self._first[items]]
        features = np.stack([np.asarray(column, np.float32) for column in columns], 1)
        return Candidates(query, items, np.hstack([features, self._item_features[items]]))

    def _choose(self, scores: dict[str, Scores], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which items are candidates, users x items: the best of each source."""
        users, items = allowed.shape
        if items <= self.config.candidates:
            return allowed
        order = np.random.default_rng(self.config.seed).permutation(items)
        chosen = np.zeros((users, items + 1), bool)
        for of_source in scores.values():
            best = top_items(of_source, allowed, self.config.candidates, order)
            chosen[np.arange(users)[:, None], best] = True  # -1 is the last column, which is dropped
        return chosen[:, :items]

    def _nearest_texts(
        self, liked: Histories, query: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the cosine of each candidate with the nearest of the last items of the user."""
        nearest = np.zeros(len(items), np.float32)
        ends = np.searchsorted(query, np.arange(len(liked) + 1))
        for user in range(len(liked)):
            last = self._embeddings[liked.user(user)[-LAST_ITEMS:]]
            part = slice(ends[user], ends[user + 1])
            if len(last):
                nearest[part] = (self._embeddings[items[part]] @ last.T).max(1)
        return nearest


def without_text(names: Sequence[str]) -> list[int]:
    """Return the columns of the features that do not come from texts."""
    return [place for place, name in enumerate(names) if name not in TEXT_FEATURES]


def _ranks(values: NDArray[np.float32], query: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the share of a user's candidates that have a higher value, 0 for the best."""
    order = np.lexsort((-values, query))
    starts = np.searchsorted(query, query)
    sizes = np.searchsorted(query, query, side="right") - starts
    place = np.empty(len(values), np.float32)
    place[order] = np.arange(len(values)) - starts[order]
    return np.asarray(place / np.maximum(sizes, 1), np.float32)


def _recent_counts(train: Interactions) -> NDArray[np.int64]:
    if train.time is None:
        return np.zeros(train.item_count, np.int64)
    since = np.quantile(train.time, 1 - RECENT_SHARE) if len(train) else 0
    return train.where(train.time >= since).counts()


def _first_times(train: Interactions) -> NDArray[np.float64] | None:
    """Return the place of each item in the order of when it was first taken, 0 to 1; NaN where never."""
    if train.time is None:
        return None
    first = np.full(train.item_count, np.inf)
    np.minimum.at(first, train.item, train.time)
    return np.where(np.isfinite(first), _percentiles(first), np.nan)


def _percentiles(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the items that have a lower value.

    >>> _percentiles(np.array([5, 1, 5, 9])).tolist()
    [0.25, 0.0, 0.25, 0.75]
    """
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)


def _share_of_best(values: NDArray[np.float32], query: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of each user divided by the largest: sums grow with the history."""
    best = np.zeros(int(query.max(initial=-1)) + 1, np.float32)
    np.maximum.at(best, query, values)
    return np.asarray(values / np.maximum(best[query], 1e-9), np.float32)
