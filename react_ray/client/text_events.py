"""Server-sent events of a generated text, without I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from react_ray.client.exchange import Input, checked
from react_ray.errors import ServiceError

__all__ = ["TextEvents", "stream_request"]


def stream_request(value: Input, max_new_tokens: int | None) -> dict[str, Any]:
    """Return the arguments of a request for a text in pieces."""
    limit = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    return {
        "json": {"inputs": checked(value, 0), "stream": True, **limit},
        "headers": {"Accept": "text/event-stream"},
    }


class TextEvents:
    """Parser of the events of one text."""

    def __init__(self) -> None:
        self._done = False

    def take(self, line: str) -> Iterator[str]:
        """Yield the piece of text in a line of the response; ServiceError if the model failed."""
        if not line.startswith("data:"):
            return
        event = json.loads(line.removeprefix("data:"))
        if "error" in event:
            raise ServiceError(event["error"], 500)
        self._done = self._done or "done" in event
        if "text" in event:
            yield event["text"]

    def check_end(self) -> None:
        """Raise ServiceError if the response ended before the text was complete."""
        if not self._done:
            raise ServiceError("the text was cut before its end")
