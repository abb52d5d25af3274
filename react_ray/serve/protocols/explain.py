"""POST /explain: the weight of each word of a text for the score of a label."""

from __future__ import annotations

import json

import numpy as np
from fastapi import FastAPI, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from react_ray.serve.engine.word_plan import CharacterSpan, Plan
from react_ray.serve.limits.body import JSON, check_content_type, read_body
from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.messages import parse
from react_ray.serve.service import Service
from react_ray.tasks.task import Task

__all__ = ["ExplainAnswer", "ExplainRequest", "add_explanation", "can_explain"]


class ExplainRequest(BaseModel):
    """A text to explain."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"input": "The striker scored twice in the final."}]},
    )

    input: str = Field(description="A text")
    label: str | None = Field(None, description="What to explain; the best label if left out")


class WordWeight(BaseModel):
    """Characters ``start`` to ``end`` of the text: a word, or several of a long text."""

    text: str
    start: int
    end: int
    weight: float


class ExplainAnswer(BaseModel):
    """A label, its score, and the weight of each word; below 0 it is evidence against the label."""

    label: str
    score: float
    words: list[WordWeight]


def can_explain(task: Task) -> bool:
    """Return whether the task has a single label for a single text."""
    return task.answers == "label" and [field.name for field in task.inputs] == ["text"]


def add_explanation(app: FastAPI, service: Service) -> None:
    """Add the route."""
    schema = ExplainRequest.model_json_schema()
    schema["properties"]["label"]["anyOf"][0]["enum"] = service.labels
    content = {"application/json": {"schema": schema}}
    limits = f"{service.config.max_body_bytes} bytes, {service.config.max_chars} characters"
    refused = {
        400: "Not JSON in UTF-8",
        413: f"Over the limits: {limits}",
        415: "Not application/json",
        422: "Not a text, a label that the model does not know, or a task without explanations",
        408: f"No body within {service.config.body_timeout_s:g} s",
        500: "The model failed; the number leads to the server's log",
    }

    @app.post(
        "/explain",
        summary="Which words speak for a label",
        description="The weight of a word is the score of the label less the score without that word. "
        f"At most {service.config.max_explain_words} words; in a longer text, spans of words. "
        "Offsets count characters (code points).",
        responses=refusals(refused),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def explain(request: Request) -> ExplainAnswer:
        if not can_explain(service.task):
            raise RefusalError(
                422, f"{service.task.title} is not explained: only a label of one text alone can be"
            )
        check_content_type(request.headers, JSON)
        parsed = parse(await read_body(request, service.config), ExplainRequest, service.config)
        _check(parsed, service)
        plan = await service.plan(parsed.input)
        scores = np.stack(await service.explore(plan.texts))
        return _explanation(parsed, plan, scores, service.labels)


def _check(request: ExplainRequest, service: Service) -> None:
    most = service.config.max_chars
    if len(request.input) > most:
        raise RefusalError(413, f"input has {len(request.input)} characters; at most {most} are taken")
    if request.label is not None and request.label not in service.labels:
        labels = json.dumps(service.labels, ensure_ascii=False)
        raise RefusalError(422, f"label: {clipped(request.label)!r} is not one of {labels}")


def _explanation(
    request: ExplainRequest, plan: Plan, scores: NDArray[np.float32], labels: list[str]
) -> ExplainAnswer:
    column = int(scores[0].argmax()) if request.label is None else labels.index(request.label)
    full_score, *partial = scores[:, column].tolist()

    def word(span: CharacterSpan, weight: float) -> WordWeight:
        text = request.input[span.start : span.end]
        return WordWeight(text=text, start=span.start, end=span.end, weight=weight)

    words = [word(span, full_score - score) for span, score in zip(plan.spans, partial, strict=True)]
    if plan.unread:
        words.append(word(plan.unread, 0))
    return ExplainAnswer(label=labels[column], score=full_score, words=words)
