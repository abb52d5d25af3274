"""Authentication and rate limits, for HTTP here and for other protocols through ``enter``."""

from __future__ import annotations

import math
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from react_ray.config.hosting import HostConfig
from react_ray.serve.limits.address import Addresses, source_of
from react_ray.serve.limits.hosts import Hosts
from react_ray.serve.limits.keys import ApiKeys
from react_ray.serve.limits.rate import RateLimit
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.watch.caller import current

__all__ = ["OPEN", "Gate", "GateMiddleware"]

OPEN = {"/", "/docs", "/openapi.json", "/healthz", "/readyz"}
"""Routes without a key: probes and browsers that open a page send none."""
MOST_QUERY = 4096
"""Bytes of a query; a route takes one number."""


WRONG_KEYS_A_SECOND, WRONG_KEYS_AT_ONCE = 5.0, 150.0
"""Requests without a good key that an address may send before it gets 429."""


class Gate:
    """Keys and rate limits of a replica; InputError for an invalid file of keys."""

    def __init__(self, config: HostConfig):
        self.keys = ApiKeys(config.api_keys) if config.api_keys else None
        self.hosts = Hosts(config)
        self._limit = RateLimit(config.rate_limit) if config.rate_limit else None
        self._wrong_keys = RateLimit(WRONG_KEYS_A_SECOND, WRONG_KEYS_AT_ONCE)
        self._addresses = Addresses()

    @property
    def open(self) -> bool:
        """Whether requests need no key and have no rate limit."""
        return self.keys is None and self._limit is None

    def enter(self, authorization: str, peer: str, forwarded: str = "") -> str | None:
        """Return the name of the request's key; RefusalError 401 without a valid key, 429 when too fast.

        ``peer`` is the address of the connection, ``forwarded`` the header ``x-forwarded-for``.
        """
        name = self._name(authorization) if self.keys else None
        if name is not None:
            self._take(self._limit, name)
            return name
        source = source_of(self._addresses.of(peer, forwarded))
        if not self.keys:
            self._take(self._limit, source)
            return None
        # A good key is good however many wrong ones came from its address: who shares it is not locked out.
        # With 256 bits there is nothing to guess; what is limited is the work, and the lines in the log.
        self._take(self._wrong_keys, source)
        raise RefusalError(401, "a key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"})

    def _name(self, authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        return self.keys.name_of(key.strip()) if self.keys and scheme.lower() == "bearer" else None

    def _take(self, limit: RateLimit | None, caller: str) -> None:
        wait = limit.wait(caller) if limit else 0
        if wait:
            again = math.ceil(wait)
            raise RefusalError(
                429, f"too many requests; come again in {again} s", {"retry-after": str(again)}
            )


class GateMiddleware:
    """Middleware that checks the host name, and key and rate for every route that is not public."""

    def __init__(self, app: ASGIApp, gate: Gate, pages: Collection[str] = ()):
        self._app = app
        self._gate = gate
        self._open = OPEN.union(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with the error."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RefusalError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if len(scope.get("query_string", b"")) > MOST_QUERY:
            raise RefusalError(414, f"the query is over {MOST_QUERY} bytes")
        self._gate.hosts.check(headers.get("host"))
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._open:
            return
        peer = scope["client"][0] if scope.get("client") else ""
        forwarded = ",".join(headers.getlist("x-forwarded-for"))
        current().name = self._gate.enter(headers.get("authorization", ""), peer, forwarded)
