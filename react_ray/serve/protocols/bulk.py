"""POST /bulk: streams an answer for each line of the request body.

The whole body is read before the first answer, within its limit. Reading it lazily would
not bound memory: Serve's proxy buffers a body as fast as it arrives, whether the replica
reads it or not. So the number of concurrent requests is limited, too.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from react_ray.answer import Answer
from react_ray.config.service import ServeConfig
from react_ray.inference.inputs import Row, expected, has_lists, kind_of
from react_ray.serve.limits.body import LINES, check_content_type, read_body
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.limits.structure import check_structure, most_values
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.examples import answer_example, entries_schema, input_schema, sample_input
from react_ray.serve.protocols.messages import BOM, row_of
from react_ray.serve.service import Service
from react_ray.tasks.task import Task

__all__ = ["add_bulk"]

AT_A_TIME = 64
"""Lines that are answered together: a slow model must have some done before the time limit of a request."""
BYTES_AT_A_TIME = 1 << 15
"""Bytes of lines that are processed together where every word is read: they take memory until answered."""
COME_AGAIN_S = 5
"""Seconds after which a place may be free: a bulk request is seconds of work."""
VALUES_A_LINE = 100
"""JSON values; a line with a text needs five."""
BYTES_A_CHARACTER = 12
"""Maximum bytes of a character in JSON, as two escapes; longer lines are not parsed."""
REST_OF_LINE = 4096
"""Bytes of a line beside its text: the id, names, white space."""
BYTES_A_TURN = 1 << 16
"""Bytes that are parsed before other requests get their turn."""
MAX_OFFSET = 10**15
"""Lines; so every number in an answer is one that JSON parsers with floats take in exactly."""

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class _Line:
    """A row, or the error of its line; ``extra`` is added to the answer."""

    row: Row | None
    extra: dict[str, Any]


class _Places:
    """Limit of concurrent requests: each has its lines in memory until they are answered."""

    def __init__(self, number: int):
        self._number = self._free = number

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place; RefusalError 429 if none is free."""
        if not self._free:
            message = f"{self._number} bulk requests are at work here; come again in {COME_AGAIN_S} s"
            headers = {"retry-after": str(COME_AGAIN_S), "connection": "close"}  # the body is not read
            raise RefusalError(429, message, headers)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class _Answer(StreamingResponse):
    """Streaming response that holds its place until it is sent, or the reader is gone."""

    def __init__(self, content: AsyncIterator[bytes], place: ExitStack):
        super().__init__(content, media_type=LINES)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def add_bulk(app: FastAPI, service: Service) -> None:
    """Add the route."""
    places = _Places(service.config.max_bulk_ongoing)

    @app.post(
        "/bulk",
        summary="Answer the lines of a file",
        response_class=StreamingResponse,
        responses=_described_answers(service),
        openapi_extra={"requestBody": {"required": True, "content": {LINES: _described_body(service.task)}}},
    )
    async def bulk(
        request: Request,
        offset: Annotated[
            int, Query(ge=0, le=MAX_OFFSET, description="The number of the first line that is sent")
        ] = 0,
    ) -> Response:
        config = service.config
        check_content_type(request.headers, LINES)
        with ExitStack() as place:
            place.enter_context(places.taken())
            body = (await read_body(request, config, config.max_bulk_bytes)).removeprefix(BOM)
            return _Answer(_answers(service, body, _count(body, config), offset), place.pop_all())


def _count(body: bytearray, config: ServeConfig) -> int:
    """Count the lines of ``body``; RefusalError 413 if there are too many."""
    number = body.count(b"\n") + (not body.endswith(b"\n") and len(body) > 0)
    if number > config.max_bulk_lines:
        raise RefusalError(
            413, f"{number} lines were sent; at most {config.max_bulk_lines} are taken at a time"
        )
    return number


def _lines(body: bytearray) -> Iterator[bytearray]:
    """Yield the lines of ``body``; a list of them would need many times its memory."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _groups(lines: Iterator[bytearray], most: int) -> Iterator[list[bytearray]]:
    """Group lines: at most AT_A_TIME lines and ``most`` bytes, but at least one line."""
    group: list[bytearray] = []
    size = 0
    for line in lines:
        if group and (len(group) == AT_A_TIME or size + len(line) > most):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield group


async def _answers(service: Service, body: bytearray, count: int, offset: int) -> AsyncIterator[bytes]:
    most = BYTES_AT_A_TIME if has_lists(service.task) else len(body)
    start = offset
    running: deque[asyncio.Task[bytes]] = deque()
    try:
        for group in _groups(_lines(body), most):
            running.append(asyncio.create_task(_answer(service, group, start)))
            start += len(group)
            if len(running) > 1:  # the model has the next group while this one's answers go out
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:  # the caller went away
            task.cancel()
    yield _encoded({"done": True, "lines": offset + count})


async def _answer(service: Service, lines: Sequence[bytearray], first: int) -> bytes:
    parsed = await _parsed(service, lines, first)
    rows = [line.row for line in parsed.values() if line.row is not None]
    outcomes = iter(await service.outcomes(rows, ranked=1) if rows else [])
    size = sum(map(len, lines))
    return await service.apart(size, lambda: b"".join(_answer_lines(service, parsed, outcomes)))


async def _parsed(service: Service, lines: Sequence[bytearray], first: int) -> dict[int, _Line]:
    parsed, size = {}, 0
    for number, line in enumerate(lines, first):
        size += len(line)
        if size > BYTES_A_TURN:
            await asyncio.sleep(0)
            size = 0
        if line.strip():
            parse = partial(parse_line, line, service.task, service.config)
            parsed[number] = await service.apart(len(line), parse)
    return parsed


def _answer_lines(
    service: Service, parsed: dict[int, _Line], outcomes: Iterator[Answer | Exception]
) -> Iterator[bytes]:
    for number, line in parsed.items():
        answer = {"line": number, **line.extra}
        if line.row is not None:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                logger.error("bulk: the model failed on line %d", number, exc_info=outcome)
                answer["error"] = "the model failed on this text"
            else:
                answer |= _content(service, outcome, line.row)
        yield _encoded(answer)


def _content(service: Service, answer: Answer, row: Row) -> dict[str, Any]:
    """Format the best label and its score, or the whole answer of other tasks."""
    entries = service.format_answer(answer, row)
    if service.task.answers != "label":
        return {"answer": entries, "score": answer.score}
    return {"label": answer.value if entries else None, "score": answer.score}


def parse_line(line: bytes | bytearray, task: Task, config: ServeConfig) -> _Line:
    """Parse ``line`` to a row, or to the error that is its answer."""
    most = BYTES_A_CHARACTER * config.max_chars + REST_OF_LINE
    try:
        check_structure(line[:most], most_values(config, lists=True) if has_lists(task) else VALUES_A_LINE)
        if len(line) > most:
            return _error_line(f"has {len(line)} bytes; a line has at most {most}")
        value = from_json(line)
    except RefusalError:
        return _error_line(f"not JSON, or too many values; expected {expected(task)}")
    except ValueError as error:
        return _error_line(_reason(line, str(error), task))
    if isinstance(value, str):
        return _line(value, task, config, {})
    if not isinstance(value, dict):
        return _error_line(f"is {kind_of(value)}; expected {expected(task)}")
    extra = {}
    if "id" in value:
        if type(value["id"]) not in (str, int):
            return _error_line(f"id is {kind_of(value['id'])}; expected a string or a whole number")
        extra = {"id": value.pop("id")}
    return _line(value, task, config, extra)


def _line(value: Any, task: Task, config: ServeConfig, extra: dict[str, Any]) -> _Line:
    try:
        return _Line(row_of(value, task, config), extra)
    except RefusalError as error:
        return _error_line(f"text {error.message}", extra)
    except ValueError as error:
        return _error_line(str(error), extra)


def _reason(line: bytes | bytearray, error: str, task: Task) -> str:
    """Return the reason why a line is invalid."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"not UTF-8 at byte {wrong.start}"
    return "has half of a surrogate pair" if "hex escape" in error else f"not JSON; expected {expected(task)}"


def _error_line(problem: str, extra: dict[str, Any] | None = None) -> _Line:
    return _Line(None, {**(extra or {}), "error": problem})


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _described_body(task: Task) -> dict[str, Any]:
    extra = {
        "id": {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "Comes back in the answer"}
    }
    sample = sample_input(task)
    cells = sample if isinstance(sample, dict) else {"text": sample}
    lines = [{**cells, "id": 7}, sample]
    return {
        "schema": {"description": "On each line", **input_schema(task, extra)},
        "example": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
    }


def _described_answers(service: Service) -> dict[int | str, dict[str, Any]]:
    config, task = service.config, service.task
    answered = {"line": {"type": "integer"}, "id": {}}
    named = (
        {"label": {"type": ["string", "null"]}}
        if task.answers == "label"
        else {"answer": entries_schema(task)}
    )
    kinds: list[dict[str, Any]] = [
        {**answered, **named, "score": {"type": "number"}},
        {**answered, "error": {"type": "string"}},
        {"done": {"const": True}, "lines": {"type": "integer"}},
    ]
    shown = answer_example(task, service.labels)
    content = {"label": service.labels[0]} if task.answers == "label" else {"answer": shown}
    first = {"line": 0, "id": 7, **content, "score": 0.9}
    schema = {
        "description": "On each line",
        "anyOf": [
            {"type": "object", "properties": kind, "required": [name for name in kind if name != "id"]}
            for kind in kinds
        ],
    }
    refused = {
        408: f"No body within {config.body_timeout_s:g} s",
        413: f"Over {config.max_bulk_bytes} bytes, or over {config.max_bulk_lines} lines",
        415: f"Not {LINES}",
        422: "offset is not a whole number of 0 or more",
        429: f"{config.max_bulk_ongoing} bulk requests are at work; Retry-After says when to come again",
    }
    example = (_encoded(first) + _encoded({"done": True, "lines": 1})).decode()
    return {
        200: {
            "description": "A line for each that is not blank, in their order; where the last is missing, "
            "the answer was cut: send the rest with its offset",
            "content": {LINES: {"schema": schema, "example": example}},
        },
        **refusals(refused),
    }
