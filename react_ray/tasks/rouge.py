"""ROUGE of summaries (Lin 2004), by words or, in scripts without spaces, by characters.

Scores equal those of the package rouge-score for texts in ASCII; its tokenizer drops all letters but a to z.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.models.writing_systems import NO_SPACES

__all__ = ["ROUGE", "f_measure", "rouge", "rouge_tokens"]

ROUGE = ("rouge_l", "rouge_1", "rouge_2")
"""Names of the metrics, in the order of :func:`rouge`."""
_TOKEN = re.compile(f"[{NO_SPACES}]|[^\\W_{NO_SPACES}]+")


def rouge_tokens(text: str) -> list[str]:
    """Return the lower-case words of a text, and each character of scripts without spaces.

    Example
    -------
    >>> rouge_tokens("GPT-4 发布了")
    ['gpt', '4', '发', '布', '了']
    """
    return _TOKEN.findall(text.lower())


def rouge(summaries: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Return the F-measures of ROUGE-L, ROUGE-1 and ROUGE-2 of each summary, n x 3.

    Example
    -------
    >>> rouge(["a cat sat"], ["the cat sat"]).round(2).tolist()
    [[0.67, 0.67, 0.5]]
    """
    pairs = zip(map(rouge_tokens, summaries), map(rouge_tokens, references), strict=True)
    return np.array([_scores(*pair) for pair in pairs], np.float64).reshape(-1, len(ROUGE))


def f_measure(shared: int, first: int, second: int) -> float:
    """Return the F-measure of sets with ``first`` and ``second`` elements, ``shared`` of them in both."""
    return 2 * shared / (first + second) if shared else 0.0


def _scores(summary: Sequence[str], reference: Sequence[str]) -> tuple[float, float, float]:
    longest = _longest_common_subsequence(summary, reference)
    return (
        f_measure(longest, len(summary), len(reference)),
        _overlap(Counter(summary), Counter(reference)),
        _overlap(Counter(pairwise(summary)), Counter(pairwise(reference))),
    )


def _overlap(first: Counter[Any], second: Counter[Any]) -> float:
    return f_measure((first & second).total(), first.total(), second.total())


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return its length, with a bit for each token of ``first`` (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(first)) - 1
    row = every
    for token in second:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(first) - row.bit_count()
