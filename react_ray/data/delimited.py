"""Reader of csv and tsv files: detection of separator and quotes, and rejection of broken rows."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from typing import Any

from react_ray.data.lines import BAD_ENCODING, read_lines
from react_ray.data.quotes import Lines, Quotes, TooLongError
from react_ray.data.row import Broken, ColumnSelection, Record
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["DelimitedRows"]

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
EXCEL_LINE = re.compile(r'"?sep=([^\w\s"]|\t)\1*"?\s*', re.IGNORECASE)
"""A first line that tells Excel the separator."""
MAX_COLUMNS = 100_000


class DelimitedRows:
    """Iterator over the rows of a csv or tsv file; the original row is the list of its cells, as strings.

    The separator is the first one with which the header has the required columns: that of a line ``sep=;``,
    then that of the file extension, then the others. In files separated by tabs a quote is a
    character, unless every name in the header is in quotes.
    """

    def __init__(self, source: Source, selection: ColumnSelection):
        csv.field_size_limit(sys.maxsize)
        self.source = source
        self.notes: list[str] = []
        self.columns: list[str] = []
        self._lines = Lines(read_lines(source.open_unpacked()))
        try:
            first = self._first_line()
        except TooLongError as error:
            raise InputError(f"{source.path}: the first line is no header: {error}") from None
        if not first:
            return
        self._delimiter, self._quoted = self._dialect(first, selection)
        self._reader = csv.reader(self._lines, **self._options, strict=True)
        self.columns = self._header()
        if any("\n" in name for name in self.columns) and not selection.fits(self.columns):
            raise InputError(f"{source.path}: the header has broken quotes: a name goes over several lines")
        selection.require(self.columns, source)
        self._places = [(name, self.columns.index(name)) for name in selection.names if name in self.columns]
        named = [place for place, name in enumerate(self.columns, start=1) if name]
        self._least = max(named, default=0)  # cells of a row: columns after it have no name

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "delimiter": self._delimiter,
            "quoting": csv.QUOTE_MINIMAL if self._quoted else csv.QUOTE_NONE,
        }

    def _first_line(self) -> str:
        """Return the header line without consuming it; a ``sep=`` line before it is consumed."""
        self._declared = ""
        for line in self._lines:
            match = EXCEL_LINE.fullmatch(line)
            if match and not self._declared:
                self._declared = match[1]
            elif line.strip():
                self._lines.give_back(0)
                return line
            self._lines.forget()
        return ""

    def _dialect(self, first: str, selection: ColumnSelection) -> tuple[str, bool]:
        """Detect the separator, and whether quotes enclose cells."""
        default = "\t" if self.source.is_tsv else ","
        order = list(dict.fromkeys([*self._declared, default, *SEPARATORS]))
        columns = max(map(first.count, order)) + 1
        if columns > MAX_COLUMNS:
            raise InputError(
                f"{self.source.path}: the header has {columns:,} columns, at most {MAX_COLUMNS:,} are read; "
                "keep those that are needed"
            )
        headers = {mark: _split(first, mark) for mark in order}
        fits = [mark for mark in order if selection.fits(headers[mark])]
        most = max(order, key=lambda mark: len(headers[mark]))
        chosen = self._declared or next(iter(fits), most)
        if chosen != default:
            self.notes.append(f"separated by {SEPARATORS.get(chosen, repr(chosen))}")
        names = [name.strip() for name in first.strip("\r\n").split(chosen)]
        in_quotes = all(len(name) > 1 and name[0] == name[-1] == '"' for name in names if name)
        return chosen, chosen != "\t" or in_quotes

    def _header(self) -> list[str]:
        try:
            header = [name.strip() for name in next((row for row in self._reader if row), [])]
            "".join(header).encode()
        except csv.Error as error:
            raise InputError(f"{self.source.path}: the header has broken quotes ({error})") from None
        except UnicodeEncodeError:
            raise InputError(
                f"{self.source.path}: the header is not UTF-8; convert the file to UTF-8"
            ) from None
        return header

    def __iter__(self) -> Iterator[Record]:
        if not self.columns:
            return
        quotes = Quotes(self._lines, self._options, len(self.columns))
        lines, width, places = self._lines, len(self.columns), self._places
        number = 0
        while True:
            lines.forget()
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                number += 1
                reason = str(error) if isinstance(error, TooLongError) else f"broken quotes: {error}"
                yield number, Broken(reason, lines.give_back()), None
                continue
            if cells is None:
                break
            if not cells:
                continue
            number += 1
            if len(cells) != width:
                cells = self._fitted(cells)
            if len(lines.taken) > 1 and (broken := quotes.problem(number, len(cells) == width)):
                yield number, broken, None
            elif len(cells) != width:
                yield number, self._wrong_number(cells), None
            else:
                values = {name: cells[place] for name, place in places}
                flaw = Broken(BAD_ENCODING, self._text(cells), values) if lines.flawed else None
                yield number, flaw or values, cells
        self.notes += quotes.notes()

    def _fitted(self, cells: list[str]) -> list[str]:
        """Pad or trim a row to the width of the header, where only empty cells differ."""
        width = len(self.columns)
        if len(cells) > width and not any(cells[width:]):
            return cells[:width]
        if self._least <= len(cells) < width:
            return cells + [""] * (width - len(cells))
        return cells

    def _wrong_number(self, cells: list[str]) -> Broken:
        reason = f"wrong number of fields: {len(cells)} under {len(self.columns)} columns"
        return Broken(reason, self._text(cells))

    def _text(self, cells: list[str]) -> str:
        return self._delimiter.join(cells[:1000])


def _split(line: str, delimiter: str) -> list[str]:
    """Split a header into names."""
    cells = next(csv.reader([line], delimiter=delimiter), [])
    return [cell.strip() for cell in cells]
