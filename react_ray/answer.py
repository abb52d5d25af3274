"""A model's answer for one row, and files of answers; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from react_ray.folders import replace_file

__all__ = ["Answer", "load_answers", "save_answers"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one row, in the form of the task's targets.

    Parameters
    ----------
    value
        A label, a list of labels or spans, as the task's target; serializable as JSON.
    score
        The probability that ``value`` is correct, 0 to 1.
    ranking
        Alternatives with their scores, best first; empty where the task has none.

    Example
    -------
    >>> Answer("sports", 0.7, (("sports", 0.7), ("politics", 0.3))).value
    'sports'
    """

    value: Any
    score: float
    ranking: tuple[tuple[str, float], ...] = ()


def save_answers(answers: Sequence[Answer], path: Path) -> None:
    """Write one JSON line per answer, atomically."""
    lines = [
        json.dumps([answer.value, answer.score, answer.ranking], ensure_ascii=False) for answer in answers
    ]
    text = "".join(f"{line}\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def load_answers(path: Path) -> list[Answer]:
    """Read a file of :func:`save_answers`."""
    with path.open(encoding="utf-8") as lines:
        return [_answer(*json.loads(line)) for line in lines]


def _answer(value: Any, score: float, ranking: Sequence[tuple[str, float]]) -> Answer:
    return Answer(value, score, tuple((label, probability) for label, probability in ranking))
