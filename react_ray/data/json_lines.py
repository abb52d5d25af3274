"""Rows of jsonl files: a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from react_ray.data.lines import FlawedLine, read_lines
from react_ray.data.row import Broken, Record, require
from react_ray.data.sources import Source

__all__ = ["JsonRows"]

LONG_LINE, MAX_VALUES = 1 << 20, 1_000_000
"""The values of a line of so many characters are counted first: each takes memory, however short it is."""
SHOWN_KEYS = 21


class JsonRows:
    """The rows of a jsonl file; the whole of a row is the text of its line.

    The number of a row is that of its line. A column counts as there when one line has it.
    """

    def __init__(self, source: Source, required: Sequence[str], optional: Sequence[str] = ()):
        self.source = source
        self.notes: list[str] = []
        self._required = required
        self._wanted = (*required, *optional)

    def __iter__(self) -> Iterator[Record]:
        missing, keys, rows = set(self._required), dict[str, None](), 0
        for number, line in enumerate(read_lines(self.source.open_unpacked()), start=1):
            if line.isspace():
                continue
            cells = _parse(line)
            if isinstance(cells, Broken):
                yield number, cells, None
                continue
            rows += 1
            if missing:
                missing -= cells.keys()
                if len(keys) < SHOWN_KEYS:
                    keys.update(dict.fromkeys(list(cells)[:SHOWN_KEYS]))
            values = [cells.get(name) for name in self._wanted]
            flaw = Broken(line.reason, line.strip(), values) if isinstance(line, FlawedLine) else None
            yield number, flaw or values, line
        if rows and missing:
            found = [name for name in self._required if name not in missing]
            require(self._required, list(dict.fromkeys([*found, *keys])), self.source)


def _parse(line: str) -> dict[str, Any] | Broken:
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
