"""Server-sent events of POST /predict: a generated text in pieces, then the answer."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from react_ray.inference.inputs import Row
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.messages import GenerateRequest
from react_ray.serve.service import Service

__all__ = ["EVENTS", "EventsResponse", "events", "wants_events"]

EVENTS = "text/event-stream"
FAILED = "the model failed on this text"

logger = logging.getLogger("ray.serve")


def wants_events(request: Request, query: GenerateRequest) -> bool:
    """Return whether a text is to be sent in pieces; RefusalError 422 for several inputs."""
    if not (query.stream or EVENTS in request.headers.get("accept", "").lower()):
        return False
    if isinstance(query.inputs, list):
        raise RefusalError(422, "stream: the text for one input can be sent in pieces; expected no list")
    return True


async def events(service: Service, query: GenerateRequest, row: Row) -> AsyncGenerator[bytes]:
    """Yield an event for each piece of the text, and one with the answer, or with an error."""
    try:
        async with aclosing(_typed(service.stream(row, query.threshold, query.max_new_tokens))) as parts:
            async for part in parts:
                if not isinstance(part, str):
                    yield _event({"done": True, "answer": part, "search": "greedy"})
                elif part:
                    yield _event({"text": part})
    except Exception:
        logger.exception("stream: %s", FAILED)
        yield _event({"error": FAILED})


def _typed(parts: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    assert isinstance(parts, AsyncGenerator)
    return parts


def _event(content: Any) -> bytes:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


class EventsResponse(StreamingResponse):
    """Response of server-sent events, whose source is closed when the reader is gone."""

    def __init__(self, content: AsyncGenerator[bytes]):
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(content, media_type=EVENTS, headers=headers)
        self._source = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with aclosing(self._source):
            await super().__call__(scope, receive, send)
