"""Sections of a report, in the forms that the page can draw.

Sections are plain JSON. Texts and names in them are untrusted: the page escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from react_ray.answer import Answer

__all__ = [
    "MOST_ROWS",
    "REPORT_MATRIX_CLASSES",
    "Heading",
    "Item",
    "Mark",
    "Section",
    "bars",
    "confident_mistakes",
    "item",
    "marked_texts",
    "matrix",
    "shorten",
    "table",
]

MOST_ROWS = 300
"""Rows of a table at most, so that the page of thousands of classes opens at once."""
REPORT_MATRIX_CLASSES = 20
"""Up to here a confusion matrix can be read."""
MOST_MISTAKES = 12
TEXT_CHARS = 320
Mark = tuple[int, int, str]
"""Characters of a text from and to, and the label they have."""


class Section(TypedDict):
    """A part of the report.

    ``text`` is a note under the title. The content of ``data`` depends on ``kind``:

    ``table``         columns ([title, form], see :func:`table`), rows, left (rows that were cut), more
    ``matrix``        names (None: no class), counts (rows are the truth)
    ``bars``          rows of [name, number, what it means]
    ``marked_texts``  items (Item), labels (names of the marks, each with a colour of its own),
                      compared (whether the marks over and under a text ought to be the same)
    """

    kind: Literal["table", "matrix", "bars", "marked_texts"]
    title: str
    text: str
    data: dict[str, Any]


class Item(TypedDict):
    """A row of the data with the model's answer.

    ``texts`` have name (or ""), text, above and below: marks over a text (the truth) and under it (the
    answer). ``said`` (the answer) and ``truth`` are text, None where marks show them. ``notes`` describe
    errors.
    """

    texts: list[dict[str, Any]]
    said: str | None
    truth: str | None
    probability: float
    truth_probability: float | None
    notes: list[str]


Heading = tuple[str, Literal["name", "text", "bar", "score", "count", "share"]]
"""Title of a column, and the form of its cells. A name of None is no class."""


def table(
    title: str, columns: Sequence[Heading], rows: Sequence[Sequence[Any]], text: str = "", more: str = "rows"
) -> Section:
    """Make a table; ``more`` names the rows that are shown on demand, such as "better classes"."""
    data = {
        "columns": [list(column) for column in columns],
        "rows": [list(row) for row in rows[:MOST_ROWS]],
        "left": max(0, len(rows) - MOST_ROWS),
        "more": more,
    }
    return {"kind": "table", "title": title, "text": text, "data": data}


def matrix(
    title: str, names: Sequence[str | None], counts: Sequence[Sequence[int]], text: str = ""
) -> Section:
    """Make a confusion matrix: rows are the truth, columns the answer."""
    data = {"names": list(names), "counts": [list(row) for row in counts]}
    return {"kind": "matrix", "title": title, "text": text, "data": data}


def bars(title: str, rows: Sequence[tuple[str, int, str]], text: str = "") -> Section:
    """Make a bar chart from rows of name, number and explanation."""
    return {"kind": "bars", "title": title, "text": text, "data": {"rows": [list(row) for row in rows]}}


def marked_texts(
    title: str, items: Sequence[Item], labels: Sequence[str] = (), text: str = "", compared: bool = False
) -> Section:
    """Show texts with marks above them, and with ``compared`` the predicted marks below them."""
    data = {"items": list(items), "labels": list(labels), "compared": compared}
    return {"kind": "marked_texts", "title": title, "text": text, "data": data}


def item(
    texts: Mapping[str, str] | str,
    answer: Answer,
    *,
    said: str | None = None,
    truth: str | None = None,
    above: Sequence[Mark] = (),
    below: Sequence[Mark] = (),
    truth_probability: float | None = None,
    notes: Sequence[str] = (),
) -> Item:
    """Make an item of marked texts; marks belong to the first text, several texts have names."""
    named = {"": texts} if isinstance(texts, str) else texts
    shown: list[dict[str, Any]] = [
        {"name": name, "text": text, "above": [], "below": []} for name, text in named.items()
    ]
    shown[0] |= {"above": [list(mark) for mark in above], "below": [list(mark) for mark in below]}
    return {
        "texts": shown,
        "said": said,
        "truth": truth,
        "probability": answer.score,
        "truth_probability": truth_probability,
        "notes": list(notes),
    }


def confident_mistakes(
    answers: Sequence[Answer], credit: Sequence[float], most: int = MOST_MISTAKES
) -> list[int]:
    """Return the indices of answers that are not entirely correct, highest scores first."""
    mistakes = [row for row, share in enumerate(credit) if share < 1]
    return sorted(mistakes, key=lambda row: -answers[row].score)[:most]


def shorten(text: str, most: int = TEXT_CHARS) -> str:
    """Put ``text`` on one line, truncated with an ellipsis after ``most`` characters."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[:most].rstrip() + "…"
