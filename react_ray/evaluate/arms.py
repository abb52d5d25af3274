"""The figures of a run: the saved model in detail, every arm in brief beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.evaluate.metrics import brief, lead, score
from react_ray.evaluate.schema import Arm, Score

__all__ = ["Judged", "measure_arms", "measure_model"]


@dataclass(frozen=True)
class Judged:
    """Rows with known labels and what each arm said of them (arm -> n x K)."""

    truth: NDArray[np.int64]
    arms: Mapping[str, NDArray[np.float32]]
    model: NDArray[np.float32]
    """The saved model's probabilities."""


def measure_model(judged: Judged | None, names: Sequence[str]) -> Score | None:
    """All figures of the saved model; None where there are no rows."""
    return score(judged.truth, judged.model, names) if judged else None


def measure_arms(parts: Mapping[str, Judged | None], names: Sequence[str]) -> dict[str, Arm]:
    """Figures of every arm on validation and test rows, and the saved model's lead over it."""
    arms = sorted({arm for judged in parts.values() if judged for arm in judged.arms})
    judge = parts.get("test") or parts.get("validation")
    return {arm: _arm(arm, parts, judge, names) for arm in arms}


def _arm(arm: str, parts: Mapping[str, Judged | None], judge: Judged | None, names: Sequence[str]) -> Arm:
    figures: dict[str, Any] = {
        part: brief(score(judged.truth, judged.arms[arm], names)) if judged else None
        for part, judged in parts.items()
    }
    difference = lead(judge.truth, judge.model, judge.arms[arm], names) if judge else None
    return Arm(validation=figures["validation"], test=figures["test"], lead=difference)
