"""Cloze questions: a sentence of a passage in which a span that looks like an answer is left out.

As in Lewis et al. (2019, arXiv:1906.04980), whose question word, dropped words and local permutation make
them harder than a copy of the sentence; but without a model that names entities or translates questions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from react_ray.models.writing_systems import has_spaces
from react_ray.tasks.answer_like import answer_like_spans
from react_ray.tasks.sentences import split_sentences

__all__ = ["cloze_questions", "cloze_rows"]

EACH = 16
"""Most questions of a passage."""
DROPPED = 0.15
"""Share of the words of the sentence that a question leaves out."""
MOVED = 3
"""Words change places with others that are less than this many places away."""
AROUND = {True: 12, False: 20}
"""Words (characters in scripts without spaces) on each side of the span that a question may have."""
NUMBERS = {True: ("When", "In what year", "How many"), False: ("多少", "几")}
OTHERS = {True: ("What", "Who", "Which", "Where"), False: ("什么", "谁", "哪")}
"""Question words for a number and for another span, in scripts with spaces and without."""

Span = tuple[int, int]


def cloze_questions(passage: str, most: int) -> list[tuple[str, Span]]:
    """Return at most ``most`` questions about a passage with their answers, always the same.

    Example
    -------
    >>> cloze_questions("She met Ada Lovelace in London.", 1)
    [('Who met in She London?', (8, 20))]
    """
    sentences, spans = split_sentences(passage), answer_like_spans(passage)
    inside = [(s, span) for s in sentences for span in spans if s[0] <= span[0] and span[1] <= s[1]]
    drawn = random.Random(passage)
    drawn.shuffle(inside)
    return [(_question(passage, sentence, span, drawn), span) for sentence, span in inside[:most]]


def cloze_rows(passages: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Return rows of question answering, at most ``most``; all passages have the same share of them.

    Of more passages than ``most``, the first ones get questions.
    """
    each = max(1, min(EACH, most // max(1, len(passages))))
    return [
        {"text": passage, "question": question, "answers": [list(span)]}
        for passage in passages[:most]
        for question, span in cloze_questions(passage, each)
    ]


def _question(text: str, sentence: Span, span: Span, drawn: random.Random) -> str:
    spaces = has_spaces(text)
    words = NUMBERS if re.search(r"\d", text[slice(*span)]) else OTHERS
    word, around = drawn.choice(words[spaces]), AROUND[spaces]
    before = _units(text[sentence[0] : span[0]], spaces)[-around:]
    after = _units(text[span[1] : sentence[1]], spaces)[:around]
    if spaces:
        return f"{word} {' '.join(_changed([*before, *after], drawn))}".rstrip(" .,;:!?") + "?"
    return "".join([*_changed(before, drawn), word, *_changed(after, drawn)]).rstrip("。，；：！？") + "？"


def _units(text: str, spaces: bool) -> list[str]:
    return text.split() if spaces else re.findall(r"\S", text)


def _changed(units: Sequence[str], drawn: random.Random) -> list[str]:
    """Without some of the units, and with others in another order."""
    kept = [unit for unit in units if drawn.random() >= DROPPED]
    places = [place + drawn.random() * MOVED for place in range(len(kept))]
    return [unit for _, unit in sorted(zip(places, kept, strict=True), key=lambda pair: pair[0])]
