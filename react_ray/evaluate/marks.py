"""Cut the marked texts of a report into pieces with one mark above and one below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["Line", "Piece", "cut_into_pieces"]

COLOURS = 6


@dataclass(frozen=True)
class Line:
    """A mark above or below a piece; ``label`` is empty if it continues that of the previous piece."""

    label: str
    colour: int
    matched: bool
    """Whether truth and answer both have this mark."""


@dataclass(frozen=True)
class Piece:
    """A part of a text with its marks; None: no mark."""

    text: str
    above: Line | None
    below: Line | None


def cut_into_pieces(text: Mapping[str, Any], labels: Sequence[str]) -> list[Piece]:
    """Cut a text of a section ``marked_texts``; the order of ``labels`` determines the colours.

    Example
    -------
    >>> pieces = cut_into_pieces({"text": "Ada is", "above": [[0, 3, "PER"]], "below": []}, ["PER"])
    >>> [(piece.text, piece.above and piece.above.label) for piece in pieces]
    [('Ada', 'PER'), (' is', None)]
    """
    content, above, below = text["text"], text["above"], text["below"]
    ends = {end for mark in (*above, *below) for end in mark[:2] if 0 < end < len(content)}
    cuts = [0, *sorted(ends), len(content)]
    colours = {label: number % COLOURS for number, label in enumerate(labels)}
    return [
        Piece(
            content[start:end],
            _line(above, below, start, colours),
            _line(below, above, start, colours),
        )
        for start, end in pairwise(cuts)
        if end > start
    ]


def _line(
    marks: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]], start: int, colours: Mapping[str, int]
) -> Line | None:
    for mark in marks:
        first, last, label = mark
        if first <= start < last:
            matched = any(list(other) == list(mark) for other in others)
            return Line(label if start == first else "", colours.get(label, 0), matched)
    return None
