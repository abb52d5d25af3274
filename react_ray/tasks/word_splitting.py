"""Splitting of texts into words with character offsets, the units of entities.

A Chinese, Japanese or Korean character or a punctuation mark is a word; so is a sequence of other letters and
digits. Offsets count characters of the original text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from react_ray.tasks.tagging import Span

__all__ = ["Words", "find_words", "join_words", "split_words", "trim"]

IDEOGRAPHS = (
    "\u2e80-\u2fdf"  # radicals
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\uac00-\ud7a3"  # Hangul
    "\U00020000-\U0003ffff"  # Han, rare
)
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+|[^\w\s]")
NO_SPACE = re.compile(rf"[{IDEOGRAPHS}\u3000-\u303f\uff00-\uffef]")
"""Characters without a space beside them: ideographs and full-width marks."""


@dataclass(frozen=True)
class Words:
    """A text and its words, each from character ``starts[i]`` to before ``ends[i]``."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.starts)

    def words(self) -> list[str]:
        """Return the words as strings."""
        return [self.text[start:end] for start, end in zip(self.starts, self.ends, strict=True)]

    def characters(self, span: Span) -> Span:
        """Convert a span of words to a span of characters."""
        return Span(self.starts[span.start], self.ends[span.end - 1], span.label)

    def span(self, characters: Span) -> Span:
        """Convert a span of characters to a span of words; ValueError if it splits a word."""
        try:
            start, end = self.starts.index(characters.start), self.ends.index(characters.end)
        except ValueError:
            shown = self.text[characters.start : characters.end]
            raise ValueError(
                f"span is no words: {characters.start} to {characters.end} ({shown!r}) does not begin "
                "and end with a word"
            ) from None
        return Span(start, end + 1, characters.label)


def split_words(text: str, spans: Iterable[Span] = ()) -> Words:
    """Split ``text`` into words, and also where one of ``spans`` (in characters) begins or ends.

    Spaces at the ends of a span do not count, see :func:`trim`.

    Example
    -------
    >>> split_words("Ray 支持GPU!").words()
    ['Ray', '支', '持', 'GPU', '!']
    """
    cuts = sorted({place for span in spans for place in (span.start, span.end)})
    starts: list[int] = []
    ends: list[int] = []
    for match in WORD.finditer(text):
        inside = [cut for cut in cuts if match.start() < cut < match.end()] if cuts else []
        starts += [match.start(), *inside]
        ends += [*inside, match.end()]
    return Words(text, tuple(starts), tuple(ends))


def join_words(words: Sequence[str]) -> Words:
    """Join words with spaces, except next to an ideograph or a full-width mark.

    Example
    -------
    >>> join_words(["高", "勇", "：", "Ray", "Data"]).text
    '高勇：Ray Data'
    """
    text, starts, ends = "", [], []
    for word in words:
        if text and word and not (NO_SPACE.match(text[-1]) or NO_SPACE.match(word[0])):
            text += " "
        starts.append(len(text))
        text += word
        ends.append(len(text))
    return Words(text, tuple(starts), tuple(ends))


def find_words(text: str, words: Sequence[str]) -> Words | None:
    """Locate ``words`` in ``text``; None if more than white space separates them."""
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    for word in words:
        start = text.find(word, place)
        if start < 0 or text[place:start].strip():
            return None
        starts.append(start)
        ends.append(place := start + len(word))
    return None if text[place:].strip() else Words(text, tuple(starts), tuple(ends))


def trim(text: str, span: Span) -> Span:
    """Strip white space from a span; ValueError if it is out of range or blank."""
    if not 0 <= span.start < span.end <= len(text):
        raise ValueError(f"span out of range: {span.start} to {span.end} of {len(text)} characters")
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    end = span.end - (len(inside) - len(inside.rstrip()))
    if start >= end:
        raise ValueError(f"empty span: only white space from {span.start} to {span.end}")
    return Span(start, end, span.label)
