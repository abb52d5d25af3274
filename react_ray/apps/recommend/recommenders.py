"""Simple recommenders: scores of all items for a few users at a time, from what the users liked.

They make the candidates and features of the ranker, and are what it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from react_ray.apps.recommend.interactions import Histories, Interactions

__all__ = ["Als", "ItemNeighbours", "Popularity", "Recommender", "TextProfile", "blocks", "top_items"]

BLOCK_SCORES = 1 << 22
"""Scores in memory at a time, of each recommender."""
Scores = NDArray[np.float32]


class Recommender(Protocol):
    """Gives every item a score for each of some users."""

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return users x items; the scores of others than ``only`` may be anything."""


class Popularity:
    """The number of users who liked an item."""

    def __init__(self, train: Interactions):
        self._counts = train.counts().astype(np.float32)

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return the same for all users."""
        return np.broadcast_to(self._counts, (len(liked), len(self._counts))).copy()


@dataclass(frozen=True)
class ItemNeighbours:
    """Items that the same users liked: the sum of their cosines with the items of a history.

    Parameters
    ----------
    similarity
        Items x items, the nearest ones of each row.
    half_life
        Number of later items after which an item of the history counts half; None: all count the same.
    """

    similarity: csr_array
    half_life: float | None = None

    @classmethod
    def fit(
        cls,
        train: Interactions,
        neighbours: int = 100,
        shrinkage: float = 10.0,
        half_life: float | None = None,
    ) -> ItemNeighbours:
        """Find the ``neighbours`` nearest items of each.

        ``shrinkage`` is added to the number of users of both, so that few common users count little
        (Sarwar et al. 2001, Koren 2008).
        """
        matrix = train.all_histories().matrix()
        return cls(_nearest(matrix, neighbours, shrinkage), half_life)

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return the sums of similarities."""
        return np.asarray((liked.matrix(self.half_life) @ self.similarity).todense(), np.float32)


@dataclass(frozen=True)
class TextProfile:
    """Items whose text is like those of the history: the cosine with their mean embedding.

    Parameters
    ----------
    embeddings
        Items x d, rows of length 1, or 0 for items without text.
    half_life
        As in :class:`ItemNeighbours`.
    """

    embeddings: NDArray[np.float32]
    half_life: float | None = None

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return the cosines."""
        return self.of(liked.matrix(self.half_life) @ self.embeddings)

    def of(self, profiles: NDArray[np.float32]) -> Scores:
        """Return the cosines with the ``profiles`` of some users, n x d."""
        lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
        return np.asarray((profiles / np.maximum(lengths, 1e-9)) @ self.embeddings.T, np.float32)


@dataclass(frozen=True)
class Als:
    """Matrix factorization of implicit feedback by alternating least squares (Hu, Koren & Volinsky 2008).

    The factors of a user are computed from the history in a question, so users need not be in training.
    """

    items: NDArray[np.float32]
    regularization: float
    alpha: float

    @classmethod
    def fit(
        cls,
        train: Interactions,
        factors: int = 32,
        regularization: float = 1.0,
        alpha: float = 10.0,
        seed: int = 0,
    ) -> Als:
        """Fit the factors of all items by ``implicit``; ``alpha`` is the weight of a liked item."""
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        matrix = train.all_histories().matrix()
        model = AlternatingLeastSquares(
            factors=factors, regularization=regularization, alpha=alpha, random_state=seed, num_threads=1
        )
        with threadpool_limits(1, "blas"):  # its own threads would wait for those of BLAS
            model.fit(_as_matrix(matrix), show_progress=False)
        return cls(np.asarray(model.item_factors), regularization, alpha)

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return the products of the factors of users and items."""
        return self._users(liked) @ self.items.T

    def _users(self, liked: Histories) -> NDArray[np.float32]:
        width = self.items.shape[1]
        common = self.items.T @ self.items + self.regularization * np.eye(width, dtype=np.float32)
        users = np.zeros((len(liked), width), np.float32)
        for user in range(len(liked)):
            of_user = self.items[liked.user(user)]
            if len(of_user):
                left = common + (self.alpha - 1) * of_user.T @ of_user
                users[user] = np.linalg.solve(left, self.alpha * of_user.sum(0))
        return users


def blocks(query_count: int, item_count: int) -> Iterator[tuple[int, int]]:
    """Divide queries so that the scores of a part fit into memory: first, last (excluded).

    >>> list(blocks(3, 1 << 21))
    [(0, 2), (2, 3)]
    """
    size = max(1, BLOCK_SCORES // max(item_count, 1))
    for first in range(0, query_count, size):
        yield first, min(first + size, query_count)


def top_items(scores: Scores, allowed: NDArray[np.bool_], count: int, order: NDArray[np.int64]) -> Any:
    """Return the best ``count`` allowed items of each row, best first; -1 where there are fewer.

    ``order`` is a permutation of the items that decides between equal scores.
    """
    count = min(count, scores.shape[1])
    masked = np.where(allowed, scores, -np.inf)[:, order]
    if count < scores.shape[1]:
        # all items that equal the last one are kept, so that the order decides between them
        bound = np.partition(masked, -count, axis=1)[:, -count][:, None]
        masked = np.where(masked >= bound, masked, -np.inf)
    best = np.argsort(-masked, axis=1, kind="stable")[:, :count]
    items = order[best]
    items[np.take_along_axis(masked, best, 1) == -np.inf] = -1
    return items


def _as_matrix(array: csr_array) -> Any:
    """Return the older type of scipy's sparse matrices, which ``implicit`` expects."""
    from scipy.sparse import csr_matrix

    return csr_matrix(array)


def _nearest(matrix: csr_array, neighbours: int, shrinkage: float) -> csr_array:
    """Return the similarity of the columns, with the nearest ``neighbours`` of each row, a part at a time."""
    by_item = csr_array(matrix.T)
    counts = np.asarray(matrix.sum(0)).reshape(-1)
    item_count = matrix.shape[1]
    parts = []
    for first, last in blocks(item_count, item_count):
        common = csr_array(by_item[first:last] @ matrix)
        rows = np.repeat(np.arange(first, last), np.diff(common.indptr))
        norms = np.sqrt(counts[rows] * counts[common.indices])
        common.data = (common.data / (norms + shrinkage)).astype(np.float32)
        common.data[rows == common.indices] = 0
        parts.append(_largest(common, neighbours))
    # score of j from i in a history: row i, so neighbours are of the candidate j (Deshpande & Karypis 2004)
    return csr_array(csr_array(vstack(parts)).T)


def _largest(rows: csr_array, count: int) -> csr_array:
    """Keep the largest values of each row."""
    sizes = np.diff(rows.indptr)
    row_of = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rows.indices, -rows.data, row_of))
    place = np.arange(len(order)) - np.repeat(rows.indptr[:-1], sizes)
    selected = order[(place < count) & (rows.data[order] > 0)]
    data = (rows.data[selected], (row_of[selected], rows.indices[selected]))
    return csr_array(data, shape=rows.shape)
