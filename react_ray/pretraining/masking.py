"""Selection of the tokens to predict, as BERT does it: 80 % masked, 10 % random, 10 % unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["INSIDE", "SPECIAL", "START", "Masked", "Masking"]

INSIDE, START, SPECIAL = 0, 1, 2
"""Kinds of tokens: inside a word, at its start, and special tokens, which are never masked."""
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


class Masked(NamedTuple):
    """A sequence with masked tokens; ``places`` are the positions to predict, ``answers`` their tokens."""

    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    answers: NDArray[np.int64]


class Masking:
    """Mask sequences at random.

    Parameters
    ----------
    mask_id
        Token that replaces masked ones.
    ordinary
        Tokens that are not special, to draw random ones from.
    share
        Share of the tokens to predict; at least one of a sequence.
    whole_words
        Whether all tokens of a word are masked together.

    Examples
    --------
    >>> masking = Masking(4, ordinary=[5, 6, 7], share=0.5, whole_words=True)
    >>> sequence = np.array([2, 5, 6, 7, 3]), np.array([SPECIAL, START, INSIDE, START, SPECIAL])
    >>> masked = masking(*sequence, np.random.default_rng(0))
    >>> masked.answers
    array([5, 6])
    """

    def __init__(self, mask_id: int, ordinary: Sequence[int], share: float, whole_words: bool):
        self.mask_id, self.share, self.whole_words = mask_id, share, whole_words
        self.ordinary = np.asarray(ordinary)

    def __call__(
        self, ids: NDArray[np.int64], kinds: NDArray[np.int64], generator: np.random.Generator
    ) -> Masked:
        """Mask a sequence of ``ids``, whose tokens are of ``kinds``."""
        words = np.cumsum(kinds == START) - 1 if self.whole_words else np.arange(len(ids))
        words = np.where(kinds == SPECIAL, -1, words)
        numbers, sizes = np.unique(words[words >= 0], return_counts=True)
        order = generator.permutation(len(numbers))
        before = np.cumsum(sizes[order]) - sizes[order]
        target = max(1, round(self.share * int(sizes.sum())))
        places = np.flatnonzero(np.isin(words, numbers[order[before < target]]))
        changed = ids.astype(np.int64)
        draws = generator.random(len(places))
        changed[places[draws < MASK_SHARE]] = self.mask_id
        is_random = (draws >= MASK_SHARE) & (draws < MASK_SHARE + RANDOM_SHARE)
        changed[places[is_random]] = generator.choice(self.ordinary, int(is_random.sum()))
        return Masked(changed, places, ids[places].astype(np.int64))
