"""Rows read from a source of the stream, with how far it is read then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from react_ray.apps.monitor.items import ALWAYS, COLUMNS, Item, Span, parse_item
from react_ray.apps.monitor.store import Place, Rejection

__all__ = ["MAX_BYTES", "Chunk", "Reading", "Source"]

MAX_BYTES = 1 << 20
"""Most bytes of a row as JSON."""


class Source(Protocol):
    """Where items come from.

    Attributes
    ----------
    in_order
        Whether what waits is read in about the order of its times; else it is read to its end before a bucket
        is closed.
    """

    in_order: ClassVar[bool]

    def read(self, place_of: Callable[[str], Place], until_end: bool) -> Iterator[list[Chunk]]:
        """Yield what is new since the places, to be stored together; with ``until_end``, up to the end."""

    def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Parameters
    ----------
    columns
        For columns with another name in the source, that name.
    rows
        Most rows of a chunk.
    span
        Times that are accepted.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    rows: int = 256
    span: Span = ALWAYS

    def cells(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cells of a JSON object by column."""
        return {name: record.get(self.columns.get(name, name)) for name in (*COLUMNS, "source")}


@dataclass
class Chunk:
    """Rows read from a file or a partition, and how far it is read with them.

    ``again`` says that a file has changed and is read from its beginning: earlier rejections of it are void.
    """

    place: Place
    again: bool = False
    items: list[Item] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, cells: Mapping[str, Any], number: int, span: Span) -> None:
        """Add a row, or why it is rejected."""
        try:
            if cells.get("time") is None:
                raise ValueError("no time: the cell is blank")
            self.items.append(parse_item(cells, span))
        except ValueError as error:
            self.reject(number, str(error))

    def add_json(
        self, content: bytes, number: int, reading: Reading, default: Mapping[str, Any] | None = None
    ) -> None:
        """Add a row in JSON, or why it is rejected; ``default`` are cells of columns that it lacks."""
        try:
            record = json.loads(content)
        except (ValueError, RecursionError):
            self.reject(number, "not JSON: the line cannot be parsed")
            return
        if not isinstance(record, dict):
            self.reject(number, f"not an object: a JSON {type(record).__name__}")
            return
        cells = reading.cells(record)
        present = {name: cell for name, cell in cells.items() if cell is not None}
        self.add({**cells, **(default or {}), **present}, number, reading.span)

    def reject(self, number: int, reason: str) -> None:
        """Reject the row ``number``: in a file from 1, in a partition its offset."""
        self.rejections.append(Rejection(self.place.file, number, reason))
