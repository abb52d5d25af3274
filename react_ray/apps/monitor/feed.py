"""New rows of followed files: jsonl from a byte offset, other formats from a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from react_ray import InputError, read_rows
from react_ray.apps.monitor.items import ALWAYS, COLUMNS, Item, Span, parse_item
from react_ray.apps.monitor.store import Place, Rejection

__all__ = ["Chunk", "Feed"]

FOLLOWED = (".jsonl", ".ndjson")
READ = (*FOLLOWED, ".csv", ".tsv", ".json", ".parquet", ".jsonl.gz", ".csv.gz")
MAX_LINE_BYTES = 1 << 20
UNFINISHED = "-unfinished"
"""Ends the state of a file that is not read to its end."""


@dataclass
class Chunk:
    """Rows read from a file, and how far it is read with them."""

    place: Place
    items: list[Item] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, cells: Mapping[str, Any], number: int, feed: Feed) -> None:
        """Add a row, or why it is rejected."""
        try:
            if cells.get("time") is None:
                raise ValueError("no time: the cell is blank")
            self.items.append(parse_item(cells, feed.span))
        except ValueError as error:
            self.reject(number, str(error))

    def reject(self, number: int, reason: str) -> None:
        """Reject the row ``number``, from 1."""
        self.rejections.append(Rejection(Path(self.place.file).name, number, reason))


@dataclass(frozen=True)
class Feed:
    """A file or a folder that grows.

    Parameters
    ----------
    input
        File or folder: jsonl files are followed as lines are appended; csv, json and parquet files are read
        when they are there, and again if they change.
    columns
        For columns with another name in the files, that name.
    rows
        Most rows of a chunk.
    span
        Times that are accepted.
    """

    input: Path
    columns: Mapping[str, str]
    rows: int = 256
    span: Span = ALWAYS

    def files(self) -> list[Path]:
        """Return the files, by name. Raises InputError if there is no such file or folder."""
        if self.input.is_dir():
            found = (path for path in self.input.iterdir() if not path.name.startswith((".", "_")))
            return sorted(path for path in found if path.name.lower().endswith(READ) and path.is_file())
        if not self.input.is_file():
            raise InputError(f"{self.input}: no such file or folder; --input takes one of them")
        if not self.input.name.lower().endswith(READ):
            raise InputError(f"{self.input}: unknown file extension, expected one of {', '.join(READ)}")
        return [self.input]

    def chunks(self, place: Place, path: Path, last_line: bool) -> Iterator[Chunk]:
        """Yield what was appended to a file since ``place``.

        With ``last_line``, a last line without a line feed is complete. InputError for a file that cannot be
        read as a whole.
        """
        if path.name.lower().endswith(FOLLOWED):
            yield from self._lines(place, path, last_line)
        else:
            yield from self._table(place, path)

    def _lines(self, place: Place, path: Path, last_line: bool) -> Iterator[Chunk]:
        with path.open("rb") as file:
            state, size = str(path.stat().st_ino), path.stat().st_size
            if state != place.state or size < place.position:
                place = Place(place.file, state=state)  # another file of this name
            file.seek(place.position)
            while True:
                chunk = Chunk(place)
                for line in islice(_lines(file, last_line), self.rows):
                    place = replace(place, position=place.position + line.size, rows=place.rows + 1)
                    self._add_line(chunk, line, place.rows)
                if place == chunk.place:
                    return
                chunk.place = place
                yield chunk

    def _add_line(self, chunk: Chunk, line: _FileLine, number: int) -> None:
        if line.content is None:
            chunk.reject(number, f"too long: the line has more than {MAX_LINE_BYTES:,} bytes")
            return
        if not line.content.strip():
            return
        try:
            record = json.loads(line.content)
        except (ValueError, RecursionError):
            chunk.reject(number, "not JSON: the line cannot be parsed")
            return
        if not isinstance(record, dict):
            chunk.reject(number, f"not an object: a JSON {type(record).__name__}")
            return
        chunk.add({name: record.get(self._name(name)) for name in (*COLUMNS, "source")}, number, self)

    def _name(self, column: str) -> str:
        return self.columns.get(column, column)

    def _table(self, place: Place, path: Path) -> Iterator[Chunk]:
        found = path.stat()
        state = f"{found.st_size}-{found.st_mtime_ns}"
        if state == place.state:
            return
        if place.state != state + UNFINISHED:  # changed: known ids are left out
            place = Place(place.file, state=state + UNFINISHED)
        rows = read_rows(str(path), list(COLUMNS), ["source"], self.columns)
        rows = islice(rows, place.rows, None)
        while several := list(islice(rows, self.rows)):
            chunk = Chunk(replace(place, rows=place.rows + len(several)))
            for row in several:
                if row.reason:
                    chunk.reject(row.number, row.reason)
                else:
                    chunk.add(row.cells, row.number, self)
            place = chunk.place
            yield chunk
        yield Chunk(replace(place, state=state))


@dataclass(frozen=True)
class _FileLine:
    content: bytes | None
    """None for a line that is too long."""
    size: int


def _lines(file: Any, last_line: bool) -> Iterator[_FileLine]:
    """Yield complete lines; one that is too long is skipped without being held in memory."""
    while line := file.readline(MAX_LINE_BYTES):
        size, long = len(line), len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
        end = line
        while long and not end.endswith(b"\n") and (end := file.readline(MAX_LINE_BYTES)):
            size += len(end)
        if not line.endswith(b"\n") and not (long and end.endswith(b"\n")) and not last_line:
            file.seek(-size, 1)
            return
        yield _FileLine(None if long else line, size)
