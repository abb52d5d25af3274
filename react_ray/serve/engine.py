"""The model of a replica: token ids in, probabilities out; one bad text fails alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from react_ray.classifier import Classifier

__all__ = ["Engine", "Outcome"]

Outcome = NDArray[np.float32] | Exception
"""Probabilities of one text (labels), or why it has none."""


class Engine:
    """A classifier on the cores its replica owns."""

    def __init__(self, classifier: Classifier, threads: int):
        torch.set_num_threads(threads)
        self.labels = classifier.labels
        self.max_length = classifier.max_length
        self._classifier = classifier

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at the model's length."""
        return self._classifier.encode(texts)

    def classify(self, rows: Sequence[list[int]]) -> list[Outcome]:
        """The outcome of each row of token ids.

        Where the model fails, the rows are halved until those that make it fail are
        alone: their outcome is the error.
        """
        try:
            probabilities = self._classifier.probabilities(rows)
        except Exception as error:
            if len(rows) == 1:
                return [error]
            half = len(rows) // 2
            return self.classify(rows[:half]) + self.classify(rows[half:])
        return [row if np.isfinite(row).all() else _not_finite() for row in probabilities]

    def warm_up(self) -> None:
        """Pay the costs of first calls: a short row and a full batch."""
        word = self.encode(["a"])[0]
        longest = (word * self._classifier.max_length)[: self._classifier.max_length]
        for outcome in self.classify([word]) + self.classify([longest] * 4):
            if isinstance(outcome, Exception):
                raise outcome


def _not_finite() -> Exception:
    return ArithmeticError("the model gave a score that is not a number")
