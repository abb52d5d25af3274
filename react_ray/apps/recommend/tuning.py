"""Choice of the settings of the simple recommenders on validation users."""

from __future__ import annotations

from itertools import product

import numpy as np

from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.recommenders import Als, ItemNeighbours, Recommender
from react_ray.apps.recommend.settings import AlsSettings, NeighbourSettings, Tuned
from react_ray.apps.recommend.split import Query

__all__ = ["METRIC", "mean_score", "some_users", "tune"]

SHRINKAGE, HALF_LIVES = (0.0, 10.0, 50.0), (None, 10.0, 3.0)
FACTORS, REGULARIZATION, ALPHA = (16, 64), (0.1, 10.0), (5.0, 20.0)
METRIC = "ndcg_at_10"


def tune(query: Query, most: int, seed: int) -> Tuned:
    """Return the settings with the best NDCG@10 on at most ``most`` users of a validation query."""
    sample = some_users(query, most, seed)
    similar = {
        shrinkage: ItemNeighbours.fit(query.train, shrinkage=shrinkage).similarity for shrinkage in SHRINKAGE
    }
    neighbours = [
        NeighbourSettings(shrinkage=shrinkage, half_life=half_life)
        for shrinkage, half_life in product(SHRINKAGE, HALF_LIVES if query.train.time is not None else [None])
    ]
    scores = [
        mean_score(sample, ItemNeighbours(similar[setting.shrinkage], setting.half_life), seed)
        for setting in neighbours
    ]
    factors = [
        AlsSettings(factors=width, regularization=regularization, alpha=alpha)
        for width, regularization, alpha in product(FACTORS, REGULARIZATION, ALPHA)
    ]
    of_als = [
        mean_score(
            sample, Als.fit(query.train, setting.factors, setting.regularization, setting.alpha, seed), seed
        )
        for setting in factors
    ]
    return Tuned(neighbours=neighbours[int(np.argmax(scores))], als=factors[int(np.argmax(of_als))])


def some_users(query: Query, most: int, seed: int) -> Query:
    """Return the query about at most ``most`` of its users, drawn with ``seed``."""
    if len(query) <= most:
        return query
    return query.take(np.sort(np.random.default_rng(seed).permutation(len(query))[:most]))


def mean_score(query: Query, recommender: Recommender, seed: int) -> float:
    """Return the mean NDCG@10 of the users of ``query``; 0 without users."""
    values = measure(query, recommender, seed).values[METRIC]
    return float(values.mean()) if len(values) else 0.0
