"""Middleware in each HTTP server of Ray Serve: removes headers that Ray would trust.

Ray writes ``x-request-id`` unescaped into its logs, fails if one of the headers that it reads is not UTF-8
(with a status 500 that no metric counts, on health routes too), lets a caller lift the time limit of its
request, and lists its routes for every caller.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from react_ray.serve.watch.caller import IDENTIFIER

__all__ = ["VARIABLE", "VARIABLES", "Edge", "middlewares"]

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
VARIABLES = {VARIABLE: "react_ray.serve.limits.edge.middlewares"}
"""Environment variables of Ray's processes, which tell its HTTP servers where ``middlewares`` is."""
NUMBER = b"x-request-id"
RAY_HEADERS = {
    b"serve-multiplexed-model-id",
    b"x-session-id",
    b"x-request-timeout-seconds",
    b"x-request-disconnect-disabled",
}
"""Headers that Ray acts upon, and that nobody needs here; ``_`` means ``-`` to it."""


def middlewares() -> list[Middleware]:
    """Return the middleware for Ray's own application."""
    return [Middleware(Edge)]


class Edge:
    """Middleware that removes headers Ray must not read, and hides Ray's routes."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            if scope["path"] == "/-/routes":
                await JSONResponse({"error": "Not Found"}, 404)(scope, receive, send)
                return
            scope = {**scope, "headers": _checked(scope["headers"])}
        await self._app(scope, receive, send)


def _checked(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    allowed, numbers = [], 0
    for name, value in headers:
        if name == NUMBER:
            numbers += 1
            if numbers > 1 or not IDENTIFIER.fullmatch(value.decode("latin-1")):
                continue  # Ray makes a number where there is none
        elif name.replace(b"_", b"-") in RAY_HEADERS or not name.isascii():
            continue
        allowed.append((name, value))
    return allowed
