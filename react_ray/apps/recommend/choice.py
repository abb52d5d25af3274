"""Choice between the ranker, simple recommenders and both together on validation users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.features import MAPPED, TEXT, Sources
from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.mix import Blend, WithNew
from react_ray.apps.recommend.ranker import RANKER, WITHOUT_TEXT, Ranked, Ranker
from react_ray.apps.recommend.recommenders import Recommender, Scores
from react_ray.apps.recommend.settings import Tuned
from react_ray.apps.recommend.split import Query
from react_ray.apps.recommend.tuning import METRIC, mean_score, some_users

__all__ = ["all_recommenders", "choose", "choose_slot", "choose_text", "chosen_of", "tune_blend"]

BOTH = "ranker_blend"
MOST_USERS, FEWEST_USERS, MOST_SCORES = 1000, 50, 1 << 23
"""Users that a choice is made on, and scores of each recommender that are held in memory for it."""
SHARES_OF_ALS, WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.1, 0.3)
SLOTS = (None, 10, 7, 5, 3, 2)


def all_recommenders(sources: Sources, rankers: Mapping[str, Ranker], tuned: Tuned) -> dict[str, Recommender]:
    """Return all recommenders that may be chosen, by name."""
    blend = Blend(sources.simple, tuned.blend)
    ranker = Ranked(sources, rankers[RANKER])
    return {
        RANKER: ranker,
        BOTH: Blend({"ranker": ranker, "blend": blend}, {"ranker": 0.5, "blend": 0.5}),
        WITHOUT_TEXT: Ranked(sources, rankers[WITHOUT_TEXT]),
        "blend": blend,
        **sources.simple,
    }


def chosen_of(sources: Sources, rankers: Mapping[str, Ranker], tuned: Tuned) -> WithNew:
    """Return the recommender that was chosen, with new items between the others."""
    recommender = all_recommenders(sources, rankers, tuned)[tuned.chosen]
    return WithNew(recommender, sources.simple[tuned.new_items], sources.is_new, tuned.slot)


def tune_blend(query: Query, sources: Sources, seed: int) -> dict[str, float]:
    """Return the weights of the simple recommenders with the best NDCG@10 on users of ``query``."""
    sample, simple = _sample(query, seed), _remembered(sources.simple)
    grid = [
        {"item_knn": 1 - share, "als": share, "popularity": popularity, MAPPED: text}
        for share, popularity, text in product(SHARES_OF_ALS, WEIGHTS, WEIGHTS)
    ]
    scores = [mean_score(sample, Blend(simple, weights), seed) for weights in grid]
    return grid[int(np.argmax(scores))]


def choose(
    query: Query, sources: Sources, rankers: Mapping[str, Ranker], tuned: Tuned, seed: int
) -> tuple[str, dict[str, float]]:
    """Return what is to recommend, chosen on users of ``query``, and NDCG@10 of each recommender.

    That is half ranker, half weighted sum, unless another is better by more than two standard errors: few
    users choose among many, and what users like next may differ from what they liked before.
    """
    sample = _sample(query, seed)
    recommenders = all_recommenders(sources, rankers, tuned)
    values = {name: measure(sample, one, seed).values[METRIC] for name, one in recommenders.items()}
    scores = {name: float(of_users.mean()) if len(sample) else 0.0 for name, of_users in values.items()}
    better = [name for name in scores if _is_better(values[name] - values[BOTH])]
    return max(better, key=lambda name: scores[name], default=BOTH), scores


def choose_text(query: Query, sources: Sources, seed: int) -> str:
    """Return which text score has the best NDCG@10 for users of ``query``, whose next item is new."""
    sample = _sample(query, seed)
    return max((TEXT, MAPPED), key=lambda name: mean_score(sample, sources.simple[name], seed))


def choose_slot(
    queries: tuple[Query, Query], recommender: WithNew, sources: Sources, share: float, seed: int
) -> tuple[int | None, list[dict[str, Any]]]:
    """Return every which place is for a new item, and NDCG@10 of each choice.

    The best is that with the largest mean over users whose next item is known, and users whose next item is
    new, where the latter are a ``share``; but none that is behind a simple recommender for the former.
    """
    known_query, new_query = (_sample(query, seed) for query in queries)
    if not share or not len(new_query):
        return None, []
    ranking, text = _Remembered(recommender.recommender), _Remembered(recommender.text)
    slots: list[dict[str, Any]] = []
    for slot in SLOTS:
        mixed = replace(recommender, recommender=ranking, text=text, slot=slot)
        scores = {"known": mean_score(known_query, mixed, seed), "new": mean_score(new_query, mixed, seed)}
        slots.append({"slot": slot, **scores})
    least = max(mean_score(known_query, simple, seed) for simple in sources.simple.values())
    allowed = [entry for entry in slots if entry["slot"] is None or entry["known"] >= least]
    best = max(allowed, key=lambda entry: (1 - share) * entry["known"] + share * entry["new"])
    return best["slot"], slots


class _Remembered:
    """A recommender that computes the scores of the same histories once."""

    def __init__(self, recommender: Recommender):
        self._recommender = recommender
        self._scores: dict[tuple[bytes, bytes], Scores] = {}

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return users x items."""
        key = liked.starts.tobytes(), liked.items.tobytes()
        if key not in self._scores:
            self._scores[key] = self._recommender.scores(liked)
        return self._scores[key]


def _remembered(recommenders: Mapping[str, Recommender]) -> dict[str, Recommender]:
    return {name: _Remembered(recommender) for name, recommender in recommenders.items()}


def _sample(query: Query, seed: int) -> Query:
    """Return the query about as many of its users as a choice needs, and memory holds."""
    held = MOST_SCORES // max(query.train.item_count, 1)
    return some_users(query, min(MOST_USERS, max(FEWEST_USERS, held)), seed)


def _is_better(differences: NDArray[np.float64]) -> bool:
    """Whether the mean of ``differences`` is above 0 by more than two standard errors.

    >>> _is_better(np.array([0.1, 0.2, 0.3])), _is_better(np.array([-0.5, 0.6])), _is_better(np.array([1.0]))
    (True, False, False)
    """
    count = len(differences)
    return count > 1 and float(differences.mean()) > 2 * float(differences.std(ddof=1)) / count**0.5
