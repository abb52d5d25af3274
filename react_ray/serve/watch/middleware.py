"""Middleware of every request: id, metrics, access log, and the response to internal errors."""

from __future__ import annotations

import logging
import time
from typing import Protocol

from ray.exceptions import TaskCancelledError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from react_ray.config.hosting import HostConfig
from react_ray.serve.watch.access import CALLER_LEFT, log_request
from react_ray.serve.watch.caller import begin
from react_ray.serve.watch.metrics import RequestMetrics

__all__ = ["Watch"]

logger = logging.getLogger("ray.serve")


class Watched(Protocol):
    """What answers the requests."""

    @property
    def config(self) -> HostConfig:
        """Settings of the service."""

    @property
    def metrics(self) -> RequestMetrics:
        """Metrics of this replica."""

    @property
    def version(self) -> str:
        """Version of what answers now."""


class Watch:
    """Counts and logs every request; the caller of a failed one gets only its id.

    Serve sets the id in the headers of request and answer. This middleware adds the version of the
    model, so that answers during an update show which model gave them.
    """

    def __init__(self, app: ASGIApp, inside: Watched):
        self._app = app
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count and log the result."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, size = CALLER_LEFT, 0

        async def watched(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                version = (b"x-model-version", self._inside.version.encode())
                message["headers"] = [*message["headers"], version]
            size += len(message.get("body", b""))
            await send(message)

        self._inside.metrics.begun()
        caller = begin(Headers(scope=scope).get("x-request-id"))
        started = time.perf_counter()
        try:
            await self._app(scope, receive, watched)
        except (ClientDisconnect, TaskCancelledError):  # the second comes from behind Ray's own proxy
            pass  # the caller left in the middle of its body
        except Exception:
            logger.exception("request %s failed", caller.id)
            if status != CALLER_LEFT:  # the answer has begun: all that is left is to cut it
                raise
            failure = JSONResponse({"error": "internal error", "request_id": caller.id}, 500)
            await failure(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started
            self._inside.metrics.answered(route, status, seconds)
            log_request(self._inside.config, caller, scope["method"], route, status, seconds, size)
