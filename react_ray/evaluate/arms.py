"""Metrics of a run: those of the saved model in detail, and those of every arm for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.evaluate.metrics import lead, measure
from react_ray.evaluate.schema import Arm, Score
from react_ray.tasks import Task

__all__ = ["ArmAnswers", "measure_arms", "measure_model"]


@dataclass(frozen=True)
class ArmAnswers:
    """Rows of a part with their targets, and the answers of every arm and of the saved model."""

    rows: pa.Table
    arms: Mapping[str, Sequence[Answer]]
    model: Sequence[Answer]


def measure_model(task: Task, judged: ArmAnswers | None, labels: Sequence[str]) -> Score | None:
    """Return all metrics of the saved model; None without rows."""
    return measure(task, judged.model, judged.rows, labels) if judged else None


def measure_arms(task: Task, parts: Mapping[str, ArmAnswers | None], labels: Sequence[str]) -> dict[str, Arm]:
    """Return the metrics of every arm on validation and test rows, and the saved model's lead over it."""
    arms = sorted({arm for judged in parts.values() if judged for arm in judged.arms})
    compared = parts.get("test") or parts.get("validation")
    return {arm: _arm(task, arm, parts, compared, labels) for arm in arms}


def _arm(
    task: Task,
    arm: str,
    parts: Mapping[str, ArmAnswers | None],
    compared: ArmAnswers | None,
    labels: Sequence[str],
) -> Arm:
    figures: dict[str, Any] = {
        part: measure(task, judged.arms[arm], judged.rows, labels, details=False) if judged else None
        for part, judged in parts.items()
    }
    difference = lead(task, compared.model, compared.arms[arm], compared.rows, labels) if compared else None
    return Arm(validation=figures["validation"], test=figures["test"], lead=difference)
