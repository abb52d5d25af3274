"""A token classifier that knows three words, and questions to a service in the process of the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
from fakes import FakeTokenizer

from react_ray.inference.saved import SavedModel
from react_ray.models.tokenizer import Window
from react_ray.serve.service import Service
from react_ray.serve.web import build_app
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs, Padding

__all__ = ["FOUND", "MARKED", "TEXT", "Tagger", "talk"]

TEXT = "Ada met Bob in Paris"
FOUND = [("PER", "Ada", 0, 3), ("PER", "Bob", 8, 11), ("LOC", "Paris", 15, 20)]
MARKED = {"Ada": 3, "Bob": 3, "Paris": 1}
"""Words and the tags that the model gives them, of O, B-LOC, I-LOC, B-PER and I-PER."""
SURE = {"Bob": 1.0}
"""Logits of words that the model is less sure of than 9."""


class Words(FakeTokenizer):
    """A token a word, with one before and one behind; the model reads 8 at a time."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [window.ids for window in (some[0] for some in self.windows(texts, 0))]

    def windows(self, texts: Sequence[str], stride: int) -> list[list[Window]]:
        return [list(self._windows(text)) for text in texts]

    def _windows(self, text: str) -> list[Window]:
        places, at = [], 0
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            places.append((start, at))
        parts = [places[first : first + 6] for first in range(0, len(places), 6)] or [[]]
        return [
            Window(
                [0, *(self.number(text[start:end]) for start, end in part), 0],
                [0] * (len(part) + 2),
                [(0, 0), *part, (0, 0)],
                [None, *[0] * len(part), None],
            )
            for part in parts
        ]

    def number(self, word: str) -> int:
        return {"Ada": 1, "Bob": 2, "Paris": 3, "POISON": 4}.get(word, 5)


class Tagger(SavedModel):
    """Knows three words; fails on a fourth."""

    def __init__(self) -> None:
        task = get_task("token-classification")
        super().__init__(task, ["LOC", "PER"], {}, Words(8, "right"), Padding(0, "right"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [self._logits(example) for example in examples]

    def _logits(self, example: Example) -> Any:
        words = dict(enumerate(MARKED, start=1))
        found = np.zeros((len(example.places.tokens), 5), np.float32)
        for place, token in enumerate(example.places.tokens):
            number = example.ids[token]
            if number == 4:
                raise RuntimeError("poison")
            word = words.get(number)
            found[place, MARKED[word] if word else 0] = SURE.get(word or "", 9)
        return found


def talk(service: Service, *requests: tuple[str, Any]) -> list[httpx2.Response]:
    """The answers to requests: path and body; None to GET."""

    async def run() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return [await _send(http, path, body) for path, body in requests]

    return asyncio.run(run())


async def _send(http: httpx2.AsyncClient, path: str, body: Any) -> httpx2.Response:
    if body is None:
        return await http.get(path)
    kind = "application/x-ndjson" if path == "/bulk" else "application/json"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await http.post(path, content=content, headers={"Content-Type": kind})
