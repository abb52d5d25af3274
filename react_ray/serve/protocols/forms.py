"""Normalization of requests for every route: HEAD as GET, and a slash at the end of the path."""

from __future__ import annotations

from collections.abc import Collection

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Forms"]


class Forms:
    """Middleware that normalizes requests.

    Redirects are relative, because behind a proxy that strips a prefix or terminates TLS the service does
    not know its own address. ``pages`` have relative links and thus a single valid path; all other routes
    answer with and without the slash.
    """

    def __init__(self, app: ASGIApp, pages: Collection[str]):
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the normalized request on, or redirect to the page."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root, path = scope.get("root_path", ""), scope["path"]
        route = path.removeprefix(root)
        inner = dict(scope)
        if scope["method"] == "HEAD":
            inner["method"], send = "GET", _without_body(send)
        if route == "":  # the page of an application below a prefix
            await _redirect(scope, f"{path.rpartition('/')[2]}/")(inner, receive, send)
            return
        if len(route) > 1 and route.endswith("/"):
            if route[:-1] in self._pages:
                await _redirect(scope, f"..{route[:-1]}")(inner, receive, send)
                return
            inner["path"] = path[:-1]
            inner["raw_path"] = scope.get("raw_path", b"").removesuffix(b"/")
        try:
            await self._app(inner, receive, send)
        finally:
            if "route" in inner:  # for those outside, who count by it
                scope["route"] = inner["route"]


def _redirect(scope: Scope, where: str) -> RedirectResponse:
    query = scope.get("query_string", b"").decode("latin-1")
    return RedirectResponse(f"{where}?{query}" if query else where, 307)


def _without_body(send: Send) -> Send:
    async def head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head
