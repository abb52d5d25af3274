"""The body of a request: of the right type, and counted as it comes."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import Headers

from react_ray.serve.protocol import RefusalError

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


async def read_body(request: Request, limit: int) -> bytes:
    """The body; RefusalError 413 when over ``limit`` bytes.

    It is counted as it comes: a length that the caller declares proves nothing.
    """
    too_large = RefusalError(413, f"the body is over {limit} bytes")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
