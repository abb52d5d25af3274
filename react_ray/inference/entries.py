"""Entries of an answer in JSON: those that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from react_ray.answer import Answer

__all__ = ["Entry", "above", "best_of", "surest"]

Entry = dict[str, Any]
"""One thing that an answer names, as JSON: a label or an entity, with its score."""


def best_of(entries: list[Entry], answer: Answer, top: int | None) -> list[Entry]:
    """Return ``top`` entries: the best labels of the ranking, or the entities with the highest scores."""
    if top is None:
        return entries
    if all("label" in entry for entry in entries):
        return [{"label": label, "score": score} for label, score in answer.ranking[:top]]
    return surest(entries, top)


def above(limit: float, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries with a score of at least ``limit``."""
    return [entry for entry in entries if entry["score"] >= limit]


def surest(entries: list[Entry], top: int | None) -> list[Entry]:
    """Return the ``top`` entries with the highest scores, in their original order."""
    best = sorted(range(len(entries)), key=lambda place: -entries[place]["score"])[:top]
    return [entries[place] for place in sorted(best)]
