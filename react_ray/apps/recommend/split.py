"""Protocol of the evaluation: leave the last item out, and items and users that training never saw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.interactions import Histories, Interactions, Targets

__all__ = ["Query", "Split", "protocol"]

FEWEST = 2
"""Liked items of a user who is asked about: one to know the user by, and one to find."""
RANKER_SHARE, RANKER_MOST = 0.2, 10
STOPPING_SHARE = 0.2
"""Share of the users who do not train the ranker, but tell where it stops; as many choose the recommender."""


@dataclass(frozen=True)
class Query:
    """Questions to a recommender, and what it may know to answer them.

    Attributes
    ----------
    train
        Interactions that recommenders are fitted on; no target is among them.
    liked, seen
        For each query what the user liked, and what is not recommended again.
    targets
        The items that the user liked next.
    only
        Items that are ranked; None: all that the user has not seen.
    """

    train: Interactions
    liked: Histories
    seen: Histories
    targets: Targets
    only: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def among(self, users: NDArray[np.int64]) -> Query:
        """Return the query about some of its users, by their number in the interactions."""
        return self.take(np.flatnonzero(np.isin(self.targets.users, users)))

    def take(self, places: NDArray[np.int64]) -> Query:
        """Return the query about some of its users, by their place in it."""
        targets = Targets(self.targets.users[places], [self.targets.items[place] for place in places])
        return Query(self.train, self.liked.take(places), self.seen.take(places), targets, self.only)


@dataclass(frozen=True)
class Split:
    """Interactions divided by user and time.

    The last liked item of each user is for the test, the one before for validation. Some users tell where the
    training of the ranker stops, others choose between it and simple recommenders; the items before the last
    one of the remaining ones train it. A share of the users
    and of the items is cold: the ranker is not trained on them, and in the queries named after them nothing
    else is fitted on them either.

    Parameters
    ----------
    interactions
        All of them.
    cold_share
        Share of the users, and of the items, that are cold.
    seed
        Seed that draws them.
    """

    interactions: Interactions
    cold_share: float = 0.1
    seed: int = 0

    def cold_users(self) -> NDArray[np.int64]:
        """Return the users that training does not see."""
        return self._draw(np.flatnonzero(self.interactions.positives() >= FEWEST), 1)

    def cold_items(self) -> NDArray[np.int64]:
        """Return the items that training does not see."""
        return self._draw(np.flatnonzero(self.interactions.counts()), 2)

    def test(self) -> Query:
        """Return the last liked item of each user who is not cold."""
        return self._last(self.interactions)

    def validation(self) -> Query:
        """Return the last but one."""
        train, _ = self.interactions.hold_out(_last_one)
        return self._last(train)

    def early_stopping(self) -> Query:
        """Return validation for users who do not train the ranker: where it stops."""
        return self.validation().among(self._held_out()[0])

    def gate(self) -> Query:
        """Return validation for other users who do not train the ranker: what is chosen."""
        return self.validation().among(self._held_out()[1])

    def with_new_items(self) -> tuple[Query, Query]:
        """Return validation with a share of the items hidden: about the others, and about the hidden ones.

        The hidden items are none of :meth:`cold_items`, and nothing of the test is known.
        """
        past, _ = self.interactions.hold_out(_last_one)
        hidden = self._draw(np.setdiff1d(np.flatnonzero(past.counts()), self.cold_items()), 3)
        warm = self.validation()
        train = warm.train.where(~np.isin(warm.train.item, hidden))
        users = [user for user, items in enumerate(warm.targets.items) if not np.isin(items, hidden).any()]
        warm_query = _query(train, warm.targets).among(warm.targets.users[users])
        return warm_query, self._about(past, hidden, train)

    def ranker(self) -> list[Query]:
        """Return what trains the ranker: the item before the last one, and those before that.

        Neither users nor items are cold. The users of :meth:`early_stopping` and :meth:`gate` are left out.
        """
        train, _ = self.interactions.hold_out(_last_one)
        train = train.where(~np.isin(train.user, self.cold_users()) & ~np.isin(train.item, self.cold_items()))
        users = np.setdiff1d(np.arange(train.user_count), np.concatenate(self._held_out()))
        queries = []
        for sizes in (_last_one, _last_share):
            train, targets = train.hold_out(sizes)
            queries.append(_query(train, targets).among(users))
        return queries

    def new_items(self) -> Query:
        """Return for each user who is not cold the last liked item that is cold, among all items."""
        cold, train = self.cold_items(), self.test().train
        return self._about(self.interactions, cold, train.where(~np.isin(train.item, cold)))

    def _about(self, data: Interactions, cold: NDArray[np.int64], train: Interactions) -> Query:
        """Return for each user who is not cold the last liked one of the ``cold`` items in ``data``."""
        is_cold = np.isin(data.item, cold)
        candidates = np.flatnonzero(is_cold & data.positive & ~np.isin(data.user, self.cold_users()))
        last = {int(data.user[place]): int(place) for place in candidates}
        users, liked, seen, items = [], [], [], []
        starts = np.searchsorted(data.user, np.arange(data.user_count))
        for user, place in last.items():
            before = np.arange(starts[user], place)
            before = before[~is_cold[before]]
            mine = data.item[before[data.positive[before]]]
            if len(mine):
                users.append(user)
                liked.append(mine)
                seen.append(data.item[before])
                items.append(data.item[place : place + 1])
        count = data.item_count
        targets = Targets(np.array(users, np.int64), items)
        return Query(train, Histories.of(liked, count), Histories.of(seen, count), targets)

    def new_users(self) -> Query:
        """Return the last liked item of each cold user, whose earlier items are given with the question."""
        past, targets = self.interactions.hold_out(_last_one)
        cold = self.cold_users()
        train = past.where(~np.isin(past.user, cold))
        return replace(_query(past, targets).among(cold), train=train)

    def _last(self, interactions: Interactions) -> Query:
        train, targets = interactions.hold_out(_last_one)
        return _query(train, targets).among(np.setdiff1d(targets.users, self.cold_users()))

    def _held_out(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the users of early stopping and of the gate."""
        users = np.random.default_rng([self.seed, 4]).permutation(self.validation().targets.users)
        size = max(1, round(STOPPING_SHARE * len(users)))
        return np.sort(users[:size]), np.sort(users[size : 2 * size])

    def _draw(self, among: NDArray[np.int64], stream: int) -> NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, stream])
        return np.sort(generator.permutation(among)[: round(self.cold_share * len(among))])


def _last_one(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return (counts >= FEWEST).astype(np.int64)


def _last_share(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    share = np.clip(np.round(RANKER_SHARE * counts), 1, RANKER_MOST)
    return np.where(counts >= FEWEST, share, 0).astype(np.int64)


def _query(train: Interactions, targets: Targets) -> Query:
    """Return the query about ``targets``; users of whom nothing else is known are left out."""
    liked = train.histories(targets.users)
    answerable = np.flatnonzero(liked.lengths())
    return Query(train, liked, train.histories(targets.users, seen=True), targets).take(answerable)


def protocol(interactions: Interactions, cold_share: float, seed: int) -> str:
    """Describe the protocol in words, to stand beside every figure."""
    order = (
        f"the last liked item of each user by time is left out (equal times: drawn with seed {seed})"
        if interactions.time is not None
        else f"one liked item of each user, drawn with seed {seed}, is left out: the files have no times"
    )
    return (
        f"{order}; full ranking of all items that the user has not seen, no sampled negatives; equal scores "
        "count as their mean over all orders; items that other users took later may be in training; "
        f"new_users and new_items: {cold_share:.0%} of the users and of the items, drawn with seed {seed}, "
        "that training does not see; 95 % intervals by bootstrap over users"
    )
