"""The worst bodies for a model that reads every word, and such models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from fakes import FakeModel, FakeTokenizer

from react_ray.models.tokenizer import Window
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs

__all__ = ["AllEntities", "AllRelated", "lines_of", "word_bodies"]

WINDOW = 510


class Characters(FakeTokenizer):
    """A token a character, in windows."""

    def windows(self, texts: Sequence[str], stride: int) -> list[list[Window]]:
        return [
            [self._window(start, text) for start in range(0, max(1, len(text)), WINDOW)] for text in texts
        ]

    def _window(self, start: int, text: str) -> Window:
        end = min(start + WINDOW, len(text))
        places = [(place, place + 1) for place in range(start, end)]
        ids = [1000 + place for place in range(start, end)]  # numbers that Python does not share
        return Window([0, *ids], [], [(0, 0), *places], [None, *[0] * len(ids)])


class AllEntities(FakeModel):
    """Finds an entity in every word."""

    def __init__(self) -> None:
        super().__init__(["LOC", "PER"], Characters(512, "right"), get_task("token-classification"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        tags = np.array([0, 9, 0, 0, 0], np.float32)
        return [np.tile(tags, (len(example.places.tokens), 1)) for example in examples]


class AllRelated(FakeModel):
    """Finds a relation between any two entities."""

    def __init__(self) -> None:
        super().__init__(
            ["Home(e1,e2)", "Other"], FakeTokenizer(512, "right"), get_task("relation-extraction")
        )

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [np.array([3, 0], np.float32)] * len(examples)


def word_bodies(most: int, size: int, chars: int) -> Iterator[tuple[str, Any]]:
    """Inputs that just fit ``most`` words, and some of about ``size`` bytes that do not.

    A text has at most ``chars`` characters.
    """
    yield "marks", "." * most
    yield "marks, many texts", ["." * (most // 256)] * 256
    yield "letters", "a " * most
    yield "letters, many texts", ["a " * (most // 256)] * 256
    yield "ideographs", "股" * most
    yield "no letter that a tokenizer keeps", "\u0300" * most
    yield "long words", [("a" * 99 + " ") * (8 * most // 400)] * 4
    yield "spaces", [" " * (2 * most)] * 4
    yield "tokens", {"tokens": ["a"] * most}
    yield "tokens, many texts", [{"tokens": ["a"] * (most // 256)}] * 256
    yield "too many marks", ["." * chars] * (size // chars)
    yield "too many ideographs", ["股" * chars] * (size // chars // 3)
    yield "too many tokens", {"tokens": ["a"] * (size // 5)}
    yield "too many tokens in texts", [{"tokens": ["a"] * (size // 5 // 256)}] * 256


def lines_of(inputs: Any) -> bytes:
    """The inputs as lines of a file."""
    rows = inputs if isinstance(inputs, list) else [inputs]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
