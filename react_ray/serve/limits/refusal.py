"""Why a request is not answered, as whoever finds out raises it; the protocols put it in their words."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["RefusalError", "clipped"]

MOST_CHARS = 1000
"""Of a message: a caller's own megabyte is not sent back to it, and not written to a log."""


def clipped(text: str, most: int = 100) -> str:
    """``text``, or its beginning where it is longer than ``most`` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


class RefusalError(Exception):
    """A request that cannot be answered: the caller's fault, and the text says which."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        self.status = status
        self.message = clipped(message, MOST_CHARS)
        super().__init__(self.message)
        self.headers = dict(headers or {})
