"""Text classification: one of several classes per text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.closed import ClosedTask
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.task import Example
from react_ray.tasks.windows import text_examples

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["TEXT_CLASSIFICATION", "TextClassification", "distributions"]


class TextClassification(ClosedTask):
    """One of several classes for a text: sentiment, topic, intent."""

    name = "text-classification"
    title = "text classification"
    long_texts = "windows"

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load a sequence classifier over ``labels``; a head for other labels is replaced."""
        from react_ray.models.heads import load_sequence_classifier

        return load_sequence_classifier(name, labels, dropout, "single_label_classification")

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode the columns text and, if present, label (a name or a distribution) and weight."""
        labeled = "label" in rows.column_names
        targets = distributions(rows["label"], labels) if labeled else [None] * len(rows)
        return text_examples(tokenizer, rows, list(targets))

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Initialize the head with a linear classifier of the features (sentence encoders only)."""
        from react_ray.models.heads import start_from

        return start_from(model, name, weights, bias)


TEXT_CLASSIFICATION = TextClassification()


def distributions(column: pa.ChunkedArray, labels: Sequence[str]) -> NDArray[np.float32]:
    """Convert a label column (names, or lists of probabilities) to an n x K array."""
    if pa.types.is_list(column.type):
        numbers = column.combine_chunks().flatten().to_numpy().astype(np.float32)
        return numbers.reshape(len(column), len(labels))
    indices = LabelMap(tuple(labels)).indices(column.to_pylist())
    return (indices[:, None] == np.arange(len(labels))).astype(np.float32)
