"""The interface of a task: what a model answers for a row, and how right that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from react_ray.answer import Answer
from react_ray.models import tokens
from react_ray.models.batching import token_batches
from react_ray.models.folder import label_names
from react_ray.models.pretrained import padding_side
from react_ray.tasks.columns import Cells, Column, Options

__all__ = ["Example", "Outputs", "Task", "run_model"]

BATCH_TOKENS = 4096

Outputs = list[NDArray[np.float32]]
"""What the model computes for each example, without padding."""


@dataclass(frozen=True)
class Example:
    """One tokenised input of the model; ``target`` is None where the row has none."""

    ids: list[int]
    target: Any = None
    weight: float = 1.0


class Task(ABC):
    """Everything that differs between tasks: training, evaluation and prediction use only this.

    ``rows`` are tables with the task's columns; ``labels`` the names of the K classes, in the order of the
    model's outputs.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """In words, for people: "text classification"."""
    columns: ClassVar[tuple[Column, ...]]
    """What files may hold; those of ``needs`` must be there."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("text",),)
    """Input columns that a file has to have: all names of one of these groups."""
    inputs: ClassVar[tuple[pa.Field, ...]] = (pa.field("text", pa.string()),)
    """Input columns of a row as the run keeps it; the first is ``text``, what people are shown of a row."""
    target: ClassVar[pa.Field] = pa.field("label", pa.string())
    """Column of the target as the run keeps it; null where a row is unlabelled."""
    metrics: ClassVar[tuple[str, ...]]
    """Keys of :meth:`score`, higher is better; the first is the headline: gate, search and report use it."""

    # --- rows

    def detect(self, sample: Sequence[Cells], options: Options) -> Options:
        """Complete ``options`` from the first rows of a file."""
        return options

    @abstractmethod
    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """One row as the run keeps it: a value for each of ``inputs``, and for ``target`` (None: unlabelled).

        ``cells`` has every name of ``columns`` that the file has. Raises ValueError ("kind: details") where
        the row is rejected.
        """

    def names_in(self, target: Any) -> list[str]:
        """The classes that a target names, such as the types of its entities; [] for none."""
        return [target]

    def shown(self, target: Any) -> str:
        """A target or the value of an answer in words, for people."""
        return str(target)

    # --- the model

    @abstractmethod
    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load the pretrained model ``name`` with this task's head; dropout None: the model's own."""

    @abstractmethod
    def encode(
        self, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, labels: Sequence[str], max_length: int
    ) -> list[Example]:
        """Tokenise rows, with or without targets."""

    @abstractmethod
    def collate(
        self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The model's inputs, padded to the longest example, and the targets."""

    @abstractmethod
    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each example (n), unweighted."""

    def warm_start(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> bool:
        """Fit the untrained head to ``examples`` in closed form; False where that is not possible."""
        return False

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Set the untrained head of ``name`` to a classifier of its frozen features.

        ``weights`` K x d, ``bias`` K; False where the head does not read those features.
        """
        return False

    # --- answers

    def infer(self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> Outputs:
        """Run the model on a padded batch; by default the logits of each example."""
        return list(model(**inputs).logits.float().cpu().numpy())

    @abstractmethod
    def decode(self, outputs: Outputs, labels: Sequence[str]) -> list[Answer]:
        """Turn the outputs of :meth:`infer` into the answer of each row."""

    def predict(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> list[Answer]:
        """Answers of a model in evaluation mode for ``rows``, in order."""
        labels = self.labels_of(model)
        examples = self.encode(tokenizer, rows, labels, max_length)
        return self.decode(run_model(self, model, examples), labels)

    def labels_of(self, model: PreTrainedModel) -> list[str]:
        """The names of the model's outputs, in order."""
        return label_names({"id2label": model.config.id2label})

    def calibrate(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> dict[str, float]:
        """Make the scores of the model's answers fit ``rows``, in place; what was changed, to be logged."""
        return {}

    # --- judgement

    @abstractmethod
    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """How right each answer is, n values from 0 to 1."""

    @abstractmethod
    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """Counts of each row (n x s, dense or sparse) from whose sums :meth:`score` makes the metrics."""

    @abstractmethod
    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Each of ``metrics`` of sums of statistics: from (... x s) arrays of shape (...)."""

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Further figures for metrics.json, such as those of each class."""
        return {}

    def measure(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, float]:
        """Each of ``metrics`` over ``rows``."""
        figures = self.score(np.asarray(self.statistics(answers, rows, labels).sum(0), np.float64))
        return {name: float(value) for name, value in figures.items()}


def run_model(task: Task, model: PreTrainedModel, examples: Sequence[Example]) -> Outputs:
    """Outputs of ``model`` for each example, computed in batches of like length."""
    outputs: Outputs = [np.zeros(0, np.float32)] * len(examples)
    for batch in token_batches([len(example.ids) for example in examples], BATCH_TOKENS):
        side, blank = padding_side(model), model.config.pad_token_id
        padded = tokens.pad([examples[i].ids for i in batch], blank, side)
        inputs = {
            name: torch.from_numpy(array).to(model.device)
            for name, array in zip(("input_ids", "attention_mask"), padded, strict=True)
        }
        with torch.no_grad():  # inference mode would leave tensors that a sharded model cannot train on
            found = task.infer(model, inputs)
        for place, output in zip(batch, found, strict=True):
            outputs[place] = output
    return outputs
