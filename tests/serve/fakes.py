"""A saved model that computes nothing, for what is around a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from react_ray.inference.saved import SavedModel
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs, Padding

__all__ = ["FakeModel", "FakeTokenizer"]


class FakeTokenizer(TextTokenizer):
    """One token a text."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.of(text) for text in texts]

    def of(self, text: str) -> list[int]:
        return [1]

    def reach(self, text: str) -> int:
        return len(text)

    def _backend(self) -> Tokenizer:
        raise AssertionError("the fake does all the work itself")


class FakeModel(SavedModel):
    """Gives every text the probabilities of :meth:`probabilities`, by its token ids."""

    def __init__(
        self,
        labels: Sequence[str] = ("a", "b"),
        tokenizer: TextTokenizer | None = None,
        task: Any = None,
    ) -> None:
        tokenizer = tokenizer or FakeTokenizer(8, "right")
        super().__init__(task or get_task("text-classification"), labels, {}, tokenizer, Padding(0, "right"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        found = self.probabilities([example.ids for example in examples])
        return list(np.log(found.astype(np.float64)))

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        return np.full((len(encoded), len(self.labels)), 1 / len(self.labels), dtype=np.float32)
