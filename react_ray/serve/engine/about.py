"""Metadata in the folder of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from react_ray.folders import model_version

__all__ = ["About", "read_about"]


@dataclass(frozen=True)
class About:
    """Version, model card and engine of a model, read once when it is loaded."""

    version: str
    card: str | None
    engine: str


def read_about(folder: Path, engine: str) -> About:
    """Read the metadata in the folder of a model."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    return About(model_version(folder), text, engine)
