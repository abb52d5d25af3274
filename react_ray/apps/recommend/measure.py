"""Figures of a recommender on the queries of a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.intervals import mean_intervals
from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.metrics import AT, METRICS, Ranks, coverage, novelty
from react_ray.apps.recommend.recommenders import Recommender, blocks, top_items
from react_ray.apps.recommend.split import Query

__all__ = ["Measured", "allowed_items", "leads", "measure"]


@dataclass(frozen=True)
class Measured:
    """Places of the wanted items, and the first items of each ranking.

    Attributes
    ----------
    values
        Metrics of each query, n each.
    lists
        The ten best items of each query, -1 where there are fewer.
    """

    values: Mapping[str, NDArray[np.float64]]
    lists: NDArray[np.int64]

    def figures(self, query: Query) -> dict[str, Any]:
        """Return the means with their intervals, coverage and novelty."""
        if not len(query):
            return {"users": 0}
        means: dict[str, Any] = {name: float(values.mean()) for name, values in self.values.items()}
        means["coverage"] = coverage(self.lists, query.train.item_count)
        means["novelty"] = novelty(self.lists, query.train.counts(), query.train.user_count)
        return {"users": len(query), **means, "intervals": mean_intervals(self.values)}


def measure(query: Query, recommender: Recommender, seed: int = 0) -> Measured:
    """Rank the items for each user of ``query``; ``seed`` orders equal scores in the lists of ten.

    Seen items are not ranked, except a target that the user had seen before it was liked.
    """
    order = np.random.default_rng(seed).permutation(query.train.item_count)
    parts, lists = [], []
    for first, last in blocks(len(query), query.train.item_count):
        scores = recommender.scores(query.liked.part(first, last))
        targets = np.array([items[0] for items in query.targets.items[first:last]], np.int64)
        allowed = allowed_items(query.seen.part(first, last), query.only)
        allowed[np.arange(last - first), targets] = True
        parts.append(Ranks.of(scores, allowed, targets))
        lists.append(top_items(scores, allowed, AT, order))
    if not parts:
        return Measured({name: np.zeros(0) for name in METRICS}, np.zeros((0, AT), np.int64))
    return Measured(Ranks.join(parts).metrics(), np.concatenate(lists))


def allowed_items(seen: Histories, only: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Return which items are ranked for each user, users x items: those in ``only`` that were not seen."""
    allowed = np.full((len(seen), seen.item_count), only is None)
    if only is not None:
        allowed[:, only] = True
    allowed[np.repeat(np.arange(len(seen)), seen.lengths()), seen.items] = False
    return allowed


def leads(ours: Measured, baseline: Measured) -> dict[str, Any]:
    """Return by how much ``ours`` is ahead in each metric for the same users, with its 95 % interval."""
    ahead = {name: values - baseline.values[name] for name, values in ours.values.items()}
    if not len(ours.lists):
        return {}
    intervals = mean_intervals(ahead)
    return {name: {"lead": float(ahead[name].mean()), "interval": intervals[name]} for name in ahead}
