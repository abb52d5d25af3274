"""Questions and answers from files: checked, and bad rows written aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from react_ray import InputError, read_rows
from react_ray.apps.files import RejectedRows

__all__ = ["LEARNT", "Entry", "learnt_rows", "learnt_source", "read_history", "read_learnt"]

MAX_CHARS = 100_000
LEARNT = "learnt.jsonl"


@dataclass(frozen=True)
class Entry:
    """Something to find: a question with its answer, or a passage without a question.

    Attributes
    ----------
    question, answer
        "" where there is none: a question without an answer is an example of its intent.
    intent
        Name of the intent; None where it is not known.
    source
        Where it is from, shown with the answer.
    title
        Headings above a passage.
    """

    question: str
    answer: str
    intent: str | None
    source: str
    title: str = ""


def read_history(address: str, columns: Mapping[str, str]) -> tuple[list[Entry], RejectedRows]:
    """Read rows with the columns question and, where there, answer and intent.

    A row needs a question or an answer. Of equal rows the first is kept. Raises InputError if none remains.
    """
    rejected = RejectedRows()
    entries: dict[tuple[str, str, str | None], Entry] = {}
    for row in read_rows(address, ["question"], ["answer", "intent"], columns):
        try:
            if row.reason:
                raise ValueError(row.reason)
            question, answer, intent = (
                _text(row.cells.get(name), name) for name in ("question", "answer", "intent")
            )
            if not (question or answer):
                raise ValueError("blank: neither a question nor an answer")
            key = (question, answer, intent or None)
            if key in entries:
                raise ValueError("duplicate: an earlier row has the same cells")
        except ValueError as error:
            rejected.add(row.file, row.number, str(error))
            continue
        entries[key] = Entry(question, answer, intent or None, f"{row.file.rpartition('/')[2]}:{row.number}")
    if not entries:
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in rejected.kinds.items())
        raise InputError(f"{address}: no row can be used ({kinds or 'the file has none'})")
    return list(entries.values()), rejected


def read_learnt(folder: Path) -> list[Entry]:
    """Return what was learnt from conversations, if anything was."""
    return [
        Entry(row["question"], row["answer"] or "", row["intent"], learnt_source(row["session"]))
        for row in learnt_rows(folder)
    ]


def learnt_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of learnt.jsonl: session, question, answer and intent."""
    path = folder / LEARNT
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:  # str.splitlines would also split at U+2028 in a text
        return [json.loads(line) for line in file]


def learnt_source(session: str) -> str:
    """Return the source of entries that a conversation taught."""
    return f"conversation {hashlib.sha256(session.encode()).hexdigest()[:16]}"


def _text(value: Any, column: str) -> str:
    """Return a cell as text without outer white space. Raises ValueError for other types and long texts."""
    if value is None or value != value:  # NaN is how pandas writes a missing cell
        return ""
    if isinstance(value, int | float) and column == "intent":
        value = str(int(value)) if float(value).is_integer() else str(value)
    if not isinstance(value, str):
        raise ValueError(f"not text: {type(value).__name__} in the column {column}")
    if len(value) > MAX_CHARS:
        raise ValueError(f"too long: {column} has {len(value):,} characters, at most {MAX_CHARS:,}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not text: half a character (a lone surrogate) in the column {column}") from None
    return value.replace("\0", " ").strip()
