"""Tasks with many units a row, or any number of options a unit, as the labeler ``candidates`` needs them.

A unit is what gets a distribution over the options: a word of a text, or the row itself.
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
"""Units x options for each row, 0 to 1."""


class UnitTask(Task):
    """A task whose unlabelled rows get their labels from the fine-tuned model, judged unit by unit."""

    labeler = "candidates"
    exclusive: ClassVar[bool]
    """Whether a unit has exactly one of the options, or any number of them."""

    def units(self, rows: pa.Table) -> list[list[tuple[int, int]]] | None:
        """The units of each row, as characters of its text from and to; None: the row itself is the unit."""
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
        """Distributions of the units of each row, as the model gives them."""

    @abstractmethod
    def distributions(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32]]:
        """The targets of labelled rows as distributions of 0 and 1."""

    @abstractmethod
    def decide(self, probabilities: Distributions, rows: pa.Table, labels: Sequence[str]) -> list[Answer]:
        """The answer of each row to the distributions of its units."""

    @abstractmethod
    def soft_column(self, probabilities: Distributions) -> pa.Array:
        """Distributions as a column that :meth:`encode` takes for targets."""


def unit_task(task: Task) -> UnitTask:
    """``task`` as one with units; TypeError where it is none."""
    if not isinstance(task, UnitTask):
        raise TypeError(f"{task.name} has no units: its labeler is {task.labeler}")
    return task
