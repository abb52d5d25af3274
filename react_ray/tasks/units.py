"""Interface of tasks for the labeler ``candidates``: several units per row, or options per unit.

A unit has a distribution over the options: a word of a text, or the row itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.task import Example, Outputs, Task

__all__ = ["Distributions", "UnitTask", "unit_task"]

Distributions = Sequence[NDArray[np.float32]]
"""Arrays of units x options for each row, values from 0 to 1."""


class UnitTask(Task):
    """Task whose unlabelled rows are labelled by the fine-tuned model and verified unit by unit."""

    labeler = "candidates"
    exclusive: ClassVar[bool]
    """Whether a unit has exactly one of the options, rather than any number."""

    def units(self, rows: pa.Table) -> list[list[tuple[int, int]]] | None:
        """Return the units of each row as character spans of its text; None: the row itself is the unit."""
        return None

    @abstractmethod
    def propose(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[NDArray[np.float32]]:
        """Return the model's distributions for the units of each row."""

    @abstractmethod
    def distributions(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the targets of labelled rows as distributions of 0 and 1."""

    @abstractmethod
    def decide(self, probabilities: Distributions, rows: pa.Table, labels: Sequence[str]) -> list[Answer]:
        """Convert the distributions of units to one answer per row."""

    @abstractmethod
    def soft_column(self, probabilities: Distributions) -> pa.Array:
        """Convert distributions to a target column for :meth:`encode`."""


def unit_task(task: Task) -> UnitTask:
    """Return ``task`` if it is a :class:`UnitTask`; TypeError otherwise."""
    if not isinstance(task, UnitTask):
        raise TypeError(f"{task.name} has no units: its labeler is {task.labeler}")
    return task
