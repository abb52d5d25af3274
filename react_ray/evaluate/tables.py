"""Tables of the report: mistakes, rejected rows, rows of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks import Task
from react_ray.tasks.sections import confident_mistakes, shorten

__all__ = ["Mistake", "Rejected", "class_counts", "rejected_by_reason", "worst_mistakes"]

MAX_EXAMPLES = 3


class Mistake(TypedDict):
    """A wrong answer, with its probability and that of the truth (None if the model does not rank it)."""

    text: str
    truth: str
    predicted: str
    probability: float
    truth_probability: float | None


class Rejected(TypedDict):
    """Rejected rows with the same kind of reason; ``examples`` have file, row, text and the full reason."""

    reason: str
    n: int
    examples: list[dict[str, Any]]


def worst_mistakes(
    task: Task, rows: pa.Table, answers: Sequence[Answer], max_rows: int = 12
) -> list[Mistake]:
    """Return the wrong answers with the highest scores, highest first, with shortened texts."""
    mistakes = confident_mistakes(answers, task.credit(answers, rows).tolist(), max_rows)
    return [
        _mistake(task, row, answers[number])
        for number, row in zip(mistakes, rows.take(pa.array(mistakes, pa.int64())).to_pylist(), strict=True)
    ]


def _mistake(task: Task, row: dict[str, Any], answer: Answer) -> Mistake:
    truth = row[task.target.name]
    truth_probability = dict(answer.ranking).get(truth, 0.0) if isinstance(truth, str) else None
    return {
        "text": shorten(row["text"]),
        "truth": task.shown(truth, row),
        "predicted": task.shown(answer.value, row),
        "probability": answer.score,
        "truth_probability": truth_probability,
    }


def rejected_by_reason(rows: Iterable[Mapping[str, Any]]) -> list[Rejected]:
    """Group the lines of refused.jsonl by kind of reason, most frequent first, with a few examples each.

    A reason is "kind: details", where the details differ from row to row.
    """
    reasons: dict[str, Rejected] = {}
    for row in rows:
        kind = row["reason"].partition(":")[0]
        entry = reasons.setdefault(kind, {"reason": kind, "n": 0, "examples": []})
        entry["n"] += 1
        if len(entry["examples"]) < MAX_EXAMPLES:
            entry["examples"].append({**row, "text": shorten(row.get("text") or "", 120)})
    return sorted(reasons.values(), key=lambda entry: -entry["n"])


def class_counts(
    parts: Sequence[str], labels: Sequence[str | None], names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Count labelled rows by part and class: {part: {class: n}}."""
    counts: dict[str, dict[str, int]] = {}
    for part, label in zip(parts, labels, strict=True):
        if label is not None:
            part_counts = counts.setdefault(part, dict.fromkeys(names, 0))
            part_counts[label] = part_counts.get(label, 0) + 1
    return counts
