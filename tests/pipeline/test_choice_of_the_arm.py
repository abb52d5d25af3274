"""The gate: whether the model that was trained on generated labels is published."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pytest

from react_ray.answer import Answer
from react_ray.evaluate.intervals import probability_worse
from react_ray.pipeline.arms import choose
from react_ray.tasks import get_task

DECISION = {"alarms": (), "use_lgan": True, "why": ""}
ROWS = 200


@dataclass(frozen=True)
class Example:
    """A task with one target for all rows, a wrong answer, and the limit of the gate."""

    task: str
    target: str
    right: str
    wrong: str
    limit: float

    def answers(self, correct: int) -> list[Answer]:
        """Return answers that are right for the first ``correct`` rows."""
        return [Answer(self.right if row < correct else self.wrong, 1.0) for row in range(ROWS)]

    def rows(self) -> pa.Table:
        return pa.table({"text": ["a text"] * ROWS, self.target: [self.right] * ROWS})


CLASSES = Example("text-classification", "label", "dog", "cat", limit=0.9)
TEXTS = Example(
    "translation", "target", "ein Hund läuft über das grüne Gras", "kein Mensch sitzt heute hier", limit=0.5
)


@pytest.mark.parametrize(
    ("example", "correct", "expected"),
    [
        (CLASSES, 99, "generated_labels"),
        (CLASSES, 70, "labels_only"),
        (TEXTS, 110, "generated_labels"),
        (TEXTS, 99, "labels_only"),
    ],
)
def test_a_slightly_worse_model_is_published_for_classes_only(
    example: Example, correct: int, expected: str
) -> None:
    validation = {"labels_only": example.answers(100), "generated_labels": example.answers(correct)}
    task, labels = get_task(example.task), ["cat", "dog"]
    choice = choose(DECISION, ["labels_only"], validation, task, example.rows(), labels, 0, generated=9)
    assert choice.chosen == expected
    assert f"(limit {example.limit})" in choice.why


def test_a_clearly_worse_translation_is_seen_as_such() -> None:
    task, rows = get_task(TEXTS.task), TEXTS.rows()
    plain, worse = (task.statistics(TEXTS.answers(correct), rows, ()) for correct in (40, 25))
    assert probability_worse(plain, worse, task.score, "bleu", seed=0) > 0.99
    assert probability_worse(worse, plain, task.score, "bleu", seed=0) < 0.01
    assert probability_worse(plain, plain, task.score, "bleu", seed=0) == pytest.approx(0.5, abs=0.03)
