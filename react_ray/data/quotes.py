"""Detection of stray quotes in csv files, which open a cell and swallow the following rows."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from react_ray.data.lines import FlawedLine
from react_ray.data.row import Broken

__all__ = ["Lines", "Quotes", "TooLongError"]

RECORD_CHARS, RECORD_LINES = 1 << 23, 100_000
"""A quote that is still open after so many characters or lines is a stray one."""
LONG_LINE, MAX_CELLS = 1 << 20, 1_000_000
"""The cells of longer lines are counted before parsing: each takes memory, however short it is."""
SAMPLE_LINES, SAMPLE_CHARS = 200, 10_000
ENOUGH_ROWS = 5


Looks = Literal["text", "rows", "either"]


class TooLongError(csv.Error):
    """A line is too long to parse; the message is the reason."""


class Lines:
    """Line iterator for the csv reader that can be rewound; ``taken`` holds the lines of the current record.

    An unclosed quote makes the reader consume the following rows. They can be given back, so that only the
    row with the quote is rejected. ``sample`` has the first records of one line.
    """

    def __init__(self, lines: Iterator[str]):
        self.taken: list[str] = []
        self.sample: list[str] = []
        self.flawed = False
        self.delimiter = ","
        self._lines = lines
        self._returned: deque[str] = deque()
        self._size = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._size > RECORD_CHARS:
            raise csv.Error(f"no end of a quote within {RECORD_CHARS:,} characters")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        self._size += len(line)
        if len(line) > LONG_LINE or type(line) is not str or len(self.taken) > RECORD_LINES:
            self._check(line)
        return line

    def _check(self, line: str) -> None:
        if len(self.taken) > RECORD_LINES:
            raise csv.Error(f"no end of a quote within {RECORD_LINES:,} lines")
        reason = line.reason if isinstance(line, FlawedLine) and line.too_long else ""
        if len(line) > LONG_LINE and line.count(self.delimiter) > MAX_CELLS:
            reason = f"too long: a row of more than {MAX_CELLS:,} cells"
        if reason and len(self.taken) > 1:
            raise csv.Error("no end of a quote before a line that is too long")
        if reason:
            raise TooLongError(reason)
        self.flawed = self.flawed or isinstance(line, FlawedLine)

    def forget(self) -> None:
        """Start the next record."""
        if len(self.sample) < SAMPLE_LINES and len(self.taken) == 1 and self._size < SAMPLE_CHARS:
            self.sample.append(self.taken[0])
        self.taken.clear()
        self._size = 0
        self.flawed = False

    def give_back(self, keep: int = 1) -> str:
        """Give the lines of the record after the first ``keep`` back to the reader; return the first line."""
        first = self.taken[0]
        self._returned.extendleft(reversed(self.taken[keep:]))
        self.taken.clear()
        return first.rstrip("\r\n")

    def ahead(self) -> list[str]:
        """Return some of the next lines without consuming them."""
        size = 0
        while len(self._returned) < SAMPLE_LINES and size < LONG_LINE:
            line = next(self._lines, None)
            if line is None:
                break
            self._returned.append(line)
            size += len(line)
        return [line for line in islice(self._returned, SAMPLE_LINES) if len(line) < SAMPLE_CHARS]


class Quotes:
    """Heuristic that tells multi-line texts in quotes from rows swallowed after a stray quote.

    The csv reader cannot tell them apart. After a stray quote each line has as many cells as the header,
    including the first and the last, and the cells beside the open one resemble those of other rows. In a
    text of several lines this is rare: "Dear Sir," is followed by nothing or by a space.
    """

    def __init__(self, lines: Lines, options: Mapping[str, Any], width: int):
        self._lines = lines
        self._options = options
        self._width = width
        self._doubtful, self._first_doubtful = 0, 0
        self._others: tuple[list[str], list[list[str]]] = [], []
        self._sampled = -1
        lines.delimiter = options["delimiter"]
        lines.sample.clear()

    def problem(self, number: int, complete: bool) -> Broken | None:
        """Return why a record of several lines is rejected, if it is, and give its swallowed rows back.

        ``complete`` is whether the record has as many cells as the header.
        """
        taken = self._lines.taken
        looks = self._looks(taken) if complete else self._most_are_rows(taken[1:])
        if looks == "rows":
            reason = f"broken quotes: a quote is open for {len(taken) - 1:,} more lines, which look like rows"
            return Broken(reason, self._lines.give_back())
        if looks == "either":
            self._first_doubtful = self._first_doubtful or number
            self._doubtful += 1
        return None

    def notes(self) -> list[str]:
        """Describe ambiguous cells."""
        if not self._doubtful:
            return []
        return [
            "quoted cells with line ends, each read as one text though it may be several rows: "
            f"{self._doubtful:,} (first: row {self._first_doubtful:,})"
        ]

    def _looks(self, lines: Sequence[str]) -> Looks:
        filled = [line for line in lines if line.strip()]
        if len(filled) < 2:
            return "text"
        first, *inner, last = filled
        closed = self._cells(first)
        column = len(closed) - 1  # of the open cell
        head = closed[:column] + closed[column].split(self._options["delimiter"])
        tail = self._cells(last)
        if len(head) != self._width or len(tail) != self._width:
            return "text"
        if column and self._goes_on(tail, column):
            return "text"
        rows = [cells for line in inner if len(cells := self._cells(line)) == self._width]
        if self._width == 1:
            return self._looks_alone() if len(rows) == len(inner) else "text"
        before, behind = range(column), range(column + 1, self._width)
        fitting = sum(self._fit(cells, [*before, *behind]) for cells in rows)
        if self._fit(head, behind) and self._fit(tail, before) and 2 * fitting >= len(inner):
            return "rows"
        return "either"

    def _looks_alone(self) -> Looks:
        """Decide for a file of one column by whether its writer quotes texts that contain quotes."""
        lines, _ = self._other_rows()
        if any('"' in line and not line.startswith('"') for line in lines):
            return "rows"
        return "text" if any(line.startswith('"') for line in lines) else "either"

    def _most_are_rows(self, lines: Sequence[str]) -> Looks:
        rows = sum(len(self._cells(line)) == self._width for line in lines)
        return "rows" if 2 * rows > len(lines) else "text"

    def _cells(self, line: str) -> list[str]:
        return next(csv.reader([line.rstrip("\r\n")], **self._options), [""])

    def _goes_on(self, cells: Sequence[str], column: int) -> bool:
        """Return whether a sentence goes on in a cell: it begins with a space, as in no other row."""
        _, rows = self._other_rows()
        return cells[column][:1].isspace() and not any(row[column][:1].isspace() for row in rows)

    def _fit(self, cells: Sequence[str], columns: Iterable[int]) -> bool:
        """Return whether the cells resemble those of other rows in these columns."""
        _, rows = self._other_rows()
        for column in columns:
            value, values = cells[column], {row[column] for row in rows}
            longest = 2 * max(map(len, values), default=len(value))
            if value not in values and not (value and value == value.strip() and len(value) <= longest):
                return False
        return True

    def _other_rows(self) -> tuple[list[str], list[list[str]]]:
        """Return single-line records as lines and cells: the first of the file, or the next ones."""
        if self._sampled != len(self._lines.sample) and len(self._others[1]) < ENOUGH_ROWS:
            self._sampled = len(self._lines.sample)
            lines = list(self._lines.sample)
            rows = [cells for line in lines if len(cells := self._cells(line)) == self._width]
            if len(rows) < ENOUGH_ROWS:
                for line, cells in _single_lines(self._lines.ahead(), self._options):
                    lines.append(line)
                    if len(cells) == self._width:
                        rows.append(cells)
            self._others = lines, rows
        return self._others


def _single_lines(lines: Sequence[str], options: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the single-line records among some lines, up to the first malformed one."""
    reader, start = csv.reader(lines, **options, strict=True), 0
    try:
        for cells in reader:
            if reader.line_num - start == 1 and cells:
                yield lines[start], cells
            start = reader.line_num
    except csv.Error:
        return
