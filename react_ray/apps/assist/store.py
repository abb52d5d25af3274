"""Conversations in an SQLite file with one writer, committed to disk before anything is answered.

A replica stores a message, thinks, and stores the reply. If it dies in between, the same message sent again
(with the same id) is answered then; if the reply was stored, it is sent again and nothing is doubled.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from react_ray import InputError
from react_ray.folders import make_private_file

__all__ = ["STORE", "ConversationStore", "Limits", "StoreFullError"]

logger = logging.getLogger("react_ray.assist")
STORE = "conversations.sqlite"
TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, key TEXT, last REAL NOT NULL, waiting REAL, with_agent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, time REAL NOT NULL,
    kind TEXT, source TEXT, intent TEXT, score REAL, whole TEXT, feedback INTEGER,
    UNIQUE (session, id, role)
);
CREATE TABLE IF NOT EXISTS labels (
    message INTEGER PRIMARY KEY REFERENCES messages (number) ON DELETE CASCADE, answer TEXT, intent TEXT
);
CREATE INDEX IF NOT EXISTS last ON sessions (last);
CREATE INDEX IF NOT EXISTS waiting ON sessions (waiting) WHERE waiting IS NOT NULL;
"""
CUSTOMER, ASSISTANT, AGENT = "customer", "assistant", "agent"
REPLY = ("kind", "text", "source", "intent", "score", "whole")
SHOWN = ("number", "id", "role", "text", "kind", "source", "intent", "score", "feedback")
PAIRS = "messages a JOIN messages c ON c.session = a.session AND c.id = a.id AND c.role = ? WHERE a.role = ?"
"""Replies a, each with the message c that it answers; for the roles of c and a."""
CLEAN_EVERY_S = 3600.0
DAY_S = 86_400.0
CONTEXT = 5
"""Messages of the customer that a reply may be understood by."""


class StoreFullError(InputError):
    """There are as many conversations as are kept."""


class Limits:
    """Limits of a store: turns of a conversation, conversations, and days that they are kept."""

    def __init__(self, turns: int = 100, sessions: int = 100_000, days: float = 30.0):
        self.turns, self.sessions, self.days = turns, sessions, days


class ConversationStore:
    """Conversations in ``folder``; one process owns it, and calls one method at a time.

    With ``limits``, old conversations are deleted at once and then every hour, until the store is closed.
    Errors of callers are InputError.
    """

    def __init__(self, folder: Path, limits: Limits | None = None):
        self._limits, self._path = limits or Limits(), folder / STORE
        if not self._path.exists():
            make_private_file(self._path)
        self._connection = _connect(self._path)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(TABLES)
        self._closed = threading.Event()
        if limits is not None:
            self._clean()
            threading.Thread(target=self._clean_every_hour, daemon=True).start()

    def begin(self, session: str, message: str, text: str, key: str | None = None) -> dict[str, Any]:
        """Store a customer's message and return what a reply needs; the same id again stores nothing.

        Returns
        -------
        dict
            ``reply``: the stored reply, or None; ``earlier``: messages of the customer before this one;
            ``with_agent``: whether a person answers here.
        """
        now = time.time()
        with self._transaction():
            conversation = self._session(session, key, create=now)
            stored = self._one(
                "SELECT text FROM messages WHERE session = ? AND id = ? AND role = ?",
                session,
                message,
                CUSTOMER,
            )
            if stored is None:
                turns = self._one(
                    "SELECT COUNT(*) AS n FROM messages WHERE session = ? AND role = ?", session, CUSTOMER
                )
                if turns["n"] >= self._limits.turns:
                    raise InputError(f"this conversation has {self._limits.turns} messages: begin a new one")
                self._insert(session, message, CUSTOMER, {"text": text}, now)
                self._run("UPDATE sessions SET last = ? WHERE id = ?", now, session)
            elif stored["text"] != text:
                raise InputError("id: another message of this conversation has it")
        earlier = self._all(
            "SELECT text FROM messages WHERE session = ? AND role = ? AND number < "
            "(SELECT number FROM messages WHERE session = ? AND id = ? AND role = ?) "
            "ORDER BY number DESC LIMIT ?",
            session, CUSTOMER, session, message, CUSTOMER, CONTEXT,
        )  # fmt: skip
        return {
            "reply": self._reply(session, message),
            "earlier": [row["text"] for row in reversed(earlier)],
            "with_agent": bool(conversation["with_agent"]),
        }

    def finish(self, session: str, message: str, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Store the reply to a message, unless there is one, and return the stored one."""
        with self._transaction():
            self._session(session)
            if self._reply(session, message) is None:
                now = time.time()
                self._insert(session, message, ASSISTANT, reply, now)
                if reply["kind"] == "handover":
                    self._run("UPDATE sessions SET waiting = coalesce(waiting, ?) WHERE id = ?", now, session)
        stored = self._reply(session, message)
        assert stored is not None
        return stored

    def feedback(self, session: str, message: str, up: bool, key: str | None = None) -> None:
        """Store whether the reply to a message helped."""
        with self._transaction():
            self._session(session, key)
            changed = self._run(
                "UPDATE messages SET feedback = ? WHERE session = ? AND id = ? AND role = ?",
                1 if up else -1, session, message, ASSISTANT,
            )  # fmt: skip
            if not changed:
                raise InputError(f"id: no reply to {message!r} in this conversation")

    def conversation(self, session: str, after: int = 0, key: str | None = None) -> list[dict[str, Any]]:
        """Return the messages of a conversation whose number is above ``after``."""
        self._session(session, key)
        columns = ", ".join(SHOWN)
        statement = f"SELECT {columns} FROM messages WHERE session = ? AND number > ? ORDER BY number"
        return [dict(row) for row in self._all(statement, session, after)]

    def waiting(self, most: int = 100) -> list[dict[str, Any]]:
        """Return the conversations that wait for a person or are with one, the longest first."""
        rows = self._all(
            "SELECT id AS session, waiting AS since, with_agent, (SELECT text FROM messages WHERE "
            "session = sessions.id AND role = ? ORDER BY number DESC LIMIT 1) AS text "
            "FROM sessions WHERE waiting IS NOT NULL ORDER BY waiting LIMIT ?",
            CUSTOMER, most,
        )  # fmt: skip
        return [dict(row) | {"with_agent": bool(row["with_agent"])} for row in rows]

    def answer(
        self, session: str, message: str, text: str, intent: str | None, close: bool, learn: bool
    ) -> None:
        """Store a person's answer; with ``learn`` it becomes the label of the question that was handed over.

        ``message`` is the id that the agent's page gives it: the same id again changes nothing.
        """
        with self._transaction():
            self._session(session)
            stored = self._one(
                "SELECT 1 FROM messages WHERE session = ? AND id = ? AND role = ?", session, message, AGENT
            )
            if stored is None:
                now = time.time()
                question = self._one(
                    f"SELECT c.number FROM {PAIRS} AND a.session = ? AND a.kind = 'handover' AND "
                    "a.time >= (SELECT waiting FROM sessions WHERE id = ?) ORDER BY a.number LIMIT 1",
                    CUSTOMER, ASSISTANT, session, session,
                )  # fmt: skip
                self._insert(session, message, AGENT, {"text": text}, now)
                if learn and question is not None:
                    self._label(question["number"], text, intent)
                self._run("UPDATE sessions SET last = ?, with_agent = 1 WHERE id = ?", now, session)
            if close:
                self._run("UPDATE sessions SET waiting = NULL, with_agent = 0 WHERE id = ?", session)

    def close_conversation(self, session: str) -> None:
        """Take a conversation off the list: the assistant answers again."""
        with self._transaction():
            self._session(session)
            self._run("UPDATE sessions SET waiting = NULL, with_agent = 0 WHERE id = ?", session)

    def questions(self, most: int = 20) -> list[dict[str, Any]]:
        """Return the customers' questions whose label would help most.

        First those whose reply did not help, then those with the least sure reply; none of those that a
        person answered.
        """
        rows = self._all(
            f"SELECT c.number, c.text, a.intent, a.kind, a.text AS reply, a.score, a.feedback FROM {PAIRS} "
            "AND a.score IS NOT NULL AND coalesce(a.feedback, 0) < 1 "
            "AND c.number NOT IN (SELECT message FROM labels) "
            "ORDER BY coalesce(a.feedback, 0), a.kind = 'handover' DESC, a.score LIMIT ?",
            CUSTOMER, ASSISTANT, most,
        )  # fmt: skip
        return [dict(row) for row in rows]

    def label(self, number: int, answer: str | None, intent: str | None) -> None:
        """Store the right answer or intent of a customer's message."""
        with self._transaction():
            message = self._one("SELECT role FROM messages WHERE number = ?", number)
            if message is None or message["role"] != CUSTOMER:
                raise InputError(f"number: {number} is no message of a customer")
            self._label(number, answer, intent)

    def labels(self) -> list[dict[str, Any]]:
        """Return all that was learnt: session, question, answer, intent.

        These are labels by people, and the replies that helped: an answer, or the intent of a template.
        """
        rows = self._all(
            "SELECT c.session, c.text AS question, l.answer, l.intent FROM labels l "
            "JOIN messages c ON c.number = l.message UNION ALL "
            "SELECT c.session, c.text, a.whole, CASE a.kind WHEN 'template' THEN a.intent END "
            f"FROM {PAIRS} AND a.feedback = 1 AND a.kind <> 'handover' "
            "AND c.number NOT IN (SELECT message FROM labels)",
            CUSTOMER, ASSISTANT,
        )  # fmt: skip
        return [dict(row) for row in rows]

    def forget(self, session: str) -> bool:
        """Delete a conversation and its labels, overwriting them on disk; return whether there was one."""
        with self._transaction():
            changed = self._run("DELETE FROM sessions WHERE id = ?", session)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return changed > 0

    def close(self) -> None:
        """Close the file."""
        self._closed.set()
        self._connection.close()

    def _clean_every_hour(self) -> None:
        while not self._closed.wait(CLEAN_EVERY_S):
            try:
                self._clean()
            except sqlite3.Error as error:  # the disk may be full: again in an hour
                logger.error("old conversations were not deleted: %s", error)

    def _clean(self) -> None:
        """Delete conversations that are older than they may be, overwriting them on disk."""
        connection = _connect(self._path)  # of its own, since the other one is used meanwhile
        try:
            oldest = time.time() - self._limits.days * DAY_S
            if connection.execute("DELETE FROM sessions WHERE last < ?", [oldest]).rowcount:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    def _session(self, session: str, key: str | None = None, create: float | None = None) -> sqlite3.Row:
        """Return a conversation; one that another key began is treated as unknown."""
        conversation = self._one("SELECT key, with_agent FROM sessions WHERE id = ?", session)
        if conversation is None and create is not None:
            count = self._one("SELECT COUNT(*) AS n FROM sessions")["n"]
            if count >= self._limits.sessions:
                raise StoreFullError(
                    f"there are {count:,} conversations, the most that are kept: try again later"
                )
            self._run("INSERT INTO sessions (id, key, last) VALUES (?, ?, ?)", session, key, create)
            return self._one("SELECT key, with_agent FROM sessions WHERE id = ?", session)
        if conversation is None or (key is not None and conversation["key"] not in (None, key)):
            raise InputError("session: there is no such conversation")
        return conversation

    def _reply(self, session: str, message: str) -> dict[str, Any] | None:
        row = self._message(", ".join((*REPLY, "id")), session, message, ASSISTANT)
        return None if row is None else dict(row)

    def _message(self, columns: str, session: str, message: str, role: str) -> Any:
        statement = f"SELECT {columns} FROM messages WHERE session = ? AND id = ? AND role = ?"
        return self._one(statement, session, message, role)

    def _insert(self, session: str, message: str, role: str, values: Mapping[str, Any], now: float) -> None:
        names = [name for name in REPLY if name in values]
        columns, marks = (
            ", ".join(["session", "id", "role", "time", *names]),
            ", ".join("?" * (len(names) + 4)),
        )
        cells = (session, message, role, now, *(values[name] for name in names))
        self._run(f"INSERT INTO messages ({columns}) VALUES ({marks})", *cells)

    def _label(self, number: int, answer: str | None, intent: str | None) -> None:
        self._run(
            "INSERT INTO labels VALUES (?, ?, ?) ON CONFLICT (message) DO UPDATE SET "
            "answer = coalesce(excluded.answer, answer), intent = coalesce(excluded.intent, intent)",
            number, answer, intent,
        )  # fmt: skip

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _run(self, statement: str, *values: object) -> int:
        return self._connection.execute(statement, values).rowcount

    def _one(self, statement: str, *values: object) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(statement, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection
