"""Requests and responses of httpx2, for both clients."""

from __future__ import annotations

from typing import Any

import httpx2

from react_ray.client.exchange import BulkPart, refusal
from react_ray.errors import InputError, ServiceError

__all__ = ["bulk_request", "content", "lost", "options", "refused"]


def options(url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """Return the arguments of an HTTP client; InputError if ``url`` is no address."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url!r} is no address of a service; expected one such as http://127.0.0.1:8000")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {"base_url": url, "headers": headers, "timeout": timeout}


def bulk_request(part: BulkPart) -> dict[str, Any]:
    """Return the arguments of a request for the lines of ``part``."""
    headers = {"Content-Type": "application/x-ndjson"}
    return {"params": {"offset": part.next}, "content": part.body(), "headers": headers}


def content(response: httpx2.Response) -> Any:
    """Return the JSON of a response; ServiceError if it is an error or no JSON."""
    if not response.is_success:
        raise refused(response)
    try:
        return response.json()
    except ValueError:
        raise ServiceError(
            f"no answer of the service: {response.text[:200]!r}", response.status_code
        ) from None


def refused(response: httpx2.Response) -> ServiceError:
    """Convert an error response to ServiceError."""
    return refusal(response.status_code, response.content, response.headers.get("retry-after"))


def lost(error: httpx2.TransportError, url: object) -> ServiceError:
    """Convert a failure of the connection to ServiceError."""
    return ServiceError(f"no answer from {url}: {str(error) or type(error).__name__}")
