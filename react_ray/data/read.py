"""Clean rows of one file: text, label and truth, with the refused rows beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from react_ray.config.settings import Columns
from react_ray.data.lines import BAD_ENCODING
from react_ray.data.records import Rows
from react_ray.data.row import Broken
from react_ray.data.sources import Source
from react_ray.tasks.label_names import label_name

__all__ = ["EMPTY", "SCHEMA", "SHOWN_CHARS", "Batch", "check_text", "printable", "read_file"]

SCHEMA = pa.schema(
    {"text": pa.string(), "label": pa.string(), "truth": pa.string(), "file": pa.string(), "row": pa.int64()}
)
BATCH_ROWS = 10_000
BATCH_CHARS = 1 << 24
EMPTY = "empty text"
SHOWN_CHARS = 200
"""How much of a refused text is kept, enough to find it again."""


@dataclass
class Batch:
    """Some rows of a file (see SCHEMA), the rows among them that were rejected, and notes on the file.

    A rejected row has file, row, reason ("kind: details"), text (its start) and label
    (None where it was not legible).
    """

    rows: pa.Table
    refused: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def read_file(
    source: Source, columns: Columns, *, labeled: bool = True, max_chars: int = 100_000
) -> Iterator[Batch]:
    """Read ``source`` a batch at a time; memory does not grow with the file.

    ``labeled=False`` leaves the label column alone: every row is unlabelled. The last batch has the
    notes. Raises InputError when the file as a whole cannot be used.
    """
    required = [columns.text, columns.label] if labeled else [columns.text]
    rows = Rows(source, required, [columns.truth] if columns.truth else [])
    pending = _Pending(source.path)
    for number, cells, _ in rows:
        if isinstance(cells, Broken):
            pending.refuse_broken(number, cells, labeled)
        else:
            label = cells[1] if labeled else None
            truth = cells[-1] if columns.truth else None
            pending.add(number, cells[0], label, truth, max_chars)
        if len(pending.texts) >= BATCH_ROWS or pending.chars >= BATCH_CHARS:
            yield pending.batch()
            pending = _Pending(source.path)
    yield pending.batch(rows.notes)


@dataclass
class _Pending:
    """Rows gathered for the next batch."""

    file: str
    texts: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    truths: list[str | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    chars: int = 0

    def add(self, number: int, text: Any, label: Any, truth: Any, max_chars: int) -> None:
        name = None
        try:
            name = label_name(label)  # known even where the truth is not legible
            true_name = label_name(truth)
            check_text(text, max_chars)
        except ValueError as error:
            self.refuse(number, str(error), text, name)
            return
        self.texts.append(text)
        self.labels.append(name)
        self.truths.append(true_name)
        self.numbers.append(number)
        self.chars += len(text)

    def refuse(self, number: int, reason: str, text: Any, label: str | None = None) -> None:
        shown = printable("" if text is None else str(text)[:SHOWN_CHARS])
        row = {"file": self.file, "row": number, "reason": printable(reason), "text": shown, "label": label}
        self.refused.append(row)
        self.chars += SHOWN_CHARS

    def refuse_broken(self, number: int, broken: Broken, labeled: bool) -> None:
        """With its label, where that is legible: a class may be lost with such rows."""
        text = broken.values[0] if broken.values else broken.text
        try:
            label = label_name(broken.values[1]) if labeled and len(broken.values) > 1 else None
        except ValueError:
            label = None
        self.refuse(number, broken.reason, text, label)

    def batch(self, notes: Sequence[str] = ()) -> Batch:
        files = [self.file] * len(self.texts)
        columns: list[list[Any]] = [self.texts, self.labels, self.truths, files, self.numbers]
        arrays = {f.name: pa.array(c, f.type) for f, c in zip(SCHEMA, columns, strict=True)}
        return Batch(pa.table(arrays, schema=SCHEMA), self.refused, list(notes))


def check_text(text: Any, max_chars: int) -> None:
    """Raise ValueError with the reason ("kind: details") where a cell is no text to learn or predict from."""
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
    """The text with escapes where it was not UTF-8, so that it can be written."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a surrogate pair
        return text.encode("utf-8", "backslashreplace").decode()
