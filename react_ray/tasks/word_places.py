"""Alignment of words with tokens, in texts of one or more windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from react_ray.models.tokenizer import Window

__all__ = ["WordPlaces", "place_all_tokens", "place_words"]


class WordPlaces(NamedTuple):
    """Words (or other units) that are read in a window, and the index of the token that represents each."""

    words: NDArray[np.int64]
    tokens: NDArray[np.int64]

    def continued(self) -> NDArray[np.bool_]:
        """Return which words share their token with the previous word."""
        return np.append(False, self.tokens[1:] == self.tokens[:-1])[: len(self.tokens)]


def place_all_tokens(
    windows: Sequence[Window], starts: Sequence[int], ends: Sequence[int]
) -> list[WordPlaces]:
    """All tokens of spans, such as sentences, from characters ``starts`` to ``ends``, in each of ``windows``.

    A token belongs to the first span that it overlaps.
    """
    return [_all_tokens(window, np.asarray(starts), np.asarray(ends)) for window in windows]


def _all_tokens(window: Window, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> WordPlaces:
    read = [
        part is not None and left < right
        for (left, right), part in zip(window.offsets, window.parts, strict=True)
    ]
    tokens = np.flatnonzero(read)
    offsets = np.array(window.offsets, np.int64)[tokens].reshape(-1, 2)
    spans = np.searchsorted(ends, offsets[:, 0], side="right")
    inside = np.append(starts, np.iinfo(np.int64).max)[spans] < offsets[:, 1]
    return WordPlaces(spans[inside].astype(np.int64), tokens[inside].astype(np.int64))


class _WordToken(NamedTuple):
    word: int
    token: int
    start: int
    """The character that the token starts at."""


def place_words(windows: Sequence[Window], starts: Sequence[int], ends: Sequence[int]) -> list[WordPlaces]:
    """Align the words of a text (characters ``starts`` to ``ends``) with the tokens of its ``windows``.

    The first token that overlaps a word represents it. A word in several windows belongs to the one where it
    has the most context. A word without a token, such as one of control characters, is left out.

    Returns
    -------
    One for each window, in the same order.
    """
    words = [_first_tokens(window, starts, ends) for window in windows]
    assigned = words if len(windows) == 1 else _with_most_context(words, [len(w.ids) for w in windows])
    return [
        WordPlaces(
            np.array([f.word for f in window_words], np.int64),
            np.array([f.token for f in window_words], np.int64),
        )
        for window_words in assigned
    ]


def _first_tokens(window: Window, starts: Sequence[int], ends: Sequence[int]) -> list[_WordToken]:
    """Return the words of a window, each with its first token."""
    words: list[_WordToken] = []
    word, last = 0, -1
    for token, ((start, end), part) in enumerate(zip(window.offsets, window.parts, strict=True)):
        if part is None or start == end:
            continue
        while word < len(ends) and ends[word] <= start:
            word += 1
        covered = word
        while covered < len(starts) and starts[covered] < end:
            if covered > last:
                words.append(_WordToken(covered, token, start))
                last = covered
            covered += 1
    return words


def _with_most_context(windows: Sequence[list[_WordToken]], lengths: Sequence[int]) -> list[list[_WordToken]]:
    """Assign each word to one window, and never to a token from its middle."""
    order = sorted(
        (window_words[0].start, number) for number, window_words in enumerate(windows) if window_words
    )
    best: dict[int, tuple[int, int, int]] = {}  # word: minus the start of its token, context, window
    for place, (_, number) in enumerate(order):
        for word in windows[number]:
            left = word.token if place else lengths[number]
            right = lengths[number] - word.token if place + 1 < len(order) else lengths[number]
            rank = (-word.start, min(left, right), number)
            best[word.word] = max(best.get(word.word, rank), rank)
    return [
        [word for word in window_words if best[word.word][2] == number]
        for number, window_words in enumerate(windows)
    ]
