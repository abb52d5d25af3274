"""Sentence boundaries, for texts with spaces between words and without."""

from __future__ import annotations

import re

from react_ray.models.writing_systems import NO_SPACES

__all__ = ["split_sentences"]

_END = re.compile(
    r"[.!?…]+[\"'”’)\]]*(?=\s|$)"  # with white space behind it: 3.5 and U.S. go on
    r"|[。！？；｡…][。！？；｡…!?]*[”’」』）]*"
    rf"|(?:(?<=[{NO_SPACES}])[!?]+|[!?]+(?=[\"'”’)\]]*[{NO_SPACES}]))[\"'”’)\]]*"  # half-width marks
    r"|[^\S\n]*\n\s*"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|e\.g|i\.e|cf|Fig|No|al)\.$"
)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of a text as characters from and to, without the white space around them.

    A line break ends a sentence, as in dialogues and headlines. A full stop does so where white space
    follows, unless an initial or a common abbreviation is before it. An exclamation or question mark does so
    next to a character of a script without spaces too.

    Example
    -------
    >>> split_sentences("Dr. Wu left. She took 3.5 kg!")
    [(0, 12), (13, 29)]
    >>> split_sentences("今天下雨。我们在家。")
    [(0, 5), (5, 10)]
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        end = match.end()
        if match.group().startswith(".") and _ABBREVIATION.search(text[max(start, end - 12) : end]):
            continue
        _append(spans, text, start, end)
        start = end
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    """Append a span without the white space around it, unless nothing is left."""
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    right = start + len(part.rstrip())
    if left < right:
        spans.append((left, right))
