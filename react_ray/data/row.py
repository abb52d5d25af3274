"""Raw rows of a file of any format, and the columns to look for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["Broken", "ColumnSelection", "Record", "check_unique"]

SHOWN_NAMES, SHOWN_CHARS = 20, 60
Cells = Mapping[str, Any]
"""Cells of a row by the names of their columns in the file."""


class Broken(NamedTuple):
    """A row that cannot be used, and the reason ("kind: details").

    ``text`` is the raw text of the row; ``cells`` are the selected cells, where they could be separated.
    """

    reason: str
    text: str
    cells: Cells = {}  # noqa: RUF012


Record = tuple[int, Cells | Broken, Any]
"""Number of the row (from 1; 0 stands for the whole file), its selected cells, and the original row."""


@dataclass(frozen=True)
class ColumnSelection:
    """Columns to look for in a file, by their names there.

    Parameters
    ----------
    groups
        A file must have all columns of one group.
    targets
        And all columns of one of these groups, if there are any.
    optional
        Optional columns.
    flags
        For each column, the command line option that renames it.
    coded
        Columns in which integers may stand for class names.
    """

    groups: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[str, ...], ...] = ()
    optional: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    coded: Collection[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, each once."""
        needed = [name for group in (*self.groups, *self.targets) for name in group]
        return tuple(dict.fromkeys([*needed, *self.optional]))

    def fits(self, columns: Collection[str]) -> bool:
        """Return whether a file with these columns has the required ones."""
        have = set(columns)
        return all(_any_of(groups, have) for groups in (self.groups, self.targets))

    def require(self, columns: Sequence[str], source: Source) -> None:
        """Raise InputError if a required column is missing, or a selected one is duplicated."""
        for groups in (self.groups, self.targets):
            for name in dict.fromkeys(name for group in groups for name in group):
                check_unique([column for column in columns if column == name], source)
            if not _any_of(groups, set(columns)):
                raise InputError(self._missing(groups, columns, source))

    def _missing(self, groups: Sequence[Sequence[str]], columns: Sequence[str], source: Source) -> str:
        named = [repr(column[:SHOWN_CHARS]) for column in columns if column]
        more = ", ..." if len(named) > SHOWN_NAMES else ""
        shown = ", ".join(named[:SHOWN_NAMES]) + more or "none"
        if len(groups) == 1:
            groups = [[next(name for name in groups[0] if name not in columns)]]
        words = " or ".join(" and ".join(map(repr, group)) for group in groups)
        flag = self.flags.get(groups[0][0], "--column")
        return f"{source.path} has no column {words} (it has: {shown}); name it with {flag}"


def _any_of(groups: Sequence[Sequence[str]], columns: Collection[str]) -> bool:
    return not groups or any(all(name in columns for name in group) for group in groups)


def check_unique(names: Sequence[str], source: Source) -> None:
    """Raise InputError if two columns have the same name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{source.path} has {count} columns {name!r}; rename all but one")
