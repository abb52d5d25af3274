"""Cloze questions: a sentence of a passage in which a span that looks like an answer is left out.

As in Lewis et al. (2019, arXiv:1906.04980), but without a model that names entities or translates questions.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from react_ray.models.writing_systems import has_spaces
from react_ray.tasks.answer_like import answer_like_spans
from react_ray.tasks.sentences import split_sentences

__all__ = ["cloze_question"]

LONGEST = 200
"""Characters of a question; longer sentences are cut around the span."""
BLANKS = {True: ("how much", "what"), False: ("多少", "什么")}
"""Words in place of a number and of another span, in scripts with spaces and without."""

Span = tuple[int, int]


def cloze_question(passage: str) -> tuple[str, Span] | None:
    """Return a question about a passage, always the same, and its answer; None if no span is like one.

    Example
    -------
    >>> cloze_question("She met Ada Lovelace.")
    ('She met what.', (8, 20))
    """
    sentences, spans = split_sentences(passage), answer_like_spans(passage)
    inside = [(s, span) for s in sentences for span in spans if s[0] <= span[0] and span[1] <= s[1]]
    if not inside:
        return None
    draw = int.from_bytes(blake2b(passage.encode(), digest_size=8).digest())
    sentence, span = inside[draw % len(inside)]
    return _question(passage, sentence, span), span


def _question(text: str, sentence: Span, span: Span) -> str:
    around = max(0, LONGEST - (span[1] - span[0])) // 2
    before = text[max(sentence[0], span[0] - around) : span[0]]
    after = text[span[1] : min(sentence[1], span[1] + around)]
    spaces = has_spaces(text)
    if spaces and span[0] - around > sentence[0]:  # whole words only
        before = re.sub(r"^\S*\s", "", before)
    if spaces and span[1] + around < sentence[1]:
        after = re.sub(r"\s\S*$", "", after)
    number, other = BLANKS[spaces]
    return before + (number if re.search(r"\d", text[slice(*span)]) else other) + after
