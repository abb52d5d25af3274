"""Pairs of entities in a text: parsing from cells, and entity markers in the model's input.

The markers are punctuation, one character for each entity (after Zhou & Chen 2021, arXiv:2102.01373): new
tokens in the vocabulary would have to be learned from a few hundred rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from react_ray.tasks.columns import Cells
from react_ray.tasks.tagging import Span
from react_ray.tasks.word_splitting import trim
from react_ray.tasks.written_lists import written_value

__all__ = ["MARKS", "EntityPair", "mark_entities", "marked_places", "read_pair", "tag_entities"]

MARKERS = re.compile(r"<(/?)(e[12])>", re.IGNORECASE)
COLUMNS = (("e1", "e2"), ("head", "tail"))
"""Columns of files for the places of the two entities."""
KEYS = (("start", "end"), ("start_offset", "end_offset"))
MARKS = ("*", "#")
SHOWN_CHARS = 80


class EntityPair(NamedTuple):
    """A text and the character spans of its two entities, which do not overlap."""

    text: str
    e1: Span
    e2: Span

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> EntityPair:
        """Make a pair from the input columns of a row."""
        spans = (Span(row[f"{name}_start"], row[f"{name}_end"], name) for name in ("e1", "e2"))
        return cls(row["text"], *spans)

    def columns(self) -> dict[str, Any]:
        """Return the input columns of a row, which :meth:`of` reads."""
        return {
            "text": self.text,
            "e1_start": self.e1.start,
            "e1_end": self.e1.end,
            "e2_start": self.e2.start,
            "e2_end": self.e2.end,
        }

    def parts(self) -> tuple[str, str, str]:
        """Return the text before, between and after the entities."""
        first, second = sorted((self.e1, self.e2))
        return self.text[: first.start], self.text[first.end : second.start], self.text[second.end :]

    def with_parts(self, before: str, between: str, behind: str) -> EntityPair:
        """Return the pair with other text around the same entities."""
        first, second = sorted((self.e1, self.e2))
        moved = {}
        text = before
        for span, part in ((first, between), (second, behind)):
            entity = self.text[span.start : span.end]
            moved[span.label] = Span(len(text), len(text) + len(entity), span.label)
            text += entity + part
        return EntityPair(text, moved["e1"], moved["e2"])


def read_pair(cells: Cells) -> EntityPair:
    """Parse the two entities of a text from columns (e1 and e2, or head and tail) or from its markers.

    A column holds {"start": 0, "end": 5} or [0, 5], in characters; without columns the text has
    <e1>...</e1> and <e2>...</e2>, which are removed. Raises ValueError ("kind: details").
    """
    text = cells["text"]
    for names in COLUMNS:
        pair = [cells.get(name) for name in names]
        if any(cell not in (None, "") for cell in pair):
            first, second = (_span(cell, name) for cell, name in zip(pair, names, strict=True))
            return _checked(text, first, second)
    return _checked(*_unmarked(text))


def mark_entities(pair: EntityPair) -> str:
    """Insert the entity markers of the model's input: ``* e1 *`` and ``# e2 #``.

    Example
    -------
    >>> mark_entities(EntityPair("Smoke causes cancer.", Span(0, 5, "e1"), Span(13, 19, "e2")))
    '* Smoke * causes # cancer #.'
    """
    return marked_places(pair)[0]


def tag_entities(pair: EntityPair) -> str:
    """Insert the markers used in files: ``<e1>Smoke</e1> causes <e2>cancer</e2>.``."""
    text, before = "", 0
    for span in sorted((pair.e1, pair.e2)):
        entity = pair.text[span.start : span.end]
        text += f"{pair.text[before : span.start]}<{span.label}>{entity}</{span.label}>"
        before = span.end
    return text + pair.text[before:]


def marked_places(pair: EntityPair) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of :func:`mark_entities` and the spans of its two marked entities, in order."""
    text, places, before = "", [], 0
    for span in sorted((pair.e1, pair.e2)):
        mark = MARKS[span.label == "e2"]
        text += pair.text[before : span.start]
        start = len(text)
        text += f"{mark} {pair.text[span.start : span.end]} {mark}"
        places.append((start, len(text)))
        before = span.end
    return text + pair.text[before:], places


def _span(cell: Any, name: str) -> tuple[int, int]:
    bounds = cell
    if isinstance(cell, str):
        try:
            bounds = written_value(cell)
        except ValueError:
            bounds = None
    if isinstance(bounds, Mapping):
        keys = next((keys for keys in KEYS if keys[0] in bounds), KEYS[0])
        bounds = [bounds.get(key) for key in keys]
    valid = isinstance(bounds, list | tuple) and len(bounds) == 2 and all(map(_is_whole, bounds))
    if not valid or bounds is None:
        shown = "blank" if cell in (None, "") else repr(cell)[:SHOWN_CHARS]
        raise ValueError(f"no entity: {name} is {shown}, expected {{start, end}} or [start, end]")
    return int(bounds[0]), int(bounds[1])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0


def _checked(text: str, e1: tuple[int, int], e2: tuple[int, int]) -> EntityPair:
    first, second = trim(text, Span(*e1, "e1")), trim(text, Span(*e2, "e2"))
    if first.start < second.end and second.start < first.end:
        raise ValueError(
            f"overlapping entities: {first.start} to {first.end} and {second.start} to {second.end}"
        )
    return EntityPair(text, first, second)


def _unmarked(text: str) -> tuple[str, tuple[int, int], tuple[int, int]]:
    """Return the text without its markers, and the spans between them."""
    plain, end = "", 0
    places: dict[str, int] = {}
    for marker in MARKERS.finditer(text):
        plain += text[end : marker.start()]
        name = marker[0].lower()
        if name in places:
            raise ValueError(f"repeated marker: {name} is in the text more than once")
        if marker[1] and f"<{marker[2].lower()}>" not in places:
            raise ValueError(f"missing marker: {name} has no <{marker[2].lower()}> before it")
        places[name], end = len(plain), marker.end()
    for name in ("<e1>", "</e1>", "<e2>", "</e2>"):
        if name not in places:
            raise ValueError(f"missing marker: the text has no {name}, and there are no columns e1 and e2")
    plain += text[end:]
    return plain, (places["<e1>"], places["</e1>"]), (places["<e2>"], places["</e2>"])
