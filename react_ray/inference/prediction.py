"""A label with its score, and the ranking of a row of probabilities; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prediction", "rank"]


@dataclass(frozen=True)
class Prediction:
    """A label and the probability the model gives it, 0 to 1."""

    label: str
    score: float


def rank(
    probabilities: NDArray[np.float32], labels: Sequence[str], top: int | None = None
) -> list[Prediction]:
    """The labels of one text, best first, at most ``top`` of them; ties in label order."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [Prediction(labels[i], float(probabilities[i])) for i in order]
