"""Interface of tasks for the labeler ``proposals``: the answer is a part of a text, or a new text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
