"""Exact match and F1 of answers, as the evaluation scripts of SQuAD 2.0 and CMRC 2018 compute them.

The script of a context decides, which an answer such as a year does not show. CMRC 2018 compares answers by
characters, with the F1 of the longest run that both have. In both, full-width letters differ from others.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.models.writing_systems import NO_SPACES, has_spaces

__all__ = ["answer_scores", "answer_tokens", "best_scores", "exact_match", "token_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)
_CMRC_PUNCTUATION = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC 2018 leaves out; it keeps marks such as . , % ( ) …"""
_CMRC_TOKEN = re.compile(f"[{NO_SPACES}]|[^\\W{NO_SPACES}]+(?:\\.\\w+|,\\d+)*|\\S")
"""A character, a word or number in between, or a mark."""


def answer_tokens(text: str, spaces: bool = True) -> list[str]:
    """Return the normalized words of an answer; ``spaces``: whether the context has spaces between words.

    Lower case, without English articles and punctuation; in scripts without spaces, characters.

    Example
    -------
    >>> answer_tokens("The Eiffel Tower!"), answer_tokens("巴黎，法国 3.5%", spaces=False)
    (['eiffel', 'tower'], ['巴', '黎', '法', '国', '3.5', '%'])
    """
    plain = _normalized(text, spaces)
    return plain.split() if spaces else _CMRC_TOKEN.findall(plain)


def _normalized(text: str, spaces: bool) -> str:
    left_out = _PUNCTUATION if spaces else _CMRC_PUNCTUATION
    plain = "".join(character for character in text.lower().strip() if character not in left_out)
    return " ".join(_ARTICLES.sub(" ", plain).split()) if spaces else plain


def exact_match(answer: str, truth: str, spaces: bool = True) -> float:
    """Return 1 for equal normalized answers, else 0."""
    return float(_normalized(answer, spaces) == _normalized(truth, spaces))


def token_f1(answer: str, truth: str, spaces: bool = True) -> float:
    """Return the F1 of the words of two answers; without words in one of them, whether both have none.

    Example
    -------
    >>> token_f1("Tower Eiffel", "Eiffel Tower"), token_f1("淀海", "海淀", spaces=False)
    (1.0, 0.5)
    """
    answer_words, truth_words = answer_tokens(answer, spaces), answer_tokens(truth, spaces)
    if not answer_words or not truth_words:
        return float(answer_words == truth_words)
    if spaces:
        shared = (Counter(answer_words) & Counter(truth_words)).total()
    else:
        shared = SequenceMatcher(None, answer_words, truth_words, autojunk=False).find_longest_match().size
    return 2 * shared / (len(answer_words) + len(truth_words))


def best_scores(answer: str, truths: Sequence[str], spaces: bool = True) -> tuple[float, float]:
    """Return F1 and exact match against the best of ``truths``; without any, the answer has to be empty."""
    references = [truth for truth in truths if answer_tokens(truth, spaces)] or [""]
    return (
        max(token_f1(answer, truth, spaces) for truth in references),
        max(exact_match(answer, truth, spaces) for truth in references),
    )


def answer_scores(answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
    """Return F1 and exact match of the answers to the questions of ``rows``, n x 2."""
    scores, texts, truths = [], rows["text"].to_pylist(), rows["answers"].to_pylist()
    for answer, text, truth in zip(answers, texts, truths, strict=True):
        said = "".join(text[start:end] for start, end in answer.value)
        scores.append(best_scores(said, [text[start:end] for start, end in truth], has_spaces(text)))
    return np.array(scores, np.float64).reshape(-1, 2)
