"""Why a request is not answered, as whoever finds out raises it; the protocols put it in their words."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["RefusalError"]


class RefusalError(Exception):
    """A request that cannot be answered: the caller's fault, and the text says which."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
