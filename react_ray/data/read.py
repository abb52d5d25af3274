"""Clean rows of one file, parsed by the task, and the rejected rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any

import pyarrow as pa

from react_ray.config.settings import Columns
from react_ray.data.columns import TRUTH, FileColumns
from react_ray.data.lines import BAD_ENCODING
from react_ray.data.records import Rows
from react_ray.data.row import Broken
from react_ray.data.sources import Source
from react_ray.data.targets import Targets
from react_ray.tasks import Task
from react_ray.tasks.columns import NO_OPTIONS, Options

__all__ = ["EMPTY", "SHOWN_CHARS", "Batch", "check_text", "printable", "read_file", "row_schema"]

BATCH_ROWS = 10_000
BATCH_CHARS = 1 << 24
EMPTY = "empty text"
SHOWN_CHARS = 200
"""Characters of a rejected text that are kept, enough to find it in the file."""


def row_schema(task: Task) -> pa.Schema:
    """Return the schema of the rows of a file: the task's inputs and target, true target, file and row."""
    truth = task.target.with_name(TRUTH)
    return pa.schema([*task.inputs, task.target, truth, ("file", pa.string()), ("row", pa.int64())])


@dataclass
class Batch:
    """Accepted rows (see :func:`row_schema`) and rejected rows of a part of a file, and notes.

    A rejected row has file, row, reason ("kind: details"), text (its start) and names (the classes of its
    target; empty where it could not be parsed). Notes describe how the file was read.
    """

    rows: pa.Table
    refused: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def read_file(
    source: Source,
    columns: Columns,
    *,
    task: Task,
    options: Options = NO_OPTIONS,
    labeled: bool = True,
    max_chars: int = 100_000,
) -> Iterator[Batch]:
    """Read ``source`` a batch at a time; memory does not grow with the file.

    ``labeled=False`` ignores target columns: every row is unlabelled. ``options`` are completed from the
    first rows. The last batch has the notes. Raises InputError when the file as a whole cannot be used.
    """
    layout = FileColumns(task, columns, options, source, labeled)
    rows = Rows(source, layout.selection)
    records = iter(rows)
    sample = _first(records)
    notes = _detect(layout, sample)
    pending = _PendingBatch(source.path, layout, max_chars)
    for number, record in chain(sample, ((number, record) for number, record, _ in records)):
        pending.add(number, record)
        if len(pending.rows) >= BATCH_ROWS or pending.chars >= BATCH_CHARS:
            yield pending.batch()
            pending = _PendingBatch(source.path, layout, max_chars)
    yield pending.batch([*notes, *rows.notes])


def _first(records: Iterator[tuple[int, Any, Any]]) -> list[tuple[int, Any]]:
    """Return the first rows of a file, at most a batch."""
    sample: list[tuple[int, Any]] = []
    chars = 0
    while len(sample) < BATCH_ROWS and chars < BATCH_CHARS:
        record = next(records, None)
        if record is None:
            break
        sample.append(record[:2])
        chars += SHOWN_CHARS if isinstance(record[1], Broken) else _size(list(record[1].values()))
    return sample


def _detect(layout: FileColumns, sample: Sequence[tuple[int, Any]]) -> list[str]:
    """Complete the options of a file from its first rows, and describe what was detected."""
    before = layout.options
    cells = [_with_truth(layout, record) for _, record in sample if not isinstance(record, Broken)]
    layout.options = after = layout.task.detect(cells, before)
    changed = {f.name: getattr(after, f.name) for f in fields(after)}
    changed = {name: value for name, value in changed.items() if value != getattr(before, name)}
    return [f"read with {name} {value} (detected in its first rows)" for name, value in changed.items()]


def _with_truth(layout: FileColumns, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the cells of a row, with the true target (which has the same format) in place of the target."""
    cells, truth = layout.cells(record), layout.truth(record)
    return cells if truth is None else layout.with_truth(cells, truth)[0]


@dataclass
class _PendingBatch:
    """Builder of the next batch."""

    file: str
    layout: FileColumns
    max_chars: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    chars: int = 0

    def __post_init__(self) -> None:
        self._targets = Targets(self.layout.task)

    def add(self, number: int, record: Mapping[str, Any] | Broken) -> None:
        """Parse and check a row of the file; a rejected row keeps its classes for later warnings."""
        broken, readable = (record, record.cells) if isinstance(record, Broken) else (None, record)
        if broken and not readable:
            self._reject(number, broken.reason, broken.text, ())
            return
        cells = self.layout.cells(readable)
        names: Sequence[str] = ()
        try:
            row, names = self._parse(cells)
            if broken:
                raise ValueError(broken.reason)
            row = self._add_truth(row, cells, self.layout.truth(readable))
            self._check(row)
        except ValueError as error:
            reason = broken.reason if broken else str(error)
            if not broken and not self.layout.labeled and self.layout.lacks_text(cells):
                reason = reason if reason.startswith(EMPTY) else f"{EMPTY}: {reason}"
            self._reject(number, reason, self.layout.text(cells), names)
            return
        self.rows.append(row | {"file": self.file, "row": number})
        self.chars += sum(_size(row[field.name]) for field in self.layout.task.inputs)

    def _parse(self, cells: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the row as parsed by the task, and the classes of its target."""
        task = self.layout.task
        row = dict(task.parse(cells, self.layout.options))
        target = row[task.target.name]
        return row, [] if target is None else list(dict.fromkeys(task.names_in(target)))

    def _add_truth(self, row: dict[str, Any], cells: Mapping[str, Any], truth: Any) -> dict[str, Any]:
        """Return the row with its true target.

        An unlabelled row is parsed together with it, because spans may split words.
        """
        name = self.layout.task.target.name
        if truth is None:
            return row | {TRUTH: None}
        true_row = dict(self.layout.task.parse(*self.layout.with_truth(cells, truth)))
        return (true_row if row[name] is None else row) | {name: row[name], TRUTH: true_row[name]}

    def _check(self, row: Mapping[str, Any]) -> None:
        """Raise ValueError where a text cannot be used or a target cannot be encoded."""
        task = self.layout.task
        for name in task.texts:
            check_text(row[name], self.max_chars)
        try:
            for target in (row[task.target.name], row[TRUTH]):
                (self._targets.key(target) or "").encode()
        except UnicodeEncodeError:
            raise ValueError(BAD_ENCODING) from None

    def _reject(self, number: int, reason: str, text: str, names: Sequence[str]) -> None:
        shown = printable(text[:SHOWN_CHARS])
        row = {"file": self.file, "row": number, "reason": printable(reason), "text": shown}
        self.refused.append(row | {"names": list(names)})
        self.chars += SHOWN_CHARS

    def batch(self, notes: Sequence[str] = ()) -> Batch:
        schema = row_schema(self.layout.task)
        arrays = {
            field.name: pa.array([row[field.name] for row in self.rows], field.type) for field in schema
        }
        return Batch(pa.table(arrays, schema=schema), self.refused, list(notes))


def _size(value: Any) -> int:
    """Estimate the size of a value, in characters."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 8


def check_text(text: Any, max_chars: int) -> None:
    """Raise ValueError with the reason ("kind: details") if a cell is not a usable text."""
    if text is None:
        raise ValueError(EMPTY)
    if not isinstance(text, str):
        raise ValueError(f"not text: {type(text).__name__} where text is expected")
    if len(text) > max_chars:
        raise ValueError(f"too long: {len(text):,} characters, at most {max_chars:,} (data.max_chars)")
    if not text.strip():
        raise ValueError(EMPTY)
    if "\0" in text:
        raise ValueError("null bytes: the text holds characters with code 0")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(BAD_ENCODING) from None


def printable(text: str) -> str:
    """Escape bytes that were not UTF-8, so that the text can be written."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a surrogate pair
        return text.encode("utf-8", "backslashreplace").decode()
