"""A row as it was read, whatever the format of its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["Broken", "Record", "refuse_doubled", "require"]

SHOWN_NAMES, SHOWN_CHARS = 20, 60


class Broken(NamedTuple):
    """A row that cannot be used, and why ("kind: details").

    ``text`` is what the file has there; ``values`` are its needed cells, where they could be told apart.
    """

    reason: str
    text: str
    values: Sequence[Any] = ()


Record = tuple[int, Sequence[Any] | Broken, Any]
"""Number of the row (from 1; 0 stands for the whole file), its needed cells, and the row as a whole."""


def refuse_doubled(names: Sequence[str], source: Source) -> None:
    """Raise InputError where two columns have one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{source.path} has {count} columns {name!r}; rename all but one")


def require(required: Sequence[str], columns: Sequence[str], source: Source) -> None:
    """Raise InputError where a column that is needed is missing or doubled."""
    flags = ("--text-column", "--label-column")
    for name, flag in zip(required, flags, strict=False):
        refuse_doubled([column for column in columns if column == name], source)
        if name not in columns:
            named = [repr(column[:SHOWN_CHARS]) for column in columns if column]
            more = ", ..." if len(named) > SHOWN_NAMES else ""
            shown = ", ".join(named[:SHOWN_NAMES]) + more or "none"
            raise InputError(f"{source.path} has no column {name!r} (it has: {shown}); name it with {flag}")
