"""Reading of request bodies, with checks of content type, size and duration."""

from __future__ import annotations

import asyncio
import re

from fastapi import Request
from starlette.datastructures import Headers

from react_ray.config.hosting import HostConfig
from react_ray.serve.limits.refusal import RefusalError, clipped

__all__ = ["BINARY", "JSON", "LINES", "check_content_type", "read_body"]


JSON, LINES, BINARY = "application/json", "application/x-ndjson", "application/octet-stream"
ACCEPTED = {
    JSON: re.compile(r"application/(json|[a-z0-9.!#$&^_-]+\+json)"),
    LINES: re.compile(r"application/(x-)?(ndjson|jsonl|jsonlines|json-lines)"),
    BINARY: re.compile(r"application/(octet-stream|json)"),
}
"""Accepted content types of each kind of body."""
UTF_8 = ("utf-8", "utf8")


def check_content_type(headers: Headers, expected: str) -> None:
    """Raise RefusalError 415 unless the body is ``expected`` (of ACCEPTED), in UTF-8 and not compressed.

    This also blocks forms of other sites: browsers send a preflight request before cross-origin JSON.
    """
    content_type = ", ".join(headers.getlist("content-type"))
    kind, *parameters = content_type.lower().split(";")
    pairs = [parameter.partition("=") for parameter in parameters]
    charsets = {value.strip().strip('"') for name, _, value in pairs if name.strip() == "charset"}
    if not ACCEPTED[expected].fullmatch(kind.strip()) or not charsets <= set(UTF_8):
        raise RefusalError(
            415, f"content type {clipped(content_type)!r} is not taken; expected {expected} in UTF-8"
        )
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise RefusalError(415, "compressed bodies are not taken")


async def read_body(request: Request, config: HostConfig, limit: int | None = None) -> bytearray:
    """Read the body; RefusalError 413 above ``limit`` (None: that of ``config``), 408 if it is too slow.

    Bytes are counted as they arrive, because a declared length may be wrong. The time limit
    is for the whole body, so sending single bytes does not extend it.
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


async def _count(request: Request, limit: int) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return body


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdecimal() else 0  # more digits: too large too


def _too_large(limit: int) -> RefusalError:
    return RefusalError(413, f"the body is over {limit} bytes", {"connection": "close"})
