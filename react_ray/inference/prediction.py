"""Predictions of a service or a loaded model; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entity", "GeneratedText", "Prediction", "SpanAnswer", "Triple", "rank", "typed"]


@dataclass(frozen=True)
class Prediction:
    """A label and its probability, 0 to 1.

    Example
    -------
    >>> Prediction("sports", 0.9).label
    'sports'
    """

    label: str
    score: float


@dataclass(frozen=True)
class Entity:
    """An entity: its type, its score, and the characters ``start`` to before ``end`` of the text.

    Example
    -------
    >>> entity = Entity("PER", 0.98, "Ada Lovelace", 0, 12)
    >>> "Ada Lovelace wrote programs"[entity.start : entity.end]
    'Ada Lovelace'
    """

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Triple:
    """A relation between two entities of a text: the words of ``head`` and ``tail``, and the relation type.

    ``score`` is the product of the scores of both entities and of the relation.

    Example
    -------
    >>> Triple("Ada", "lives in", "Paris", 0.8, "PER", 0, 3, "LOC", 13, 18).tail
    'Paris'
    """

    head: str
    relation: str
    tail: str
    score: float
    head_entity_group: str
    head_start: int
    head_end: int
    tail_entity_group: str
    tail_start: int
    tail_end: int


@dataclass(frozen=True)
class SpanAnswer:
    """An answer taken from a context, its score, and the characters ``start`` to before ``end`` there.

    ``answer`` is empty where the context has none.

    Example
    -------
    >>> found = SpanAnswer("Paris", 0.8, 13, 18)
    >>> "Ada lives in Paris"[found.start : found.end]
    'Paris'
    """

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True)
class GeneratedText:
    """A summary or a translation, and its score.

    Example
    -------
    >>> GeneratedText("It rained.", 0.7).text
    'It rained.'
    """

    text: str
    score: float


TEXTS = ("summary_text", "translation_text")


def typed(entries: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Convert the answer to one input from JSON.

    Example
    -------
    >>> typed([{"label": "sports", "score": 0.9}])
    [Prediction(label='sports', score=0.9)]
    """
    return [_typed(entry) for entry in entries]


def _typed(entry: Mapping[str, Any]) -> Any:
    if "entity_group" in entry:
        return Entity(**entry)
    if "answer" in entry:
        return SpanAnswer(**entry)
    text = next((entry[name] for name in TEXTS if name in entry), None)
    return Prediction(**entry) if text is None else GeneratedText(text, entry["score"])


def rank(
    probabilities: NDArray[np.float32], labels: Sequence[str], top: int | None = None
) -> list[Prediction]:
    """Rank the labels of one text, best first, at most ``top``; ties in label order."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [Prediction(labels[i], float(probabilities[i])) for i in order]
