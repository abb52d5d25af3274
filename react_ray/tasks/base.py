"""What a task is to the rest of the package: a small object behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Example", "Task"]


@dataclass(frozen=True)
class Example:
    """One tokenised input of the model; a row of the data may give several."""

    ids: list[int]
    target: Any
    weight: float = 1.0


class Task(Protocol):
    """Everything that differs between tasks; pipeline, training and serving use only this."""

    name: str
    columns: tuple[str, ...]
    """Columns of the input files, by their default names."""
    metrics: tuple[str, ...]
    """Keys of :meth:`score`; higher is better."""
    augmentations: tuple[str, ...]
    """Operations that leave the target valid; others would need the target changed too."""

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """The pretrained model ``name`` with this task's head; dropout None: the model's own."""

    def encode(
        self, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, labels: Sequence[str], max_length: int
    ) -> list[Example]:
        """Tokenise training rows."""

    def collate(
        self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The model's inputs, padded to the longest example, and the targets."""

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each example (n), unweighted."""

    def warm_start(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> bool:
        """Fit the untrained head to ``examples`` in closed form; False where that is not possible."""

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Give the untrained head of ``name`` a classifier of its frozen features.

        ``weights`` K x d, ``bias`` K; False where the head does not read those features.
        """

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> dict[str, float]:
        """Each of ``metrics`` on ``rows``, for a model in evaluation mode."""

    def calibrate(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> dict[str, float]:
        """Make the model's probabilities fit ``rows``, in place; what was changed, to be logged."""
