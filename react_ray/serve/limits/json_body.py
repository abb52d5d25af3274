"""Middleware that reads every body before the route: its type, size and time are checked."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from react_ray.config.hosting import HostConfig
from react_ray.serve.limits.body import JSON, check_content_type, read_body
from react_ray.serve.limits.refusal import RefusalError

__all__ = ["JsonBodies"]


class JsonBodies:
    """Reads bodies of JSON and passes them on whole; other kinds of body are rejected."""

    def __init__(self, app: ASGIApp, config: HostConfig):
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body, or answer with the error."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = bytes(await read_body(request, self._config))
            if body or scope["method"] != "DELETE":
                check_content_type(request.headers, JSON)
        except RefusalError as error:
            await error.response()(scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()  # that the caller left
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)
