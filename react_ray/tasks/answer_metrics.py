"""Exact match and F1 of answers, as the evaluation script of SQuAD 2.0 computes them.

Answers in scripts without spaces are compared as in CMRC 2018: by characters, with the F1 of the longest run
of characters that both have.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from react_ray.models.writing_systems import NO_SPACES

__all__ = ["answer_tokens", "best_scores", "exact_match", "token_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)
_WIDE_PUNCTUATION = {*_PUNCTUATION, *"，。：？！“”‘’；、《》（）…—·「」『』【】～－"}
_CHARACTER = re.compile(f"([{NO_SPACES}])")


def answer_tokens(text: str) -> list[str]:
    """Return the normalized words of an answer: lower case, without punctuation and English articles.

    Example
    -------
    >>> answer_tokens("The Eiffel Tower!"), answer_tokens("巴黎，法国")
    (['eiffel', 'tower'], ['巴', '黎', '法', '国'])
    """
    left_out = _WIDE_PUNCTUATION if _CHARACTER.search(text) else _PUNCTUATION
    plain = "".join(character for character in text.lower() if character not in left_out)
    return _CHARACTER.sub(r" \1 ", _ARTICLES.sub(" ", plain)).split()


def exact_match(answer: str, truth: str) -> float:
    """Return 1 for equal normalized answers, else 0."""
    return float(answer_tokens(answer) == answer_tokens(truth))


def token_f1(answer: str, truth: str) -> float:
    """Return the F1 of the words of two answers; without words in one of them, whether both have none.

    Example
    -------
    >>> token_f1("Tower Eiffel", "Eiffel Tower"), token_f1("淀海", "海淀")
    (1.0, 0.5)
    """
    answer_words, truth_words = answer_tokens(answer), answer_tokens(truth)
    if not answer_words or not truth_words:
        return float(answer_words == truth_words)
    if _CHARACTER.search(truth):
        shared = SequenceMatcher(None, answer_words, truth_words, autojunk=False).find_longest_match().size
    else:
        shared = (Counter(answer_words) & Counter(truth_words)).total()
    return 2 * shared / (len(answer_words) + len(truth_words))


def best_scores(answer: str, truths: Sequence[str]) -> tuple[float, float]:
    """Return F1 and exact match against the best of ``truths``; without any, the answer has to be empty."""
    references = [truth for truth in truths if answer_tokens(truth)] or [""]
    return max(token_f1(answer, t) for t in references), max(exact_match(answer, t) for t in references)
