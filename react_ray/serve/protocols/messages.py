"""What goes over the wire: requests with their limits, answers, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import from_json

from react_ray.config.service import ServeConfig
from react_ray.inference.prediction import Prediction
from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.limits.structure import check_structure

__all__ = [
    "BOM",
    "ErrorAnswer",
    "PredictRequest",
    "Score",
    "answer",
    "check_limits",
    "check_utf8",
    "kind_of",
    "parse",
    "parse_request",
    "where_is",
]

Wanted = TypeVar("Wanted", bound=BaseModel)

BOM = b"\xef\xbb\xbf"
"""What some editors and exports put before UTF-8; JSON parsers are free to pass over it (RFC 8259)."""


class PredictRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"inputs": "The striker scored twice in the final."},
                {"inputs": ["股市今日上涨", "球队夺得冠军"], "top_k": 1},
            ]
        },
    )

    inputs: str | Annotated[list[str], Field(min_length=1)] = Field(description="A text, or a list of texts")
    top_k: int | None = Field(None, ge=1, description="Labels in each answer; all of them if left out")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Labels that score less are left out; the service's own if left out"
    )

    @field_validator("inputs", mode="before")
    @classmethod
    def _texts_only(cls, value: Any) -> Any:
        if isinstance(value, list):
            if not value:
                raise ValueError("the list is empty; expected at least one text")
            for index, item in enumerate(value):
                if not isinstance(item, str):
                    raise ValueError(f"item {index} is {kind_of(item)}; expected a string")
        elif not isinstance(value, str):
            raise ValueError(f"is {kind_of(value)}; expected a string or a list of strings")
        return value

    @field_validator("top_k", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        # to JSON Schema 1.0 is an integer, and so it is to callers whose numbers are all floats
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @property
    def texts(self) -> list[str]:
        """The texts as a list, also where one was given."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class Score(BaseModel):
    """A label and its probability, 0 to 1."""

    label: str
    score: float


class ErrorAnswer(BaseModel):
    """Why a request was not answered."""

    error: str
    request_id: str | None = None


def parse_request(body: bytes | bytearray, config: ServeConfig) -> PredictRequest:
    """The texts in ``body``; RefusalError as :func:`parse`, and 413 where they are too many or too long."""
    request = parse(body, PredictRequest, config)
    check_limits("inputs", request.texts, config)
    return request


def parse(
    body: bytes | bytearray,
    kind: type[Wanted],
    config: ServeConfig,
    explain: Callable[[Any], str] | None = None,
) -> Wanted:
    """The request in ``body``; RefusalError 400 where it is not JSON in UTF-8, 413 or 422 where it is wrong.

    ``explain`` puts a problem that pydantic found in words, where ours do not fit. The first one is told.
    """
    body = body.removeprefix(BOM)
    check_structure(body, config.max_values)
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
    """RefusalError 400 that says where ``body`` is not UTF-8."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusalError(400, f"the body is not UTF-8 at byte {error.start}") from None


def check_limits(field: str, texts: Sequence[str], config: ServeConfig) -> None:
    """RefusalError 413 where there are too many ``texts``, or one is too long."""
    if len(texts) > config.max_texts:
        raise RefusalError(
            413, f"{field}: {len(texts)} texts; at most {config.max_texts} are taken in a request"
        )
    for index, text in enumerate(texts):
        if len(text) > config.max_chars:
            raise RefusalError(
                413, f"{field}: text {index} has {len(text)} characters; at most {config.max_chars} are taken"
            )


def answer(request: PredictRequest, rankings: Sequence[Sequence[Prediction]]) -> list[Any]:
    """The answer as JSON-like data: one list for a text, a list of lists for a list."""
    lists = [[{"label": p.label, "score": p.score} for p in ranking] for ranking in rankings]
    return lists[0] if isinstance(request.inputs, str) else lists


def _explain(problem: Any, kind: type[BaseModel]) -> str:
    first = next(iter(kind.model_fields))
    expected = f'expected {{"{first}": "a text"}}'
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
    """The place of a problem that pydantic found: names and indices with dots between."""
    return ".".join(clipped(str(part)) for part in problem["loc"])


def kind_of(value: Any) -> str:
    """What ``value`` is, in words of JSON."""
    kinds = {type(None): "null", bool: "a boolean", int: "a number", float: "a number"}
    return {**kinds, str: "a string", list: "a list", dict: "an object"}.get(type(value), "of another type")
