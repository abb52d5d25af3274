"""Views: parts of a feature row that are classified separately.

sentence   the sentence embedding
layers     the sentence beside the layer below, which is less bound to the encoder's own training
opening    the first words: what a question asks for stands there, what a text is about does not

A row of features is BLOCKS blocks of width d, all of one length, so that a linear
classifier of a view is one of the whole row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "SENTENCE", "VIEWS", "View", "views_of"]

BLOCKS = 3
"""Of a row that :class:`react_ray.data.encode.Encoder` makes."""


@dataclass(frozen=True)
class View:
    """A range of blocks of a feature row, scaled to length 1."""

    name: str
    first: int
    count: int

    def of(self, features: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
        """Extract the view from rows of ``blocks`` blocks: n x (count * d)."""
        return features[:, self._columns(features.shape[1], blocks)] * np.float32(self._scale(blocks))

    def unfold(self, weights: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
        """Convert weights of this view (K x count * d) to weights of the whole row."""
        width = weights.shape[1] // self.count * blocks
        whole = np.zeros((len(weights), width), np.float32)
        whole[:, self._columns(width, blocks)] = weights * self._scale(blocks)
        return whole

    def _columns(self, width: int, blocks: int) -> slice:
        block = width // blocks
        return slice(self.first * block, (self.first + self.count) * block)

    def _scale(self, blocks: int) -> float:
        return float((blocks / self.count) ** 0.5)


SENTENCE = View("sentence", 0, 1)
VIEWS = (SENTENCE, View("layers", 0, 2), View("opening", 2, 1))


def views_of(blocks: int) -> Sequence[View]:
    """Return the views of rows with ``blocks`` blocks."""
    return VIEWS if blocks == BLOCKS else (SENTENCE,)
