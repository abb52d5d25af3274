"""GET /model: what is served, and what may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from react_ray.folders import model_folder, model_version

__all__ = ["About", "Limits", "Model", "read_about"]


@dataclass(frozen=True)
class About:
    """What the folder of a model says of it, read once when the model is loaded."""

    version: str
    card: str | None
    engine: str


def read_about(model: str | Path, engine: str) -> About:
    """Read the folder ``model`` or, as for a run, the ``model/`` inside it."""
    folder = model_folder(model)
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    return About(model_version(folder), text, engine)


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
