"""The body of a request: of the right type, and counted as it comes."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.datastructures import Headers

from react_ray.config import ServeConfig
from react_ray.serve.limits.refusal import RefusalError

__all__ = ["check_content_type", "read_body"]


def check_content_type(headers: Headers, expected: str) -> None:
    """RefusalError 415 unless the body is ``expected``, in UTF-8 and not compressed.

    Also what keeps other sites' forms out: a browser asks first before it sends JSON across origins.
    """
    given = headers.get("content-type", "")
    kind, _, parameters = given.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if kind.strip() != expected or charset not in ("", "charset=utf-8"):
        raise RefusalError(415, f"content type {given!r} is not taken; expected {expected} in UTF-8")
    if headers.get("content-encoding", "identity") != "identity":
        raise RefusalError(415, "compressed bodies are not taken")


async def read_body(request: Request, config: ServeConfig, limit: int | None = None) -> bytes:
    """The body; RefusalError 413 when over ``limit`` (None: as in ``config``), 408 when it comes too slowly.

    It is counted as it comes: a length that the caller declares proves nothing. The time is
    that of the whole body, so a caller gains none by sending a byte now and then.
    """
    limit = limit or config.max_body_bytes
    if _declared(request.headers) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(config.body_timeout_s):
            return await _count(request, limit)
    except TimeoutError:
        message = f"the body was not there after {config.body_timeout_s:g} s"
        raise RefusalError(408, message, {"connection": "close"}) from None


async def _count(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdecimal() else 0  # more digits: too large too


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, f"the body is over {limit} bytes", {"connection": "close"})
