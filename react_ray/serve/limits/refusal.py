"""The exception of a rejected request; the protocols format it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

__all__ = ["RefusalError", "clipped"]

MOST_CHARS = 1000
"""Maximum characters of a message: a caller's own megabyte is neither sent back nor logged."""


def clipped(text: str, most: int = 100) -> str:
    """Truncate ``text`` to ``most`` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


class RefusalError(Exception):
    """A rejected request (client error); the message gives the reason."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        self.status = status
        self.message = clipped(message, MOST_CHARS)
        super().__init__(self.message)
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        return JSONResponse({"error": self.message}, self.status, headers=self.headers)
