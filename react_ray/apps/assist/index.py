"""Index of questions, answers and passages: embeddings, and full text in SQLite.

Embeddings are compared with a matrix product, which is exact; words with BM25 of SQLite's FTS5. Both are
files.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.read import Entry
from react_ray.apps.assist.words import query_of, words
from react_ray.folders import replace_file

__all__ = ["EMBEDDINGS", "FEATURES", "SIDES", "Candidates", "Index", "erase", "text_of", "write_index"]

SIDES = ("question", "answer")
FEATURES = ("question_cosine", "question_bm25", "answer_cosine", "answer_bm25", "intent")
TEXTS, EMBEDDINGS = "index.sqlite", "embeddings.safetensors"
FROM_EACH = 100
"""Candidates from each of the four rankings: words and embeddings of questions and of answers."""
TABLES = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, question TEXT, answer TEXT, intent TEXT, source TEXT, title TEXT
);
CREATE VIRTUAL TABLE question USING fts5(words, tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE answer USING fts5(words, tokenize = 'porter unicode61');
"""

Embeddings = dict[str, NDArray[np.float32]]
"""Embeddings of each side, entries x d: zeros where an entry has no text on that side."""


@dataclass(frozen=True)
class Candidates:
    """Entries that may answer a question, by number, and their features, n x FEATURES."""

    numbers: NDArray[np.int64]
    features: NDArray[np.float64]


def write_index(entries: Sequence[Entry], folder: Path) -> None:
    """Write the texts of ``entries`` and their full-text index; an earlier one is replaced."""
    path = folder / TEXTS
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    with connection:
        connection.executescript(TABLES)
        connection.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)",
            ((i, e.question, e.answer, e.intent, e.source, e.title) for i, e in enumerate(entries)),
        )
        for side in SIDES:
            rows = ((i, " ".join(words(text_of(entry, side)))) for i, entry in enumerate(entries))
            connection.executemany(f"INSERT INTO {side} (rowid, words) VALUES (?, ?)", rows)
        for side in SIDES:
            connection.execute(f"INSERT INTO {side} ({side}) VALUES ('optimize')")
    connection.close()


def text_of(entry: Entry, side: str) -> str:
    """Return the text of a side: a passage is searched with its headings."""
    if side == "question":
        return entry.question
    return f"{entry.title}\n{entry.answer}" if entry.title else entry.answer


def erase(folder: Path, source: str) -> int:
    """Erase the texts of the entries of a source, overwriting them on disk; return how many there were.

    The entries stay, blank, so that the numbers of others do not change; their embeddings become zeros.
    """
    from safetensors.numpy import load_file, save_file

    connection = sqlite3.connect(folder / TEXTS)
    numbers = [row[0] for row in connection.execute("SELECT number FROM entries WHERE source = ?", (source,))]
    connection.close()
    if numbers:
        embeddings = load_file(folder / EMBEDDINGS)
        for side in SIDES:
            embeddings[side][numbers] = 0
        replace_file(folder / EMBEDDINGS, lambda path: save_file(embeddings, path))
        replace_file(folder / TEXTS, lambda path: _copy_without(folder / TEXTS, path, numbers))
    return len(numbers)


def _copy_without(source: Path, target: Path, numbers: Sequence[int]) -> None:
    """Copy the texts but for some entries: a running service reads the file, so it is not changed."""
    shutil.copyfile(source, target)
    connection = sqlite3.connect(target)
    connection.execute("PRAGMA secure_delete=ON")
    blank = "UPDATE entries SET question = '', answer = '', intent = NULL, source = '' WHERE number = ?"
    with connection:
        connection.executemany(blank, [(number,) for number in numbers])
        for side in SIDES:
            connection.executemany(f"DELETE FROM {side} WHERE rowid = ?", [(number,) for number in numbers])
            connection.execute(f"INSERT INTO {side} ({side}) VALUES ('optimize')")
    connection.execute("VACUUM")
    connection.close()


class Index:
    """Search in the index in ``folder``; thread-safe. The file stays open: a new one may replace it.

    Parameters
    ----------
    folder
        Where :func:`write_index` wrote.
    embeddings
        Embeddings of both sides.
    """

    def __init__(self, folder: Path, embeddings: Embeddings):
        self._embeddings, self._lock = embeddings, threading.Lock()
        address = f"{(folder / TEXTS).resolve().as_uri()}?mode=ro&immutable=1"
        self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        rows = self._ask("SELECT question <> '', answer <> '' FROM entries ORDER BY number")
        self.has_question = np.array([row[0] for row in rows], bool)
        self.has_answer = np.array([row[1] for row in rows], bool)

    def __len__(self) -> int:
        return len(self.has_answer)

    def entry(self, number: int) -> Entry:
        """Return an entry by number."""
        return self.entries([number])[0]

    def entries(self, numbers: Sequence[int] | None = None) -> list[Entry]:
        """Return entries by number, or all of them."""
        columns = "question, answer, intent, source, title"
        if numbers is None:
            return [Entry(*row) for row in self._ask(f"SELECT {columns} FROM entries ORDER BY number")]
        return [
            Entry(*self._ask(f"SELECT {columns} FROM entries WHERE number = ?", (int(number),))[0])
            for number in numbers
        ]

    def cosines(self, vector: NDArray[np.float32], side: str) -> NDArray[np.float32]:
        """Return the cosine of a query to each entry."""
        cosines: NDArray[np.float32] = self._embeddings[side] @ vector
        return cosines

    def search(
        self,
        text: str,
        vector: NDArray[np.float32],
        without: Collection[int] = (),
        unanswered: bool = False,
    ) -> Candidates:
        """Return the entries with an answer that are near a question in words or meaning.

        Parameters
        ----------
        text, vector
            The question and its embedding, d.
        without
            Entries that are not searched.
        unanswered
            Whether entries without an answer are searched as well.
        """
        allowed = np.ones(len(self), bool) if unanswered else self.has_answer.copy()
        allowed[list(without)] = False
        usable = int(allowed.sum())
        query = query_of(text)
        length = max(1, query.count(" OR ") + 1)
        scores = np.zeros((len(self), len(FEATURES)))
        chosen: list[NDArray[np.int64]] = []
        for place, side in enumerate(SIDES):
            cosines = self.cosines(vector, side)
            scores[:, 2 * place] = cosines
            chosen.append(_largest(np.where(allowed, cosines, -2), min(FROM_EACH, usable)))
            numbers, bm25 = self._bm25(query, side, FROM_EACH + len(without))
            scores[numbers, 2 * place + 1] = bm25 / length
            chosen.append(numbers[allowed[numbers]])
        together = np.unique(np.concatenate(chosen))
        return Candidates(together, scores[together])

    def _bm25(self, query: str, side: str, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if not query:
            return np.zeros(0, np.int64), np.zeros(0)
        statement = f"SELECT rowid, -rank FROM {side} WHERE {side} MATCH ? ORDER BY rank LIMIT ?"
        rows = self._ask(statement, (query, most))
        return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], float)

    def _ask(self, statement: str, values: Sequence[object] = ()) -> list[tuple]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    if not count:
        return np.zeros(0, np.int64)
    return np.argpartition(-values, count - 1)[:count].astype(np.int64)
