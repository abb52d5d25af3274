"""Request and response bodies: parsing within limits, answers, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import from_json

from react_ray.config.service import ServeConfig
from react_ray.inference.inputs import Row, has_lists, kind_of, parse_input, rows_taken
from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.limits.structure import check_structure, most_values, words_in
from react_ray.tasks.task import Task

__all__ = [
    "BOM",
    "ErrorAnswer",
    "GenerateRequest",
    "PredictRequest",
    "answer",
    "characters",
    "check_utf8",
    "kind_of",
    "parse",
    "parse_request",
    "request_model",
    "row_of",
    "rows_of",
    "where_is",
]

RequestModel = TypeVar("RequestModel", bound=BaseModel)

BOM = b"\xef\xbb\xbf"
"""Byte order mark, which some editors put before UTF-8; JSON parsers may ignore it (RFC 8259)."""


class PredictRequest(BaseModel):
    """Inputs of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Any = Field(description="An input, or a list of inputs")
    top_k: int | None = Field(None, ge=1, description="Most entries of an answer; all of them if left out")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Entries that score less are left out; the service's own if left out"
    )

    @field_validator("inputs", mode="before")
    @classmethod
    def _check_not_empty(cls, value: Any) -> Any:
        if isinstance(value, list) and not value:
            raise ValueError("the list is empty; expected at least one input")
        return value

    @field_validator("top_k", mode="before")
    @classmethod
    def _as_integer(cls, value: Any) -> Any:
        # to JSON Schema 1.0 is an integer, and so it is to callers whose numbers are all floats
        return int(value) if isinstance(value, float) and value.is_integer() else value


class GenerateRequest(PredictRequest):
    """Inputs of a request to a model that generates texts."""

    stream: bool = Field(False, description="Send the text in pieces, as server-sent events, for one input")
    max_new_tokens: int | None = Field(
        None, ge=1, description="Most tokens of a text, up to the model's own limit, which is for all others"
    )


def request_model(task: Task) -> type[PredictRequest]:
    """Return the form of a request for a task."""
    return GenerateRequest if task.generates else PredictRequest


class ErrorAnswer(BaseModel):
    """Error message of a rejected request."""

    error: str
    request_id: str | None = None


def parse_request(
    body: bytes | bytearray, config: ServeConfig, task: Task
) -> tuple[PredictRequest, list[Row]]:
    """Parse the request in ``body`` and its rows.

    RefusalError as :func:`parse`, 413 if there are too many or too long ones, 422 if one is invalid.
    """
    kind = request_model(task)
    explain = partial(_explain, kind=kind, task=task)
    request = parse(body, kind, config, explain, lists=has_lists(task))
    inputs = request.inputs
    if isinstance(inputs, list):
        return request, rows_of("inputs", inputs, task, config)
    try:
        return request, [row_of(inputs, task, config)]
    except RefusalError as error:
        raise RefusalError(error.status, f"inputs: {error.message}") from None
    except ValueError as error:
        raise RefusalError(422, f"inputs: {error}") from None


def rows_of(field: str, inputs: Sequence[Any], task: Task, config: ServeConfig) -> list[Row]:
    """Convert inputs to rows; RefusalError 413 for too many or too long ones, 422 for invalid ones."""
    if len(inputs) > config.max_texts:
        raise RefusalError(
            413, f"{field}: {len(inputs)} texts; at most {config.max_texts} are taken in a request"
        )
    rows = []
    words = 0
    for index, value in enumerate(inputs):
        try:
            rows.append(row_of(value, task, config))
        except RefusalError as error:
            raise RefusalError(error.status, f"{field}: text {index} {error.message}") from None
        except ValueError as error:
            colon = "" if str(error).startswith("is ") else ":"
            raise RefusalError(422, f"{field}: item {index}{colon} {error}") from None
        words += words_in(rows[-1])
        if words > config.max_words:
            raise RefusalError(413, f"{field}: over {config.max_words} words; no more are taken in a request")
    return rows


def row_of(value: Any, task: Task, config: ServeConfig) -> Row:
    """Convert an input to a row; RefusalError 413 if it is too long, ValueError if it is invalid.

    The length is that of all columns together.
    """
    size = characters(value)
    if size > config.max_chars:
        raise RefusalError(413, f"has {size} characters; at most {config.max_chars} are taken")
    row = parse_input(task, value)
    words = words_in(row)
    if words > config.max_words:
        raise RefusalError(413, f"has {words} words; at most {config.max_words} are taken")
    return row


def characters(value: Any) -> int:
    """Count the characters of all strings in a JSON value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(characters, value)) if isinstance(value, list) else 0


def parse(
    body: bytes | bytearray,
    kind: type[RequestModel],
    config: ServeConfig,
    explain: Callable[[Any], str] | None = None,
    lists: bool = False,
) -> RequestModel:
    """Parse the request in ``body``; RefusalError 400 if it is not JSON in UTF-8, 413 or 422 if invalid.

    ``explain`` formats a validation error of pydantic, if it needs a special message; only the first error is
    reported. ``lists``: inputs may be lists, which allows more values.
    """
    body = body.removeprefix(BOM)
    check_structure(body, most_values(config, lists))
    explain = explain or partial(_explain, kind=kind)
    try:
        return kind.model_validate(
            from_json(body)
        )  # in one step, each problem would hold a copy of its input
    except ValidationError as error:
        raise RefusalError(422, explain(error.errors(include_url=False)[0])) from None
    except ValueError as error:
        check_utf8(body)
        raise RefusalError(400, f"the body is not JSON: {error}") from None


def check_utf8(body: bytes | bytearray) -> None:
    """Raise RefusalError 400 with the position where ``body`` is not UTF-8."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(400, f"the body is not UTF-8 at byte {error.start}") from None


def answer(request: PredictRequest, lists: Sequence[list[dict[str, Any]]]) -> list[Any]:
    """Return the answer as JSON-like data: a list for one input, a list of lists for several."""
    return list(lists) if isinstance(request.inputs, list) else lists[0]


def _explain(problem: Any, kind: type[BaseModel], task: Task | None = None) -> str:
    example = task.nouns.example if task and not rows_taken(task, ["a text"]) else "a text"
    sample = {next(iter(kind.model_fields)): example}
    expected = f"expected {json.dumps(sample, ensure_ascii=False)}"
    where = where_is(problem)
    match problem["type"]:
        case "missing":
            return f"{where} is missing; {expected}"
        case "extra_forbidden":
            return f"{where} is not known; known are: {', '.join(kind.model_fields)}"
        case "value_error":
            return f"{where}: {problem['ctx']['error']}"
        case _ if not where:
            return f"the body is {kind_of(problem['input'])}; {expected}"
    return f"{where}: {problem['msg'].lower()}"


def where_is(problem: Any) -> str:
    """Format the location of a pydantic error: names and indices separated by dots."""
    return ".".join(clipped(str(part)) for part in problem["loc"])
