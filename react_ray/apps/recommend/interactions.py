"""Interactions of users with items in the order of time, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["Histories", "Interactions", "Targets"]


@dataclass(frozen=True)
class Histories:
    """Items of some users, from old to new: those of user u are ``items[starts[u]:starts[u + 1]]``."""

    starts: NDArray[np.int64]
    items: NDArray[np.int64]
    item_count: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, lists: list[NDArray[np.int64]], item_count: int) -> Histories:
        """Make histories of lists of items."""
        starts = np.concatenate(
            [[0], np.cumsum([len(items_of_user) for items_of_user in lists], dtype=np.int64)]
        )
        items = np.concatenate([*lists, np.zeros(0, np.int64)]).astype(np.int64)
        return cls(starts.astype(np.int64), items, item_count)

    def part(self, first: int, last: int) -> Histories:
        """Return users ``first`` to ``last`` (excluded)."""
        starts = self.starts[first : last + 1]
        return Histories(starts - starts[0], self.items[starts[0] : starts[-1]], self.item_count)

    def take(self, users: NDArray[np.int64]) -> Histories:
        """Return some users, by index."""
        return Histories.of([self.user(int(user)) for user in users], self.item_count)

    def user(self, user: int) -> NDArray[np.int64]:
        """Return the items of a user."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of items of each user."""
        return np.diff(self.starts)

    def matrix(self, half_life: float | None = None) -> csr_array:
        """Return users x items: 1 for each item, half as much every ``half_life`` items before the last."""
        if half_life is None:
            values = np.ones(len(self.items), np.float32)
        else:
            age = np.repeat(self.starts[1:], self.lengths()) - 1 - np.arange(len(self.items))
            values = (0.5 ** (age / half_life)).astype(np.float32)
        return csr_array((values, self.items, self.starts), shape=(len(self), self.item_count))


@dataclass(frozen=True)
class Targets:
    """What is to be predicted: for each query its user, and the items (several in training)."""

    users: NDArray[np.int64]
    items: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Interactions:
    """Interactions sorted by user, then by time; each pair of user and item occurs once.

    Attributes
    ----------
    user, item
        Indexes, of n interactions.
    time
        Seconds or any other number that grows with time, n; None where the files have no times.
    positive
        Whether an interaction counts as liked, n. The others are only known to be seen.
    user_count, item_count
        Numbers of users and items, with those that have no interactions.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.float64] | None
    positive: NDArray[np.bool_]
    user_count: int
    item_count: int

    def __len__(self) -> int:
        return len(self.user)

    def where(self, mask: NDArray[np.bool_]) -> Interactions:
        """Return the interactions in ``mask``; users and items keep their indexes."""
        time = None if self.time is None else self.time[mask]
        return Interactions(
            self.user[mask], self.item[mask], time, self.positive[mask], self.user_count, self.item_count
        )

    def histories(self, users: NDArray[np.int64], *, seen: bool = False) -> Histories:
        """Return the liked items of some users; with ``seen`` all of their items."""
        selected = self if seen else self.where(self.positive)
        first = np.searchsorted(selected.user, users)
        last = np.searchsorted(selected.user, users, side="right")
        lists = [selected.item[a:b] for a, b in zip(first, last, strict=True)]
        return Histories.of(lists, self.item_count)

    def all_histories(self) -> Histories:
        """Return the liked items of all users."""
        return self.histories(np.arange(self.user_count))

    def positives(self) -> NDArray[np.int64]:
        """Return the number of liked items of each user."""
        return np.bincount(self.user[self.positive], minlength=self.user_count)

    def counts(self) -> NDArray[np.int64]:
        """Return how many users liked each item."""
        return np.bincount(self.item[self.positive], minlength=self.item_count)

    def hold_out(
        self, sizes: Callable[[NDArray[np.int64]], NDArray[np.int64]]
    ) -> tuple[Interactions, Targets]:
        """Set the last liked items of each user aside: return what came before them, and these targets.

        ``sizes`` returns for the numbers of liked items how many are set aside. Items that were seen
        between or after the targets are in neither.
        """
        counts = self.positives()
        held = np.minimum(sizes(counts), counts)
        after = _liked_from_here(self.user, self.positive, counts)
        is_target = self.positive & (after <= held[self.user])
        # an item is before the targets if more liked ones follow, itself included, than are set aside
        before = np.where(self.positive, after > held[self.user], after >= held[self.user])
        before |= held[self.user] == 0
        users = np.flatnonzero(held)
        part = self.where(is_target)
        items = np.split(part.item, np.cumsum(held[users])[:-1]) if len(users) else []
        return self.where(before), Targets(users, items)


def _liked_from_here(
    user: NDArray[np.int64], positive: NDArray[np.bool_], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each interaction how many liked ones its user has from it on, itself included."""
    ends = np.cumsum(counts)
    up_to_here = np.cumsum(positive)
    remaining: NDArray[np.int64] = ends[user] - up_to_here + positive
    return remaining
