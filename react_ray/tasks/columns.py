"""Column specifications of tasks, and parsing options for cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["NO_OPTIONS", "Cells", "Column", "Options", "text_cell"]

Kind = Literal["text", "tokens", "tags", "spans", "label", "labels"]
Cells = Mapping[str, Any]
"""The cells of one row by the names of :class:`Column`; None for missing cells."""


@dataclass(frozen=True)
class Column:
    """An input column of a task.

    Parameters
    ----------
    name
        Its default name in files; ``--column NAME=OTHER`` renames it.
    kind
        Type of its cells.
    target
        Whether it is a target column: a row whose targets are blank is unlabelled.
    """

    name: str
    kind: Kind
    target: bool = False


@dataclass(frozen=True)
class Options:
    """Parsing options of cells.

    Parameters
    ----------
    separator
        Separator of the labels in a cell (``data.separator``); None: a cell is a list, or one label.
    label_columns
        Columns of 1 or 0, one per label (``data.label_columns``).
    scheme
        Tagging scheme; None: detected from the first rows of a file.
    passages
        Whether a row may be a passage without a question (``data.passages``).
    """

    separator: str | None = None
    label_columns: tuple[str, ...] = ()
    scheme: Literal["BIO", "IOB1", "BIOES"] | None = None
    passages: bool = False


NO_OPTIONS = Options()


def text_cell(cells: Cells, name: str) -> str | None:
    """Return the text in a cell; None if it is blank. Raises ValueError for a value of another type.

    >>> text_cell({"document": "Rain."}, "document")
    'Rain.'
    """
    cell = cells.get(name)
    if cell is not None and not isinstance(cell, str):
        raise ValueError(f"not text: {name} is {cell!r:.80}; expected a text")
    return cell if cell and cell.strip() else None
