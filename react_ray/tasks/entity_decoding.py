"""Decoding of entities from the logits of words: valid BIO tags, with scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from react_ray.answer import Answer
from react_ray.tasks.tagging import Span, spans_of, viterbi
from react_ray.tasks.task import Example
from react_ray.tasks.word_places import WordPlaces

__all__ = ["best_power", "entity_answer", "row_scores", "word_log_probabilities"]

PRIOR_SPREAD = 0.5
"""Standard deviation of the logarithm of the power before any row is seen."""
Scores = NDArray[np.float64]
"""Log-probabilities of words x tags."""


def row_scores(
    outputs: Sequence[NDArray[np.float32]],
    examples: Sequence[Example],
    words: Sequence[Sequence[int]],
    tags: int,
) -> list[tuple[Scores, NDArray[np.bool_]]]:
    """Merge the windows of each row: log-probabilities of its ``words``, and which words have any."""
    windows: list[list[int]] = [[] for _ in words]
    for number, example in enumerate(examples):
        windows[example.row].append(number)
    return [
        word_log_probabilities(
            [outputs[i] for i in indices], [examples[i].places for i in indices], len(row_words), tags
        )
        for indices, row_words in zip(windows, words, strict=True)
    ]


def word_log_probabilities(
    outputs: Sequence[NDArray[np.float32]], places: Sequence[WordPlaces], words: int, tags: int
) -> tuple[Scores, NDArray[np.bool_]]:
    """Merge the logits of a row's windows: log-probabilities (words x tags), and which words have any.

    A word without a token, or with NaN logits, continues the entity of its neighbours or is outside. A word
    that shares its token with the previous word can only continue its entity.
    """
    log_probabilities = np.full((words, tags), -np.log(tags))
    log_probabilities[:, 1::2] -= 1  # it begins no entity
    covered = np.zeros(words, dtype=bool)
    for logits, place in zip(outputs, places, strict=True):
        scores = log_softmax(np.asarray(logits, np.float64), axis=1)
        shared = place.continued()
        scores[shared] = _as_continuation(scores[shared])
        fine = ~np.isnan(scores).any(axis=1)
        log_probabilities[place.words[fine]] = scores[fine]
        covered[place.words] = True
    return log_probabilities, covered


def _as_continuation(scores: Scores) -> Scores:
    """Add the probability of B to I for words that share a token: it begins an entity only once."""
    going = scores.copy()
    going[:, 2::2] = np.logaddexp(scores[:, 1::2], scores[:, 2::2])
    going[:, 1::2] = -np.inf
    return going


def entity_answer(
    scores: Scores, covered: NDArray[np.bool_], tags: Sequence[str], power: float = 1.0
) -> Answer:
    """Return the most probable entities of a row of words.

    The value is [[start, end, type], ...] in words, the ranking has the type and score of each in the same
    order. A score is the probability of the least certain tag, of the entity or of the row; that of the row
    is raised to ``power``, because longer rows are less likely to be entirely correct.
    """
    path = _best_path(scores, tags)
    spans = spans_of([tags[tag] for tag in path])
    sure = np.where(covered, np.exp(scores[np.arange(len(path)), path]), 1.0)
    value: list[Any] = [list(span) for span in spans]
    ranking = tuple((span.label, _least(sure, span)) for span in spans)
    return Answer(value, float(sure.min(initial=1.0)) ** power, ranking)


def best_power(scores: Sequence[float], correct: NDArray[np.bool_]) -> float:
    """Return the power of ``scores`` with the highest posterior, given which rows are ``correct``.

    The order of scores is unchanged. As for temperatures, the prior is log-normal around 1, because few rows
    carry little evidence.
    """
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 201))
    chances = np.clip(np.asarray(scores)[:, None] ** grid, 1e-6, 1 - 1e-6)
    loss = -np.log(np.where(correct[:, None], chances, 1 - chances)).sum(0)
    return float(grid[np.argmin(loss + (np.log(grid) / PRIOR_SPREAD) ** 2 / 2)])


def _least(sure: Scores, span: Span) -> float:
    return float(sure[span.start : span.end].min())


def _best_path(scores: Scores, tags: Sequence[str]) -> list[int]:
    """Return the best valid BIO sequence; mostly that is the best tag of each word."""
    path: list[int] = scores.argmax(axis=1).tolist()
    before = 0
    for tag in path:
        # the outputs are O, B-X, I-X, B-Y, I-Y, ...: I follows B and I of its type
        if tag and not tag % 2 and before not in (tag - 1, tag):
            return viterbi(scores, tags)
        before = tag
    return path
