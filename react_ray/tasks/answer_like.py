"""Spans of a text that look like answers: numbers, names, and frequent words; without a language model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from react_ray.models.writing_systems import NO_SPACES

__all__ = ["answer_like_spans", "overlaps"]

Span = tuple[int, int]

_QUOTED = re.compile('[“"「『《]([^”"」』》\n]{2,40})[”"」』》]')
_UNITS = "年月日号岁时分秒次个名位人场支队家所座条天周米吨元倍届种万亿度"
_NUMBER = re.compile(
    r"\d+(?:[.,:/–-]\d+)*(?:\s?(?:%|per ?cent|million|billion|thousand|[kK]m|years?|days?))?"
    rf"(?:\s?[{_UNITS}]+)?|[一二两三四五六七八九十百千]+[{_UNITS}]+"
)
_FOREIGN = re.compile("[\u4e00-\u9fff]{1,6}(?:·[\u4e00-\u9fff]{1,6})+")
"""Names from other languages, in Chinese."""
_WORD = r"[^\W\d_][\w’'-]*"
_NAME = re.compile(r"\b[A-Z][\w’'-]*(?:\s+(?:(?:of|the|de|von|van|and)\s+)?[A-Z][\w’'-]*)*")
_PLAIN = re.compile(rf"\b{_WORD}\b")
_CHARACTERS = re.compile(f"[{NO_SPACES}]+")
_FUNCTION_CHARACTERS = frozenset(
    "的了在是和与及或为被把从对于由而其之也都并但将以等这那有不一他她它们我你中上下"
)
_FUNCTION_WORDS = (
    "the a an in on at by to of for from with and or but as it its he she they this that these those his her "
    "their there when where while after before during since until although because if however many most some "
    "all both each one other such what who which how"
)
_FIRST_WORDS = frozenset(re.findall(r"\w+", _FUNCTION_WORDS))
MIN_LETTERS, MAX_LETTERS = 4, 14
"""Letters of a plain word that may be an answer."""
FREQUENT = 2
"""Times that a plain word has to occur in the text."""
MAX_CHARACTERS = 6
"""Maximum characters of an answer in a script without spaces."""


def answer_like_spans(text: str) -> list[Span]:
    """Return spans that may be answers to a question, as characters from and to; they do not overlap.

    Numbers with their unit, quotations, capitalised words that are no sentence's first function word, words
    of middle length that occur twice; in scripts without spaces, runs of 2 to 6 characters without function
    words, of which some part occurs twice in the text.

    Example
    -------
    >>> text = "In 1843 Ada Lovelace wrote it."
    >>> [text[start:end] for start, end in answer_like_spans(text)]
    ['1843', 'Ada Lovelace']
    """
    spans: list[Span] = []
    for find in (_quoted, _foreign, _numbers, _names, _characters, _frequent):
        candidates = find(text)
        spans += [
            span for span in candidates if all(span[1] <= other[0] or other[1] <= span[0] for other in spans)
        ]
    return sorted(spans)


def _quoted(text: str) -> list[Span]:
    return [match.span(1) for match in _QUOTED.finditer(text)]


def _foreign(text: str) -> list[Span]:
    spans = []
    for match in _FOREIGN.finditer(text):
        first = match.group().partition("·")[0]
        cut = max(
            (n + 1 for n, character in enumerate(first) if character in _FUNCTION_CHARACTERS), default=0
        )
        if cut < len(first):
            spans.append((match.start() + cut, match.end()))
    return spans


def _numbers(text: str) -> list[Span]:
    return [match.span() for match in _NUMBER.finditer(text)]


def _names(text: str) -> list[Span]:
    spans = []
    for match in _NAME.finditer(text):
        start, end = match.span()
        words = match.group().split()
        if words[0].lower() in _FIRST_WORDS:
            start += len(match.group()) - len(match.group()[len(words[0]) :].lstrip())
        if end - start > 1:
            spans.append((start, end))
    return spans


def _frequent(text: str) -> list[Span]:
    words = [match for match in _PLAIN.finditer(text) if not _CHARACTERS.search(match.group())]
    counts = Counter(match.group().lower() for match in words)
    return [
        match.span()
        for match in words
        if counts[match.group().lower()] >= FREQUENT
        and MIN_LETTERS <= len(match.group()) <= MAX_LETTERS
        and match.group().lower() not in _FIRST_WORDS
    ]


def _characters(text: str) -> list[Span]:
    runs = _runs(text)
    pairs = Counter(text[n : n + 2] for start, end in runs for n in range(start, end - 1))
    return [
        (start, end)
        for start, end in runs
        if 2 <= end - start <= MAX_CHARACTERS and _repeats(text[start:end], pairs)
    ]


def _runs(text: str) -> list[Span]:
    """Longest runs of characters of a script without spaces, cut at function words."""
    runs = []
    for match in _CHARACTERS.finditer(text):
        start = match.start()
        for place in range(match.start(), match.end() + 1):
            if place == match.end() or text[place] in _FUNCTION_CHARACTERS:
                runs.append((start, place))
                start = place + 1
    return runs


def _repeats(run: str, pairs: Counter[str]) -> bool:
    return any(pairs[run[n : n + 2]] >= FREQUENT for n in range(len(run) - 1))


def overlaps(span: Sequence[int], others: Sequence[Sequence[int]]) -> bool:
    """Return whether a span shares a character with any of the others."""
    return any(span[0] < other[1] and other[0] < span[1] for other in others)
