"""Choice of the sentences of a summary: from a reference, from the text alone, and from probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from react_ray.tasks.rouge import f_measure, rouge_tokens

__all__ = ["lead", "likeliest", "oracle", "text_rank"]

MOST_SENTENCES = 10
"""Sentences that a reference may select."""
DAMPING = 0.85
ITERATIONS = 50


def oracle(sentences: Sequence[str], reference: str, most: int = MOST_SENTENCES) -> list[int]:
    """Return the sentences that together are most like ``reference``, in order: the targets to learn.

    Sentences are added one at a time, each the one with the greatest gain of ROUGE-1 + ROUGE-2, until none
    has a gain (Nallapati et al. 2017, arXiv:1611.04230). At least one is chosen, where there is one.

    Example
    -------
    >>> oracle(["It rained.", "The cup final was won by Leeds.", "Bye."], "Leeds won the final")
    [1]
    """
    target_grams = _grams(rouge_tokens(reference))
    grams = [_grams(rouge_tokens(sentence)) for sentence in sentences]
    chosen: list[int] = []
    counts, best = (Counter[str](), Counter[tuple[str, str]]()), 0.0
    while len(chosen) < min(most, len(sentences)):
        gains = [
            (_f1(counts[0] + words, target_grams[0]) + _f1(counts[1] + pairs, target_grams[1]), -number)
            for number, (words, pairs) in enumerate(grams)
            if number not in chosen
        ]
        score, number = max(gains)
        if chosen and score <= best:
            break
        best, chosen = score, [*chosen, -number]
        counts = (counts[0] + grams[-number][0], counts[1] + grams[-number][1])
    return sorted(chosen)


def lead(sentences: Sequence[str], count: int) -> list[int]:
    """Return the first ``count`` sentences: a baseline that is hard to beat for news."""
    return list(range(min(count, len(sentences))))


def text_rank(sentences: Sequence[str], count: int) -> list[int]:
    """Return the ``count`` most central sentences, in order (TextRank, Mihalcea & Tarau 2004).

    Sentences are linked by the words that they share, divided by the logarithms of their lengths.
    """
    if not sentences:
        return []
    links = _overlaps([rouge_tokens(sentence) for sentence in sentences])
    out = links.sum(1, keepdims=True)
    moves = np.where(out > 0, links / np.where(out > 0, out, 1), 1 / len(links))
    rank = np.full(len(links), 1 / len(links))
    for _ in range(ITERATIONS):
        rank = (1 - DAMPING) / len(links) + DAMPING * rank @ moves
    return likeliest(rank, count)


def likeliest(scores: NDArray[np.floating], count: int) -> list[int]:
    """Return the places of the ``count`` highest scores, in order; of equal ones the first."""
    return sorted(np.argsort(-scores, kind="stable")[:count].tolist())


def _grams(words: Sequence[str]) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    return Counter(words), Counter(pairwise(words))


def _f1(counts: Counter[Any], reference: Counter[Any]) -> float:
    return f_measure((counts & reference).total(), counts.total(), reference.total())


def _overlaps(sentences: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Similarity of each two sentences, 0 on the diagonal."""
    vocabulary = {word: number for number, word in enumerate(sorted({w for s in sentences for w in s}))}
    places = [(row, vocabulary[word]) for row, words in enumerate(sentences) for word in set(words)]
    rows, columns = zip(*places, strict=True) if places else ((), ())
    shape = (len(sentences), max(1, len(vocabulary)))
    has = csr_array((np.ones(len(places)), (rows, columns)), shape=shape)
    logs = np.log([1 + len(words) for words in sentences])
    shared = (has @ has.T).toarray() / np.maximum(logs[:, None] + logs[None], 1e-9)
    np.fill_diagonal(shared, 0)
    return shared
