"""Inputs of a model, and their padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnswerKind", "Example", "Inputs", "LongTexts", "Outputs", "Padding"]

AnswerKind = Literal["label", "labels", "entities", "span", "text"]
"""One class with a ranking of all, several classes, typed parts of the text, one part of it, a new text."""
LongTexts = Literal["cut", "windows", "all"]
"""Cut at the maximum length of the model, read in ``finetune.windows``, or read to the end.

Read to the end, the first text of a row is divided into windows; another text of the row is in front of each,
and is cut at half the maximum length."""

Inputs = dict[str, NDArray[np.int64]]
"""What a model reads: arrays of n x tokens by the names that transformers gives them."""
Outputs = list[NDArray[np.float32]]
"""What the model computes for each example, without padding."""


class Padding(NamedTuple):
    """Padding token of shorter examples in a batch, and its side (right or left)."""

    token: int
    side: str


@dataclass(frozen=True)
class Example:
    """An input of the model; a row may have several (windows of a long text).

    Parameters
    ----------
    ids
        Token ids.
    target
        Training target, in the form that :meth:`Task.targets` stacks; None for an unlabelled row.
    weight
        Weight of its loss.
    row
        Index of its row in the encoded table.
    types
        Token types (0 or 1), for tasks with two texts.
    places
        Token positions of the task's units (words, entities).
    text_of
        Converts generated tokens to text, for tasks that generate.
    """

    ids: list[int]
    target: Any = None
    weight: float = 1.0
    row: int = 0
    types: list[int] | None = None
    places: Any = None
    text_of: Callable[[Sequence[int]], str] | None = None
