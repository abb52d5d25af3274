"""POST /predict: answers to one or several inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from react_ray.inference.inputs import reads_words
from react_ray.serve.limits.body import JSON, check_content_type, read_body
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.examples import (
    answer_example,
    answer_order,
    answer_schema,
    request_schema,
    top_k_meaning,
)
from react_ray.serve.protocols.messages import GenerateRequest, answer, parse_request, request_model
from react_ray.serve.protocols.streaming import EVENTS, EventsResponse, events, wants_events
from react_ray.serve.service import Service

__all__ = ["add_prediction", "described_limits", "described_refusals"]


def add_prediction(app: FastAPI, service: Service) -> None:
    """Add the route."""
    task = service.task
    schema = request_schema(task, request_model(task).model_json_schema(), top_k_meaning(task))

    @app.post(
        "/predict",
        summary=f"Answer one input or several: {service.task.title}",
        responses=_described_answers(service),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
        },
    )
    async def predict(request: Request) -> Response:
        check_content_type(request.headers, JSON)
        body = await read_body(request, service.config)
        parsed = partial(parse_request, body, service.config, service.task)
        query, rows = await service.apart(len(body), parsed)
        limit = None
        if isinstance(query, GenerateRequest):
            limit = query.max_new_tokens
            if wants_events(request, query):
                return EventsResponse(events(service, query, rows[0]))
        answers = await service.predict(rows, query.top_k, query.threshold, limit)
        return await service.apart(len(body), lambda: JSONResponse(answer(query, answers)))


def _described_answers(service: Service) -> dict[int | str, dict[str, Any]]:
    task = service.task
    example = answer_example(task, service.labels)
    content: dict[str, Any] = {
        "application/json": {"schema": answer_schema(task), "example": example},
    }
    described = f"One list for an input, one per input for a list; {answer_order(task)}"
    if task.generates:
        content[EVENTS] = {"schema": {"type": "string"}, "example": 'data: {"text": "The striker"}'}
        described += ". With stream or Accept: text/event-stream, pieces of the text and then the answer"
    return {
        200: {"description": described, "content": content},
        **refusals(described_refusals(service)),
    }


def described_limits(service: Service) -> str:
    """Describe the limits of a request."""
    config = service.config
    words = [f"{config.max_words} words"] if reads_words(service.task) else []
    texts = f"{config.max_texts} texts", f"{config.max_chars} characters a text"
    return ", ".join([f"{config.max_body_bytes} bytes", *texts, *words])


def described_refusals(service: Service) -> dict[int, str]:
    """Describe by status when a request with inputs is rejected."""
    config = service.config
    return {
        400: "Not JSON in UTF-8",
        408: f"No body within {config.body_timeout_s:g} s",
        413: f"Over the limits: {described_limits(service)}",
        415: "Not application/json",
        422: "Not an input of the task, or a list of them",
        500: "The model failed; the number leads to the server's log",
    }
