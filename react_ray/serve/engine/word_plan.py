"""Masking plan of an explanation: spans of words, each of which is left out in turn.

Offsets count characters (code points) of the original text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from react_ray.models.writing_systems import NO_SPACES

__all__ = ["CharacterSpan", "Plan", "find_words", "group", "make_plan"]

RUN = 4
"""Letters in a piece of a script that sets no spaces between words: a syllable or two."""

ALONE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Han characters: each means something by itself."""
UNSPACED = re.compile(f"[{NO_SPACES}]")


@dataclass(frozen=True)
class CharacterSpan:
    """Characters ``start`` to ``end`` (not included) of a text."""

    start: int
    end: int


@dataclass(frozen=True)
class Plan:
    """Model inputs that explain the prediction for a text."""

    read: str
    """The part of the text within the model's input length."""
    spans: list[CharacterSpan]
    """Spans that are left out, one at a time."""
    unread: CharacterSpan | None
    """The words beyond the model's input length; their weight is 0."""

    @property
    def texts(self) -> list[str]:
        """Return the text, and the text without each span."""
        return [self.read, *(self.read[: span.start] + self.read[span.end :] for span in self.spans)]


def make_plan(text: str, limit: int, reach: int) -> Plan:
    """Leave out at most ``limit`` spans, which cover all words of ``text`` that the model reads.

    ``reach`` is the number of characters that the model reads; a word that begins among them is included.
    """
    words: list[CharacterSpan] = []
    unread = None
    for word in _words(text):
        if word.start >= reach:  # a text may be long: the words after it are not split
            unread = CharacterSpan(word.start, len(text.rstrip()))
            break
        words.append(word)
    end = words[-1].end if words else 0
    return Plan(text[:end], group(words, limit), unread)


def find_words(text: str) -> list[CharacterSpan]:
    """Split ``text`` into words that cover all but its white space, in order.

    Punctuation and combining marks belong to the preceding word. In scripts without
    spaces, a Han character is a word, and so are ``RUN`` letters of other scripts.
    """
    return list(_words(text))


def _words(text: str) -> Iterator[CharacterSpan]:
    start, within, letters = 0, "space", 0
    for place, character in enumerate(text):
        kind = _kind(character)
        if within == "mark" and kind != "space":
            within = kind  # an opening bracket goes with what follows
        elif kind != "mark" and (
            kind != within or kind == "alone" or (kind == "unspaced" and letters >= RUN)
        ):
            if within != "space":
                yield CharacterSpan(start, place)
            start, within, letters = place, kind, 0
        elif within == "space" and kind == "mark":
            start, within, letters = place, kind, 0
        letters += kind != "mark"
    if within != "space":
        yield CharacterSpan(start, len(text))


def group(words: Sequence[CharacterSpan], limit: int) -> list[CharacterSpan]:
    """Group consecutive ``words`` into at most ``limit`` spans of nearly equal size."""
    count = min(limit, len(words))
    edges = [index * len(words) // count for index in range(count + 1)] if count else []
    return [CharacterSpan(words[first].start, words[last - 1].end) for first, last in pairwise(edges)]


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    if not character.isalnum():
        return "mark"  # punctuation, combining marks, joiners, symbols
    if ALONE.match(character):
        return "alone"
    return "unspaced" if UNSPACED.match(character) else "spaced"
