"""Counts of rejected rows by reason; memory does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["LostRows", "RejectedRows", "count_kinds", "describe", "kind_of"]

SHOWN_ROWS = 5


def kind_of(reason: str) -> str:
    """Return the kind of a reason: the part before its details."""
    return reason.partition(":")[0]


@dataclass
class _Kind:
    """Number of rows rejected for a kind of reason, and the first of them."""

    reason: str
    file: str
    row: int
    count: int = 0


@dataclass
class LostRows:
    """Rejected rows of one class in one input: their number, and descriptions of the first."""

    count: int = 0
    rows: list[str] = field(default_factory=list)

    def add(self, reason: str, file: str, row: int) -> None:
        """Count a row."""
        self.count += 1
        if len(self.rows) < SHOWN_ROWS:
            self.rows.append(f"{file}, row {row}: {reason}")

    def describe(self) -> str:
        """Format the rows, one per line, and the number of further rows."""
        more = [f"and {self.count - len(self.rows):,} more"] if self.count > len(self.rows) else []
        return "\n".join(f"  {line}" for line in [*self.rows, *more])


@dataclass
class RejectedRows:
    """Rejected rows by input and kind of reason, in the order they were added.

    ``lost`` has, by input and class, the rows whose target could be parsed.
    """

    inputs: dict[str, dict[str, _Kind]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    files: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: dict[tuple[str, str], LostRows] = field(default_factory=dict)

    def add(self, part: str, file: str, row: int, reason: str, names: Sequence[str]) -> None:
        """Count a row of ``file`` in the input ``part`` whose target has the classes ``names``."""
        _count(self.inputs.setdefault(part, {}), reason, file, row)
        self.kinds[kind_of(reason)] += 1
        self.files[part, file] += 1
        for name in names:
            self.lost.setdefault((part, name), LostRows()).add(reason, file, row)


def describe(kinds: Iterable[_Kind], shown: int = 5) -> str:
    """Format the most frequent reasons, each with its count and first row."""
    largest = sorted(kinds, key=lambda kind: -kind.count)[:shown]
    return "\n".join(
        f"  {kind.count:,} × {kind.reason} (first: {kind.file}{f', row {kind.row}' if kind.row else ''})"
        for kind in largest
    )


def count_kinds(rows: Iterable[tuple[str, str, int]]) -> Iterable[_Kind]:
    """Count kinds of reasons among (reason, file, row)."""
    kinds: dict[str, _Kind] = {}
    for reason, file, row in rows:
        _count(kinds, reason, file, row)
    return kinds.values()


def _count(kinds: dict[str, _Kind], reason: str, file: str, row: int) -> None:
    kinds.setdefault(kind_of(reason), _Kind(reason, file, row)).count += 1
