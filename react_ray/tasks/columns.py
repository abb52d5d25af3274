"""Columns of input files, as a task asks for them, and how their cells are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["NO_OPTIONS", "Cells", "Column", "Options"]

Kind = Literal["text", "tokens", "tags", "spans", "label", "labels"]
Cells = Mapping[str, Any]
"""The cells of one row by the names of :class:`Column`; None where the file has none."""


@dataclass(frozen=True)
class Column:
    """A column that a task can read.

    Parameters
    ----------
    name
        Its name in files, unless ``--column NAME=OTHER`` gives another.
    kind
        What a cell holds.
    target
        Whether it says what is to be learnt: a row whose targets are blank is unlabelled.
    """

    name: str
    kind: Kind
    target: bool = False


@dataclass(frozen=True)
class Options:
    """How cells are read where that is not obvious.

    Parameters
    ----------
    separator
        Between the labels in one cell (``data.separator``); None: a cell is a list, or one label.
    label_columns
        Columns that say 1 or 0 each, one a label (``data.label_columns``).
    scheme
        Of tags; None: found in the first rows of a file.
    """

    separator: str | None = None
    label_columns: tuple[str, ...] = ()
    scheme: Literal["BIO", "IOB1", "BIOES"] | None = None


NO_OPTIONS = Options()
