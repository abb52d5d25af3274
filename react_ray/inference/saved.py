"""The interface of a saved model, whatever computes it: rows in, answers out; imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.errors import InputError
from react_ray.inference.inputs import Row, parse_input, parts_of, table_of
from react_ray.inference.prediction import Prediction, rank, typed
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.task import Example, Outputs, Padding, Task

__all__ = ["Input", "SavedModel"]

Input = str | Mapping[str, Any]
"""A text, or an object with the task's input columns."""


class SavedModel(ABC):
    """A saved model with its task and tokenizer; safe to share between threads.

    Parameters
    ----------
    task
        What the model was trained for.
    labels
        The names of the classes.
    settings
        How answers are made (``react_ray`` in config.json).
    tokenizer
        That of the model, which cuts at its length.
    padding
        How batches are padded.
    """

    def __init__(
        self,
        task: Task,
        labels: Sequence[str],
        settings: Mapping[str, Any],
        tokenizer: TextTokenizer,
        padding: Padding,
    ):
        self.task, self.labels, self.settings = task, list(labels), dict(settings)
        self.tokenizer, self.padding = tokenizer, padding
        self.max_length = tokenizer.max_length

    @abstractmethod
    def run(self, examples: Sequence[Example]) -> Outputs:
        """The outputs of each example, computed in batches of like length."""

    def examples(self, rows: pa.Table) -> list[Example]:
        """Tokenise rows with the task's input columns."""
        return self.task.encode(self.tokenizer, rows, self.labels)

    def decode(
        self, outputs: Outputs, examples: Sequence[Example], rows: pa.Table, ranked: int | None = None
    ) -> list[Answer]:
        """The answer for each row; rankings have at most ``ranked`` entries (None: all)."""
        settings = {**self.settings, "ranked": ranked}
        return self.task.decode(outputs, examples, rows, self.labels, settings)

    def answers(self, rows: pa.Table, ranked: int | None = None) -> list[Answer]:
        """The answer for each row, in order."""
        return [answer for part in parts_of(self.task, rows) for answer in self._answers(part, ranked)]

    def _answers(self, rows: pa.Table, ranked: int | None) -> list[Answer]:
        if not len(rows):
            return []
        examples = self.examples(rows)
        return self.decode(self.run(examples), examples, rows, ranked)

    def predict(self, inputs: Sequence[Input]) -> list[Any]:
        """The answer to each input.

        A :class:`Prediction` (the most probable label) where a text has one label; otherwise a list: of
        :class:`Prediction` for several labels, of :class:`Entity` for entities. Raises InputError for an
        input that the task does not take.
        """
        if self.task.one_of_k:
            return [Prediction(found.value, found.score) for found in self.answers(self.rows(inputs), 1)]
        rows = self.rows(inputs)
        return [
            typed(self.task.wire(answer, row))
            for answer, row in zip(self.answers(rows), rows.to_pylist(), strict=True)
        ]

    def predict_proba(self, inputs: Sequence[Input]) -> NDArray[np.float32]:
        """Probabilities, one row an input, one column a label in the order of ``labels``.

        Raises InputError where the task does not choose one label for each input.
        """
        if not self.task.one_of_k:
            raise InputError(f"predict_proba: a model for {self.task.title} has no probability of a label")
        if not len(inputs):
            return np.empty((0, len(self.labels)), np.float32)
        return np.stack(self.task.probabilities(self.run(self.examples(self.rows(inputs)))))

    def rank(self, inputs: Sequence[Input], top: int | None = None) -> list[list[Prediction]]:
        """The labels of each input, best first, at most ``top`` of them; InputError as predict_proba."""
        return [rank(row, self.labels, top) for row in self.predict_proba(inputs)]

    def row(self, given: Input) -> Row:
        """An input as a row of the task; ValueError where the task does not take it."""
        return parse_input(self.task, given)

    def rows(self, inputs: Sequence[Input]) -> pa.Table:
        """Inputs as rows of the task; InputError names the first that it does not take."""
        if isinstance(inputs, str | Mapping):
            raise InputError("inputs are a list: give [text] or [{...}] for one")
        rows = []
        for index, given in enumerate(inputs):
            try:
                rows.append(self.row(given))
            except ValueError as error:
                raise InputError(f"input {index}: {error}") from None
        return table_of(self.task, rows)
