"""Texts of a report cut into the pieces that have one mark over them and one under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["Line", "Piece", "pieces"]

COLOURS = 6


@dataclass(frozen=True)
class Line:
    """A mark over or under a piece; ``label`` is empty where it goes on from the piece before."""

    label: str
    colour: int
    right: bool
    """Whether the answer has just this mark too."""


@dataclass(frozen=True)
class Piece:
    """A part of a text; None: no mark."""

    text: str
    above: Line | None
    below: Line | None


def pieces(text: Mapping[str, Any], labels: Sequence[str]) -> list[Piece]:
    """Cut one of the texts of a section ``marked_texts``; a mark has the colour of its place in ``labels``.

    Example
    -------
    >>> found = pieces({"text": "Ada is", "above": [[0, 3, "PER"]], "below": []}, ["PER"])
    >>> [(piece.text, piece.above and piece.above.label) for piece in found]
    [('Ada', 'PER'), (' is', None)]
    """
    written, above, below = text["text"], text["above"], text["below"]
    ends = {end for mark in (*above, *below) for end in mark[:2] if 0 < end < len(written)}
    cuts = [0, *sorted(ends), len(written)]
    colours = {label: number % COLOURS for number, label in enumerate(labels)}
    return [
        Piece(
            written[start:end],
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
            right = any(list(other) == list(mark) for other in others)
            return Line(label if start == first else "", colours.get(label, 0), right)
    return None
