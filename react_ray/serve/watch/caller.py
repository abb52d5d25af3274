"""Context of the current request, for code that counts or records it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

__all__ = ["Caller", "begin", "current"]

IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class Caller:
    """A request: its id, the name of its key, and its texts so far."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    name: str | None = None
    texts: int = 0
    said: list[str] = field(default_factory=list)  # the texts themselves, where the log is to have them

    def ask(self, texts: Sequence[str], keep: bool) -> None:
        """Record the number of texts, and the texts if they are logged."""
        self.texts += len(texts)
        if keep:
            self.said += texts


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def begin(request_id: str | None = None) -> Caller:
    """Begin a request in this asyncio task and its children; ``request_id`` becomes its id if it is valid."""
    new = Caller(request_id) if request_id and IDENTIFIER.fullmatch(request_id) else Caller()
    _current.set(new)
    return new


def current() -> Caller:
    """Return the request of this asyncio task; an anonymous one if none was begun."""
    return _current.get() or Caller()
