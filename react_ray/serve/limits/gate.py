"""Who may ask: keys and rates, for HTTP here and for any other door through ``enter``."""

from __future__ import annotations

import math

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from react_ray.config import ServeConfig
from react_ray.serve.limits.address import Addresses
from react_ray.serve.limits.keys import Keys
from react_ray.serve.limits.rate import RateLimit
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.watch.caller import current

__all__ = ["OPEN", "Gate", "GateMiddleware"]

OPEN = {"/", "/docs", "/openapi.json", "/healthz", "/readyz"}
"""What anyone may ask: probes bring no key, and a browser that opens a page brings none either."""


class Gate:
    """The keys and the rates of a replica; InputError where the file of keys is not one."""

    def __init__(self, config: ServeConfig):
        self.keys = Keys(config.api_keys) if config.api_keys else None
        self._limit = RateLimit(config.rate_limit) if config.rate_limit else None
        self._addresses = Addresses()

    def enter(self, authorization: str, peer: str, forwarded: str = "") -> str | None:
        """The name of the caller's key; RefusalError 401 without a good key, 429 when too fast.

        ``peer`` is the address of the connection, ``forwarded`` the header ``x-forwarded-for``.
        """
        name = None
        if self.keys:
            scheme, _, key = authorization.partition(" ")
            name = self.keys.name_of(key.strip()) if scheme.lower() == "bearer" else None
            if name is None:
                raise RefusalError(
                    401, "a key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"}
                )
        wait = self._limit.wait(name or self._addresses.of(peer, forwarded)) if self._limit else 0
        if wait:
            again = math.ceil(wait)
            raise RefusalError(
                429, f"too many requests; come again in {again} s", {"retry-after": str(again)}
            )
        return name


class GateMiddleware:
    """Asks the gate before every route that is not open."""

    def __init__(self, app: ASGIApp, gate: Gate):
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer why not."""
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) not in OPEN:
            headers = Headers(scope=scope)
            peer = scope["client"][0] if scope.get("client") else ""
            forwarded = ",".join(headers.getlist("x-forwarded-for"))
            try:
                name = self._gate.enter(headers.get("authorization", ""), peer, forwarded)
            except RefusalError as error:
                refusal = JSONResponse({"error": error.message}, error.status, headers=error.headers)
                await refusal(scope, receive, send)
                return
            current().name = name
        await self._app(scope, receive, send)
