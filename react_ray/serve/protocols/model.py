"""GET /model: what is served, and what may be asked of it."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel, Field

from react_ray.serve.service import Service

__all__ = ["Limits", "Model", "add_model"]


class Limits(BaseModel):
    """What a request may hold, and below which score a label is left out unless it says so."""

    max_texts: int
    max_chars: int
    max_body_bytes: int
    max_explain_words: int
    threshold: float


class Model(BaseModel):
    """What is served."""

    labels: list[str]
    version: str = Field(description="A hash of the weights, labels and tokenizer")
    engine: str = Field(description="What computes the model, and how precisely")
    max_length: int = Field(description="Tokens of a text that the model reads")
    limits: Limits
    card: str | None = Field(description="The model card, Markdown; null where the model has none")


def add_model(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.get("/model", summary="What is served, and what may be asked of it")
    async def model() -> Model:
        limits = {
            **service.config.model_dump(include=set(Limits.model_fields)),
            "threshold": service.threshold,
        }
        return Model(
            labels=service.labels,
            version=service.about.version,
            engine=service.about.engine,
            max_length=service.max_length,
            limits=Limits(**limits),
            card=service.about.card,
        )
