"""Metrics of rankings with one wanted item a user.

With equal scores, a metric is its mean over all orders of the items with the same score, as in
``sklearn.metrics.ndcg_score`` and ``roc_auc_score``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["METRICS", "Ranks", "coverage", "novelty"]

AT = 10
METRICS = (f"ndcg_at_{AT}", f"hr_at_{AT}", "mrr", "auc")


class Ranks:
    """Places of the wanted items, one a user.

    Parameters
    ----------
    above, equal, among
        How many other items have a higher score than the wanted one, how many the same, and how many items
        are ranked, the wanted one included; n each.

    Example
    -------
    >>> Ranks([0, 2], [0, 0], [5, 5]).metrics()["ndcg_at_10"]
    array([1. , 0.5])
    """

    def __init__(self, above: Any, equal: Any, among: Any):
        self.above = np.asarray(above, np.int64)
        self.equal = np.asarray(equal, np.int64)
        self.among = np.asarray(among, np.int64)

    @classmethod
    def of(cls, scores: NDArray[np.float32], allowed: NDArray[np.bool_], targets: NDArray[np.int64]) -> Ranks:
        """Compute the places from scores (n x items), which items are ranked, and the target of each."""
        rows = np.arange(len(targets))
        its_score = scores[rows, targets][:, None]
        above = ((scores > its_score) & allowed).sum(1)
        equal = ((scores == its_score) & allowed).sum(1) - 1
        return cls(above, equal, allowed.sum(1))

    @classmethod
    def join(cls, parts: list[Ranks]) -> Ranks:
        """Put the users of several parts together."""
        return cls(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in ("above", "equal", "among"))
        )

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Return the metrics of each user, n each."""
        places = np.arange(1, int(self.among.max(initial=0)) + 1)
        gains = {
            METRICS[0]: np.where(places <= AT, 1 / np.log2(places + 1), 0.0),
            METRICS[1]: np.where(places <= AT, 1.0, 0.0),
            METRICS[2]: 1 / places,
        }
        values = {name: self._mean_gain(gain) for name, gain in gains.items()}
        values["auc"] = 1 - (self.above + self.equal / 2) / np.maximum(self.among - 1, 1)
        return values

    def _mean_gain(self, gain: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean gain over the places that the wanted item shares with equal ones."""
        sums = np.concatenate([[0.0], np.cumsum(gain)])
        mean: NDArray[np.float64] = (sums[self.above + self.equal + 1] - sums[self.above]) / (self.equal + 1)
        return mean


def coverage(lists: NDArray[np.int64], item_count: int) -> float:
    """Return the share of the items that are recommended to anybody: ``lists`` are users x 10, -1 for none.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4)
    0.5
    """
    return len(np.unique(lists[lists >= 0])) / max(item_count, 1)


def novelty(lists: NDArray[np.int64], counts: NDArray[np.int64], user_count: int) -> float:
    """Return the mean of -log2 of the share of users who know a recommended item (Zhou et al. 2010).

    An item that nobody knows counts as known to one user.

    >>> novelty(np.array([[0, 1]]), np.array([4, 1]), 4)
    1.0
    """
    shown = lists[lists >= 0]
    shares = np.maximum(counts[shown], 1) / max(user_count, 1)
    return float(-np.log2(shares).mean()) if len(shown) else 0.0
