"""Base class of saved models for any engine: rows in, answers out; imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.errors import InputError
from react_ray.inference.entries import above, best_of
from react_ray.inference.inputs import Row, parse_input, parts_of, table_of
from react_ray.inference.prediction import Prediction, rank, typed
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.task import Example, Outputs, Padding, Task
from react_ray.tasks.windows import join_windows

__all__ = ["PROBE_TOKENS", "Input", "SavedModel"]

Input = str | Mapping[str, Any]
"""A text, or an object with the task's input columns."""
PROBE_TOKENS = 8
"""Most generated tokens of a probe: the whole text of a slow model would take minutes."""


class StepCount:
    """Counter of tokens and batches, which grows while a model generates texts."""

    steps = 0

    def add(self) -> None:
        """Count one more; a thread that counts at the same time may be missed."""
        self.steps += 1


class SavedModel(ABC):
    """A saved model with its task and tokenizer; thread-safe.

    Parameters
    ----------
    task
        The task of the model.
    labels
        The names of the classes.
    settings
        Settings of decoding (``react_ray`` in config.json).
    tokenizer
        Tokenizer that truncates at the model's maximum length.
    padding
        Padding of batches.
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
        self.progress = StepCount()

    @abstractmethod
    def run(self, examples: Sequence[Example]) -> Outputs:
        """Compute the output of each example, in batches of similar length."""

    def generate(self, examples: Sequence[Example], limit: int) -> Outputs:
        """Compute the outputs as :meth:`run`, generating at most ``limit`` tokens for each example.

        Raises InputError if the task does not generate texts.
        """
        raise InputError(f"a model for {self.task.title} generates no texts")

    def stream(
        self, example: Example, emit: Callable[[int], bool], limit: int | None = None
    ) -> NDArray[np.float32]:
        """Compute the output of an example by greedy search; ``emit`` gets each token when it is generated.

        By returning True it stops the generation. InputError as :meth:`generate`.
        """
        raise InputError(f"a model for {self.task.title} generates no texts")

    def examples(self, rows: pa.Table) -> list[Example]:
        """Tokenize rows with the task's input columns."""
        return self.task.encode(self.tokenizer, rows, self.labels)

    def decode(
        self, outputs: Outputs, examples: Sequence[Example], rows: pa.Table, ranked: int | None = None
    ) -> list[Answer]:
        """Decode one answer per row; rankings have at most ``ranked`` entries (None: all)."""
        settings = {**self.settings, "ranked": ranked}
        return self.task.decode(outputs, examples, rows, self.labels, settings)

    def answers(self, rows: pa.Table, ranked: int | None = None) -> list[Answer]:
        """Return the answer for each row, in order."""
        return [answer for part in parts_of(self.task, rows) for answer in self._answers(part, ranked)]

    def _answers(self, rows: pa.Table, ranked: int | None) -> list[Answer]:
        if not len(rows):
            return []
        examples = self.examples(rows)
        return self.decode(self.run(examples), examples, rows, ranked)

    def predict(
        self, inputs: Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[Any]:
        """Predict each input.

        Parameters
        ----------
        inputs
            Texts, or objects with the task's input columns.
        top_k
            Maximum entries of an answer: the best labels, also those outside of a predicted set, or the
            entities with the highest scores; None: all.
        threshold
            Minimum score of an entry, 0 to 1; an empty list of labels is an abstention. None: 0.

        Returns
        -------
        list
            A :class:`Prediction` (the most probable label) per input of a single-label task without
            ``top_k`` and ``threshold``. Otherwise a list per input, as :meth:`Client.predict`: of
            :class:`Prediction` (labels), :class:`Entity`, :class:`SpanAnswer` (question answering) or
            :class:`GeneratedText`.

        Raises
        ------
        InputError
            For an invalid input, ``top_k`` or ``threshold``.

        Example
        -------
        >>> import react_ray
        >>> model = react_ray.load("out/model")  # doctest: +SKIP
        >>> model.predict(["Rain before noon"], top_k=2, threshold=0.05)  # doctest: +SKIP
        [[Prediction(label='weather', score=0.93), Prediction(label='sports', score=0.06)]]
        """
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k = {top_k}: expected a number of at least 1, or None for all entries")
        if threshold is not None and not 0 <= threshold <= 1:
            raise InputError(f"threshold = {threshold}: expected a score from 0 to 1, or None")
        rows = self.rows(inputs)
        if self.task.answers == "label" and top_k is threshold is None:
            return [Prediction(best.value, best.score) for best in self.answers(rows, 1)]
        return [
            typed(above(threshold or 0.0, best_of(self.task.wire(answer, row), answer, top_k)))
            for answer, row in zip(self.answers(rows), rows.to_pylist(), strict=True)
        ]

    def predict_proba(self, inputs: Sequence[Input]) -> NDArray[np.float32]:
        """Return probabilities, one row per input, one column per label in the order of ``labels``.

        Raises InputError if the task is not a single-label task.
        """
        if self.task.answers != "label":
            raise InputError(f"predict_proba: a model for {self.task.title} has no probability of a label")
        if not len(inputs):
            return np.empty((0, len(self.labels)), np.float32)
        examples = self.examples(self.rows(inputs))
        return np.stack(self.row_probabilities(self.run(examples), examples))

    def row_probabilities(self, outputs: Outputs, examples: Sequence[Example]) -> Outputs:
        """Return the probabilities of the classes of each row, from the outputs of its examples."""
        return self.task.probabilities(join_windows(outputs, examples))

    def rank(self, inputs: Sequence[Input], top: int | None = None) -> list[list[Prediction]]:
        """Rank the labels of each input, best first, at most ``top``; InputError as predict_proba."""
        return [rank(row, self.labels, top) for row in self.predict_proba(inputs)]

    def row(self, value: Input) -> Row:
        """Convert an input to a row of the task; ValueError if it is invalid."""
        return parse_input(self.task, value)

    def rows(self, inputs: Sequence[Input]) -> pa.Table:
        """Convert inputs to rows of the task; InputError names the first invalid one."""
        if isinstance(inputs, str | Mapping):
            raise InputError("inputs are a list: give [text] or [{...}] for one")
        rows = []
        for index, value in enumerate(inputs):
            try:
                rows.append(self.row(value))
            except ValueError as error:
                raise InputError(f"input {index}: {error}") from None
        return table_of(self.task, rows)
