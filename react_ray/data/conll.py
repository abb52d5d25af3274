"""Reader of CoNLL files: a token and its tag on each line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from react_ray.data.lines import LINE_BYTES, FlawedLine, read_lines
from react_ray.data.row import Broken, ColumnSelection, Record
from react_ray.data.sources import Source

__all__ = ["ConllRows", "Sentence"]

DETECT_LINES = 10_000
"""Number of first lines from which a column of numbers is detected."""
MAX_TOKENS = 1_000_000
"""Maximum tokens of a sentence: each takes memory, however short it is."""
SPACES = re.compile(r"[ \t]+")
TAG = re.compile(r"O|[A-Z]-\S+")
START = "-DOCSTART-"
COLUMNS = ("tokens", "tags")


class Sentence(NamedTuple):
    """A sentence; ``tags`` is None where the file has only one column."""

    tokens: list[str]
    tags: list[str] | None


@dataclass
class _PendingSentence:
    """Lines of the current sentence; ``number`` is the line number of the first."""

    number: int = 0
    lines: list[list[str]] = field(default_factory=list)
    size: int = 0
    broken: Broken | None = None

    def add(self, number: int, fields: list[str], line: str) -> None:
        self.number = self.number or number
        self.size += len(line)
        if isinstance(line, FlawedLine):
            self._reject(f"{line.reason}, in line {number}", line)
        elif len(self.lines) >= MAX_TOKENS or self.size > LINE_BYTES:
            self._reject(
                f"too long: a sentence of more than {MAX_TOKENS:,} tokens or {LINE_BYTES:,} characters", ""
            )
            self.lines = self.lines[:20]
        elif self.lines and len(fields) != len(self.lines[0]):
            counts = f"{len(fields)} in line {number} and {len(self.lines[0])} before"
            self._reject(f"wrong number of fields: {counts}", line)
        elif not all(fields):
            self._reject(f"empty token: line {number} has a blank token or tag; delete the line", line)
        if self.broken is None:
            self.lines.append(fields)

    def _reject(self, reason: str, line: str) -> None:
        text = " ".join([*(fields[0] for fields in self.lines[:20]), line.strip()])
        self.broken = self.broken or Broken(reason, text)

    def record(self) -> Record:
        if self.broken:
            return self.number, self.broken, None
        tokens, width = [fields[0] for fields in self.lines], len(self.lines[0])
        sentence = Sentence(tokens, [fields[-1] for fields in self.lines] if width > 1 else None)
        cells = {"tokens": sentence.tokens} | ({"tags": sentence.tags} if width > 1 else {})
        return self.number, cells, sentence


class ConllRows:
    """Iterator over the sentences of a CoNLL file, in columns ``tokens`` and ``tags``.

    Fields are separated by tabs or spaces; the first is the token, the last the tag. A column before that
    counts the tokens of a sentence is skipped. The number of a row is
    the line of its first token. Lines of ``-DOCSTART-`` and comments (``# ``) are skipped. A sentence with a
    malformed line is rejected as :class:`Broken`; reading continues with the next. The original row is a
    :class:`Sentence`.
    """

    def __init__(self, source: Source, selection: ColumnSelection):
        self.source = source
        self.notes: list[str] = []
        self._numbered = False
        self._numbered = self._has_numbers()
        if self._numbered:
            self.notes.append("the first column numbers the tokens and was skipped")
        lines = ((fields, line) for _, fields, line in self._lines() if fields)
        first = next((fields for fields, line in lines if not isinstance(line, FlawedLine)), [])
        self.columns = list(COLUMNS[: len(first)])
        if first:
            selection.require(self.columns, source)

    def __iter__(self) -> Iterator[Record]:
        pending = _PendingSentence()
        for number, fields, line in self._lines():
            if fields:
                pending.add(number, fields, line)
            elif pending.number:
                yield pending.record()
                pending = _PendingSentence()
        if pending.number:
            yield pending.record()

    def _has_numbers(self) -> bool:
        """Return whether the first column counts from 1 in each of the first sentences."""
        sentences: list[list[list[str]]] = [[]]
        for _, fields, _ in islice(self._lines(), DETECT_LINES):
            if fields:
                sentences[-1].append(fields)
            elif sentences[-1]:
                sentences.append([])
        full = [lines for lines in sentences if lines]
        counted = all(
            len(fields) > 2 and fields[0] == str(place)
            for lines in full
            for place, fields in enumerate(lines, start=1)
        )
        return counted and any(len(lines) > 1 for lines in full)

    def _lines(self) -> Iterator[tuple[int, list[str], str]]:
        """Yield number, fields and text of each line; no fields at the end of a sentence."""
        for number, line in enumerate(read_lines(self.source.open_unpacked()), start=1):
            bare = line.strip(" \t\r\n")
            fields = bare.split("\t") if "\t" in bare else SPACES.split(bare) if bare else []
            if "\t" in line and len(fields) == 1 and line.strip(" ").startswith("\t"):
                fields = ["", *fields]
            if isinstance(line, FlawedLine):
                yield number, fields or [""], line
            elif line.startswith("# ") and not (len(fields) > 1 and TAG.fullmatch(fields[-1])):
                continue
            else:
                fields = [] if fields[:1] == [START] else [cell.strip() for cell in fields]
                yield number, fields[1:] if self._numbered else fields, line
