"""Base class of tasks whose units are words, for the labeler ``candidates``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.entity_decoding import entity_answer, row_scores
from react_ray.tasks.task import Example, Outputs
from react_ray.tasks.units import Distributions, UnitTask
from react_ray.tasks.word_targets import word_distributions

__all__ = ["WordUnits"]

LEAST = 1e-12
"""Probability, so that its logarithm is finite."""


class WordUnits(UnitTask):
    """Task on words from ``starts`` to ``ends``, each with one of the outputs as its tag."""

    exclusive = True
    identity = ("text",)  # however its words were split

    def cells_of(self, row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
        """Return words and empty tags if the file has tokens, otherwise a text and empty spans."""
        split = "tokens" in columns
        words = [row["text"][start:end] for start, end in zip(row["starts"], row["ends"], strict=True)]
        targets = [
            column.name for column in self.columns if column.target and (column.kind == "tags") == split
        ]
        target = next((name for name in targets if name in columns), targets[0])
        return ({"tokens": words} if split else {"text": row["text"]}) | {target: ""}

    def units(self, rows: pa.Table) -> list[list[tuple[int, int]]]:
        """Return the character spans of the words of each row."""
        places = zip(rows["starts"].to_pylist(), rows["ends"].to_pylist(), strict=True)
        return [list(zip(starts, ends, strict=True)) for starts, ends in places]

    def propose(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[NDArray[np.float32]]:
        """Return the probabilities of the tags of each word."""
        tags = len(self.output_names(labels))
        scores = row_scores(outputs, examples, rows["starts"].to_pylist(), tags)
        return [np.exp(log_probabilities).astype(np.float32) for log_probabilities, _ in scores]

    def distributions(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the tags of each word as 0 and 1."""
        distributions = word_distributions(rows, self.output_names(labels))
        return [targets for targets in distributions if targets is not None]

    def decide(self, probabilities: Distributions, rows: pa.Table, labels: Sequence[str]) -> list[Answer]:
        """Decode the most probable entities under BIO."""
        tags = self.output_names(labels)
        logs = [np.log(np.maximum(row, LEAST)).astype(np.float64) for row in probabilities]
        return [entity_answer(row, np.ones(len(row), bool), tags) for row in logs]

    def soft_column(self, probabilities: Distributions) -> pa.Array:
        """Return the column ``tags`` with the probabilities of a word in place of its tag."""
        kind = pa.list_(pa.list_(pa.float32()))
        return pa.array([row.tolist() for row in probabilities], kind)
