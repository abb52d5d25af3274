"""Reader of jsonl files: a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from react_ray.data.lines import FlawedLine, read_lines
from react_ray.data.published import with_task_names
from react_ray.data.row import Broken, ColumnSelection, Record
from react_ray.data.sources import Source

__all__ = ["JsonRows", "parse_object"]

LONG_LINE, MAX_VALUES = 1 << 20, 1_000_000
"""The values of a line of so many characters are counted first: each takes memory, however short it is."""
SHOWN_KEYS = 21


class JsonRows:
    """Iterator over the rows of a jsonl file; the original row is the text of its line.

    The number of a row is that of its line. A column exists if at least one line has it.
    """

    def __init__(self, source: Source, selection: ColumnSelection):
        self.source = source
        self.notes: list[str] = []
        self._selection = selection

    def __iter__(self) -> Iterator[Record]:
        names, keys, rows = self._selection.names, dict[str, None](), 0
        missing = set(names)
        for number, line in self._objects():
            record = parse_object(line)
            if isinstance(record, Broken):
                yield number, record, None
                continue
            readable = not isinstance(line, FlawedLine)
            rows += readable
            cells = with_task_names(record, names)
            if isinstance(cells, Broken):
                missing -= cells.cells.keys()
                yield number, cells, line
                continue
            if missing and readable:
                missing -= cells.keys()
                if len(keys) < SHOWN_KEYS:
                    keys.update(dict.fromkeys(list(cells)[:SHOWN_KEYS]))
            values = {name: cells[name] for name in names if name in cells}
            flaw = Broken(line.reason, line.strip(), values) if isinstance(line, FlawedLine) else None
            yield number, flaw or values, line
        if rows and missing:
            present = [name for name in names if name not in missing]
            self._selection.require(list(dict.fromkeys([*present, *keys])), self.source)

    def _objects(self) -> Iterator[tuple[int, str]]:
        """Yield number and text of each object."""
        for number, line in enumerate(read_lines(self.source.open_unpacked()), start=1):
            if not line.isspace():
                yield number, line


def parse_object(line: str) -> dict[str, Any] | Broken:
    """Return the members of a JSON object, or why its text is invalid."""
    if isinstance(line, FlawedLine) and line.too_long:
        return Broken(line.reason, line.strip())
    if len(line) > LONG_LINE and sum(map(line.count, ",[{")) > MAX_VALUES:
        return Broken(f"too long: a row of more than {MAX_VALUES:,} values", line[:LONG_LINE])
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Broken(f"not JSON: {error}", line.strip())
    if not isinstance(record, dict):
        return Broken("not a JSON object: expected columns as keys, {...}", line.strip())
    return record
