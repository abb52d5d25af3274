"""Views: parts of a feature row that are classified separately.

sentence   the sentence embedding
layers     the sentence beside the layer below, which is less bound to the encoder's own training
opening    the first words: what a question asks for stands there, what a text is about does not

An encoder makes BLOCKS blocks of a row, all of one width and length, so that a linear classifier of a view
is one of the whole row. The blocks of several encoders stand side by side, and each encoder has its views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "SENTENCE", "VIEWS", "View", "side_by_side", "views_of"]

BLOCKS = 3
"""Blocks of a row of features by :class:`react_ray.data.encode.Encoder`."""


@dataclass(frozen=True)
class View:
    """A range of blocks of an encoder, scaled to length 1.

    ``encoder`` is its place among those of a row; None: the same blocks of every encoder.
    """

    name: str
    first: int
    count: int
    encoder: int | None = None

    def of(self, features: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
        """Extract the view from rows of ``blocks`` blocks: n x d."""
        return features[:, self._columns(features.shape[1], blocks)] * np.float32(self._scale(blocks))

    def unfold(self, weights: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
        """Convert weights of this view (K x d) to weights of the whole row."""
        width = weights.shape[1] // len(self._places(blocks)) * blocks
        row_weights = np.zeros((len(weights), width), np.float32)
        row_weights[:, self._columns(width, blocks)] = weights * self._scale(blocks)
        return row_weights

    def _places(self, blocks: int) -> list[int]:
        encoders = range(max(1, blocks // BLOCKS)) if self.encoder is None else (self.encoder,)
        return [encoder * BLOCKS + self.first + block for encoder in encoders for block in range(self.count)]

    def _columns(self, width: int, blocks: int) -> slice | NDArray[np.int64]:
        block, places = width // blocks, self._places(blocks)
        if len(places) == self.count:
            return slice(places[0] * block, (places[-1] + 1) * block)
        return np.concatenate([np.arange(place * block, (place + 1) * block) for place in places])

    def _scale(self, blocks: int) -> float:
        return float((blocks / len(self._places(blocks))) ** 0.5)


SENTENCE = View("sentence", 0, 1)
VIEWS = (SENTENCE, View("layers", 0, 2), View("opening", 2, 1))


def views_of(blocks: int) -> Sequence[View]:
    """Return the views of rows with ``blocks`` blocks; with several encoders, a number follows the name."""
    encoders, rest = divmod(blocks, BLOCKS)
    if rest or not encoders:
        return (SENTENCE,)
    if encoders == 1:
        return VIEWS
    return [
        replace(view, name=f"{view.name} {encoder + 1}", encoder=encoder)
        for encoder in range(encoders)
        for view in VIEWS
    ]


def side_by_side(parts: Sequence[NDArray[np.float32]], blocks: int = BLOCKS) -> NDArray[np.float32]:
    """Return the rows of several encoders, each n x ``blocks`` blocks, as rows of length 1.

    Narrower blocks are filled with zeros up to the widest, which changes no product of two rows.

    >>> side_by_side([np.array([[3, 4]], np.float32), np.array([[5]], np.float32)], blocks=1).round(2)
    array([[2.12, 2.83, 3.54, 0.  ]], dtype=float32)
    """
    if len(parts) == 1:
        return parts[0]
    rows, width = len(parts[0]), max(part.shape[1] for part in parts) // blocks
    joined = np.zeros((rows, len(parts), blocks, width), np.float32)
    for place, part in enumerate(parts):
        part_width = part.shape[1] // blocks
        joined[:, place, :, :part_width] = part.reshape(rows, blocks, part_width)
    return joined.reshape(rows, len(parts) * blocks * width) * np.float32(len(parts) ** -0.5)
