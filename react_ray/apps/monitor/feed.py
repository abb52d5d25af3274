"""New rows of followed files: jsonl from a byte offset, other formats from a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from react_ray import InputError, read_rows
from react_ray.apps.monitor.chunk import MAX_BYTES, Chunk, Reading
from react_ray.apps.monitor.items import COLUMNS
from react_ray.apps.monitor.store import Place

__all__ = ["Feed"]

FOLLOWED = (".jsonl", ".ndjson")
READ = (*FOLLOWED, ".csv", ".tsv", ".json", ".parquet", ".jsonl.gz", ".csv.gz")
UNFINISHED = "-unfinished"
"""Ends the state of a file that is not read to its end."""


@dataclass(frozen=True)
class Feed:
    """A file or a folder that grows.

    Parameters
    ----------
    input
        File or folder: jsonl files are followed as lines are appended; csv, json and parquet files are read
        when they are there, and again if they change.
    reading
        Names of columns, rows of a chunk, times that are accepted.
    """

    in_order: ClassVar[bool] = False
    input: Path
    reading: Reading

    def files(self) -> list[Path]:
        """Return the files, by name. Raises InputError if there is no such file or folder."""
        if self.input.is_dir():
            paths = (path for path in self.input.iterdir() if not path.name.startswith((".", "_")))
            return sorted(path for path in paths if path.name.lower().endswith(READ) and path.is_file())
        if not self.input.is_file():
            raise InputError(f"{self.input}: no such file or folder; --input takes one of them")
        if not self.input.name.lower().endswith(READ):
            raise InputError(f"{self.input}: unknown file extension, expected one of {', '.join(READ)}")
        return [self.input]

    def read(self, place_of: Callable[[str], Place], until_end: bool) -> Iterator[list[Chunk]]:
        """Yield what was appended to the files, and new files; what comes meanwhile is left for later."""
        for path in self.files():
            for chunk in self.chunks(place_of(str(path.absolute())), path, until_end):
                yield [chunk]

    def close(self) -> None:
        """Do nothing: files are open while they are read."""

    def chunks(self, place: Place, path: Path, last_line: bool) -> Iterator[Chunk]:
        """Yield what was appended to a file since ``place``.

        With ``last_line``, a last line without a line feed is read if it is JSON; else it is still being
        written. InputError for a file that cannot be read as a whole.
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
                for line in islice(_lines(file, last_line), self.reading.rows):
                    place = replace(place, position=place.position + line.size, rows=place.rows + 1)
                    self._add_line(chunk, line, place.rows)
                if place == chunk.place:
                    return
                chunk.place = place
                yield chunk
                if place.position >= size:  # other files must not wait while this one grows
                    return

    def _add_line(self, chunk: Chunk, line: _FileLine, number: int) -> None:
        if line.content is None:
            chunk.reject(number, f"too long: the line has more than {MAX_BYTES:,} bytes")
            return
        if not line.content.strip():
            return
        chunk.add_json(line.content, number, self.reading)

    def _table(self, place: Place, path: Path) -> Iterator[Chunk]:
        status = path.stat()
        state = f"{status.st_size}-{status.st_mtime_ns}"
        if state == place.state:
            return
        again = place.state != state + UNFINISHED
        if again:  # new or changed: known ids are left out
            place = Place(place.file, state=state + UNFINISHED)
        rows = read_rows(str(path), list(COLUMNS), ["source"], self.reading.columns)
        rows = islice(rows, place.rows, None)
        while several := list(islice(rows, self.reading.rows)):
            chunk = Chunk(replace(place, rows=place.rows + len(several)), again)
            for row in several:
                if row.reason:
                    chunk.reject(row.number, row.reason)
                else:
                    chunk.add(row.cells, row.number, self.reading.span)
            place, again = chunk.place, False
            yield chunk
        yield Chunk(replace(place, state=state), again)


@dataclass(frozen=True)
class _FileLine:
    content: bytes | None
    """None for a line that is too long."""
    size: int


def _lines(file: Any, last_line: bool) -> Iterator[_FileLine]:
    """Yield complete lines; one that is too long is skipped without being held in memory."""
    while line := file.readline(MAX_BYTES):
        size, long = len(line), len(line) == MAX_BYTES and not line.endswith(b"\n")
        end = line
        while long and not end.endswith(b"\n") and (end := file.readline(MAX_BYTES)):
            size += len(end)
        if not end.endswith(b"\n") and not (last_line and _is_json(line)):
            file.seek(-size, 1)
            return
        yield _FileLine(None if long else line, size)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
