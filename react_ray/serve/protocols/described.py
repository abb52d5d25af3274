"""Descriptions of error responses in /openapi.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from react_ray.config.hosting import HostConfig
from react_ray.serve.limits.gate import OPEN
from react_ray.serve.protocols.messages import ErrorAnswer

__all__ = ["describe_everywhere", "refusals"]

BEFORE_THE_GATE = {
    "414": "The query is too long",
    "421": "The service listens on this machine only, and the header Host is another site's name",
}
FROM_THE_GATE = {
    "401": "No key, or one that is not known; only where the service asks for keys",
    "429": "Too many requests of this caller; Retry-After says when to come again",
}
FROM_THE_PROXY = {"503": "There is no replica; Retry-After says when to come again"}
FROM_RAY = {
    "408": "No answer in time (plain text)",
    "429": "Too many requests wait (plain text); Retry-After says when to come again",
}
JSON = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}}}
PLAIN = {"text/plain": {"schema": {"type": "string"}}}
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""FastAPI's own form of a 422, which it describes wherever a path has a parameter."""


def refusals(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Convert {status: condition} to the ``responses`` of a route."""
    return {status: {"model": ErrorAnswer, "description": text} for status, text in texts.items()}


def describe_everywhere(app: FastAPI, bodies: HostConfig | None = None) -> None:
    """Add the errors of gate, proxy and Ray to every route; to be called after the last route is added.

    With ``bodies``, those of a body over these limits too.
    """
    schema = app.openapi()  # kept by the application, so what is changed here is what it tells
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            responses = operation["responses"]
            if UNUSED_SCHEMAS[0] in str(responses.get("422")):
                del responses["422"]
            _add(responses, BEFORE_THE_GATE, JSON)
            if bodies and "requestBody" in operation:
                _add(responses, _of_bodies(bodies), JSON)
            if path not in OPEN:
                _add(responses, FROM_THE_GATE, JSON)
            _add(responses, FROM_THE_PROXY, JSON)
            _add(responses, FROM_RAY, PLAIN)
            operation["responses"] = dict(sorted(responses.items()))
    for name in UNUSED_SCHEMAS:
        schema["components"]["schemas"].pop(name, None)


def _of_bodies(config: HostConfig) -> dict[str, str]:
    return {
        "400": "Not JSON in UTF-8",
        "408": f"No body within {config.body_timeout_s:g} s",
        "413": f"Over {config.max_body_bytes} bytes",
        "415": "Not application/json",
        "422": "A field is missing, unknown or out of its range",
    }


def _add(responses: dict[str, Any], texts: Mapping[str, str], content: Mapping[str, Any]) -> None:
    for status, text in texts.items():
        described = responses.setdefault(status, {"description": "", "content": {}})
        described["description"] = ". ".join(filter(None, [described["description"], text]))
        described["content"] = described["content"] | content
