"""Interface of tasks for the labeler ``proposals``: the answer is a part of a text, or a new text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks.task import Task

__all__ = ["OpenTask"]


class OpenTask(Task):
    """Task whose targets are not classes: several of them may be correct."""

    fewest_classes = 0
    labeler = "proposals"

    def names_in(self, target: Any) -> list[str]:
        """Return no classes."""
        return []

    def classes_of(self, outputs: Sequence[str]) -> list[str]:
        """Return no classes."""
        return []

    def merge(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return one target for rows with the same inputs and different targets; None if they conflict.

        ``rows`` have the inputs and the target, at least two of them. By default different targets conflict.
        """
        return None

    def complete(self, rows: pa.Table) -> pa.Table:
        """Return the rows whose inputs are complete; others only serve :meth:`self_supervised`."""
        return rows

    def self_supervised(self, rows: pa.Table, most: int) -> pa.Table:
        """Make at most ``most`` rows with targets from the inputs of ``rows`` alone; by default none.

        The model of generated labels may be trained on them first, see ``proposals.cloze``.
        """
        return pa.schema([*self.inputs, self.target]).empty_table()

    # --- pairs of a row and a candidate, for the discriminator

    @abstractmethod
    def candidates(self, answer: Answer) -> list[tuple[Any, float]]:
        """Return the values in the ranking of an answer with their scores, best first."""

    @abstractmethod
    def wrong_targets(self, rows: pa.Table, seed: int) -> list[list[Any]]:
        """Return targets that are wrong for each row, at most a few; ``rows`` have inputs and target."""

    @abstractmethod
    def pair_texts(self, value: Any, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return texts that show to an encoder what was asked, then the candidate ``value``, in some ways."""
