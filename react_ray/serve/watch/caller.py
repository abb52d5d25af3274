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
    """One request: its number, whose key it came with, and what was asked so far."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    name: str | None = None
    texts: int = 0
    said: list[str] = field(default_factory=list)  # the texts themselves, where the log is to have them

    def ask(self, texts: Sequence[str], keep: bool) -> None:
        """Note what is asked: how many texts, and which where these are to be kept."""
        self.texts += len(texts)
        if keep:
            self.said += texts


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def begin(given: str | None = None) -> Caller:
    """A new request, in this task and those it starts; ``given`` is its number if short and plain."""
    new = Caller(given) if given and IDENTIFIER.fullmatch(given) else Caller()
    _current.set(new)
    return new


def current() -> Caller:
    """The request that this task works on; a nameless one where none was begun."""
    return _current.get() or Caller()
