"""GET /model: the served model and its limits."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

from react_ray.inference.inputs import input_columns, input_groups, reads_words
from react_ray.serve.protocols.examples import sample_input
from react_ray.serve.protocols.explain import can_explain
from react_ray.serve.service import Service
from react_ray.tasks.task import AnswerKind

__all__ = ["Model", "RequestLimits", "add_model"]


class RequestLimits(BaseModel):
    """Limits of a request, and the default threshold of scores."""

    max_texts: int
    max_chars: int
    max_words: int | None = Field(description="In all texts of a request; null: texts are cut, not counted")
    max_body_bytes: int
    max_explain_words: int
    threshold: float


class Input(BaseModel):
    """A column of an input."""

    name: str
    kind: str = Field(description="text, tokens (a list of strings), or spans (from and to a character)")


class Model(BaseModel):
    """Description of the served model."""

    task: str
    title: str = Field(description="The task in words")
    inputs: list[Input]
    needs: list[list[str]] = Field(description="An input has all columns of one of these groups")
    example: Any = Field(description="An input")
    answers: AnswerKind = Field(description="What an answer is")
    explains: bool = Field(description="Whether POST /explain is answered")
    labels: list[str] = Field(description="The classes")
    relations: list[str] | None = Field(description="Those of POST /triples; null where it is not answered")
    version: str = Field(description="A hash of the weights, labels and tokenizer")
    engine: str = Field(description="What computes the model, and how precisely")
    max_length: int = Field(description="Tokens of a text that the model reads")
    limits: RequestLimits
    card: str | None = Field(description="The model card, Markdown; null where the model has none")


def add_model(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.get("/model", summary="What is served, and what may be asked of it")
    async def model() -> Model:
        limits = {
            **service.config.model_dump(include=set(RequestLimits.model_fields)),
            "threshold": service.threshold,
        }
        task = service.task
        if not reads_words(task):
            limits["max_words"] = None
        return Model(
            task=task.name,
            title=task.title,
            inputs=[Input(name=column.name, kind=column.kind) for column in input_columns(task)],
            needs=[list(group) for group in input_groups(task)],
            example=sample_input(task),
            answers=task.answers,
            explains=can_explain(task),
            labels=service.labels,
            relations=service.relations.labels if service.relations else None,
            version=service.about.version,
            engine=service.about.engine,
            max_length=service.most_tokens,
            limits=RequestLimits(**limits),
            card=service.about.card,
        )
