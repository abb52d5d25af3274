"""Journal of the stream in SQLite: items, offsets, ids and alerts change in one transaction.

New items go into the journal and are acknowledged when they are on the disk. The process that holds the
lock of the owner labels them, and moves them into parquet files by day (see ``days``). Every step
is one transaction, so that a step which is cut off is simply done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from react_ray import InputError
from react_ray.apps.monitor.items import Item
from react_ray.folders import make_private_file, make_private_folder, open_private

__all__ = ["JOURNAL", "Labelled", "Place", "Rejection", "Store", "StoreOwnedError", "owner_of"]

JOURNAL, LOCK = "journal.sqlite3", "owner.lock"
KEPT_REJECTIONS = 10_000
BUSY_S = 30.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (hash BLOB PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, time REAL NOT NULL,
    source TEXT NOT NULL, late INTEGER NOT NULL,
    sentiment TEXT, score REAL, topic TEXT, topic_score REAL
);
CREATE INDEX IF NOT EXISTS unlabelled ON items (seq) WHERE sentiment IS NULL;
CREATE TABLE IF NOT EXISTS offsets (
    file TEXT PRIMARY KEY, position INTEGER NOT NULL, rows INTEGER NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected (file TEXT NOT NULL, row INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rejections (file TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS days (
    day TEXT PRIMARY KEY, file TEXT NOT NULL, rows INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS closed (
    bucket INTEGER NOT NULL, topic TEXT NOT NULL, source TEXT NOT NULL,
    total INTEGER NOT NULL, negative INTEGER NOT NULL, unsure INTEGER NOT NULL,
    PRIMARY KEY (bucket, topic, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts (
    id TEXT PRIMARY KEY, bucket INTEGER NOT NULL,
    kind TEXT NOT NULL, topic TEXT NOT NULL, source TEXT NOT NULL,
    content TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""


class StoreOwnedError(InputError):
    """Another process works on the store."""


@dataclass(frozen=True)
class Place:
    """How far a file was read: bytes and rows, and its state (inode, or size and time)."""

    file: str
    position: int = 0
    rows: int = 0
    state: str = ""


@dataclass(frozen=True)
class Rejection:
    """A row that cannot be used, with the reason."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class Labelled:
    """Labels of the item ``seq``; ``topic`` is empty without a classifier of topics."""

    seq: int
    sentiment: str
    score: float
    topic: str = ""
    topic_score: float = 1.0


class Store:
    """The journal of a folder; safe for threads, and for several processes on one machine."""

    def __init__(self, folder: Path):
        self.folder = folder
        make_private_folder(folder)
        path = folder / JOURNAL
        if not path.exists():
            make_private_file(path)
        self._lock = threading.RLock()
        self._open = False
        self._base = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._base.row_factory = sqlite3.Row
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._base.execute(f"PRAGMA {pragma}")
            self._base.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} cannot be used ({error}): give another folder with --store") from None

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            self._base.close()

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Context manager: all changes in the block reach the disk together, or none of them does.

        The kind DEFERRED is for reading: it sees one state, and no writer waits for it.
        """
        with self._lock:
            if self._open:  # part of the transaction around it
                yield self._base
                return
            self._base.execute(f"BEGIN {kind}")
            self._open = True
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
            finally:
                self._open = False

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value by its key."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", [key])
        return json.loads(rows[0]["value"]) if rows else default

    def put(self, key: str, value: Any) -> None:
        """Keep a value by its key."""
        with self.transaction() as base:
            text = json.dumps(value, ensure_ascii=False)
            base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, text])

    def append(
        self,
        items: Sequence[Item],
        rejections: Sequence[Rejection] = (),
        places: Sequence[Place] = (),
        again: Sequence[str] = (),
    ) -> int:
        """Append the items whose ids are new, with how far the input was read; return their number.

        The rejections of files that are read ``again`` replace earlier ones.
        """
        added = 0
        with self.transaction() as base:
            closed, latest = self.get("closing_until", 0), self.get("latest", 0)
            for item in items:
                hashed = [hash_of(item.id), item.time]
                if not base.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", hashed).rowcount:
                    continue
                base.execute(
                    "INSERT INTO items (id, text, time, source, late) VALUES (?, ?, ?, ?, ?)",
                    [item.id, item.text, item.time, item.source, item.time < closed],
                )
                added += 1
                latest = max(latest, item.time)
            self.put("latest", latest)
            for table in ("rejected", "rejections"):
                base.executemany(f"DELETE FROM {table} WHERE file = ?", [[file] for file in again])
            _reject(base, rejections)
            values = [(place.file, place.position, place.rows, place.state) for place in places]
            base.executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", values)
        return added

    def rejected(self) -> int:
        """Return the number of rows that were rejected."""
        return int(self.rows("SELECT ifnull(sum(rows), 0) FROM rejections")[0][0])

    def place_of(self, file: str) -> Place:
        """Return how far a file was read; a new Place if it was not."""
        rows = self.rows("SELECT * FROM offsets WHERE file = ?", [file])
        return Place(**dict(rows[0])) if rows else Place(file)

    def unlabelled(self, limit: int) -> list[sqlite3.Row]:
        """Return seq and text of items without a label, oldest first."""
        return self.rows("SELECT seq, text FROM items WHERE sentiment IS NULL ORDER BY seq LIMIT ?", [limit])

    def label(self, labels: Sequence[Labelled]) -> None:
        """Keep labels; those of items that are gone are ignored."""
        with self.transaction() as base:
            base.executemany(
                "UPDATE items SET sentiment = ?, score = ?, topic = ?, topic_score = ? WHERE seq = ?",
                [
                    (label.sentiment, label.score, label.topic, label.topic_score, label.seq)
                    for label in labels
                ],
            )

    def forget_pages(self) -> None:
        """Remove deleted rows from the write-ahead log too."""
        with self._lock:
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _reject(base: sqlite3.Connection, rejections: Sequence[Rejection]) -> None:
    """Count rejections by file, and keep the first of them with their reasons."""
    if not rejections:
        return
    kept = base.execute("SELECT count(*) FROM rejected").fetchone()[0]
    recorded = rejections[: max(0, KEPT_REJECTIONS - kept)]
    values = [(rejection.file, rejection.row, rejection.reason) for rejection in recorded]
    base.executemany("INSERT INTO rejected VALUES (?, ?, ?)", values)
    counts = Counter(rejection.file for rejection in rejections)
    added = "ON CONFLICT (file) DO UPDATE SET rows = rows + excluded.rows"
    base.executemany(f"INSERT INTO rejections VALUES (?, ?) {added}", list(counts.items()))


def hash_of(identity: str) -> bytes:
    """Return the hash that an id is remembered by."""
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()


@contextmanager
def owner_of(folder: Path) -> Iterator[None]:
    """Context manager: be the one process that labels and moves items. StoreOwnedError if another one is."""
    make_private_folder(folder)
    with open_private(folder / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreOwnedError(
                f"{folder}: another process works on this store; stop that monitor run or serve first"
            ) from None
        yield
