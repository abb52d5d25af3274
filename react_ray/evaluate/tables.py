"""Tables of the report that are not figures: errors, refused rows, rows of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks import Task
from react_ray.tasks.sections import shorten, surest_wrong

__all__ = ["Mistake", "Refused", "class_counts", "refused_by_reason", "worst_mistakes"]

EXAMPLES = 3


class Mistake(TypedDict):
    """A row the model got wrong; probabilities are of its answer and of the truth, where it ranks that."""

    text: str
    truth: str
    predicted: str
    probability: float
    truth_probability: float | None


class Refused(TypedDict):
    """Rows not used for one kind of reason; ``examples`` have file, row, text and the whole reason."""

    reason: str
    n: int
    examples: list[dict[str, Any]]


def worst_mistakes(task: Task, rows: pa.Table, answers: Sequence[Answer], most: int = 12) -> list[Mistake]:
    """The wrong answers with the highest scores, highest first, texts shortened."""
    wrong = surest_wrong(answers, task.credit(answers, rows).tolist(), most)
    return [
        _mistake(task, row, answers[number])
        for number, row in zip(wrong, rows.take(pa.array(wrong, pa.int64())).to_pylist(), strict=True)
    ]


def _mistake(task: Task, row: dict[str, Any], answer: Answer) -> Mistake:
    truth = row[task.target.name]
    likely = dict(answer.ranking).get(truth, 0.0) if isinstance(truth, str) else None
    return {
        "text": shorten(row["text"]),
        "truth": task.shown(truth, row),
        "predicted": task.shown(answer.value, row),
        "probability": answer.score,
        "truth_probability": likely,
    }


def refused_by_reason(rows: Iterable[Mapping[str, Any]]) -> list[Refused]:
    """Lines of refused.jsonl by the kind of reason, most frequent first, with a few examples each.

    A reason is "kind: details"; the details, such as which row is a copy of which, differ
    from row to row.
    """
    found: dict[str, Refused] = {}
    for row in rows:
        kind = row["reason"].partition(":")[0]
        entry = found.setdefault(kind, {"reason": kind, "n": 0, "examples": []})
        entry["n"] += 1
        if len(entry["examples"]) < EXAMPLES:
            entry["examples"].append({**row, "text": shorten(row.get("text") or "", 120)})
    return sorted(found.values(), key=lambda entry: -entry["n"])


def class_counts(
    parts: Sequence[str], labels: Sequence[str | None], names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Rows of each part and class: {part: {class: n}}; unlabelled rows are not counted."""
    counts: dict[str, dict[str, int]] = {}
    for part, label in zip(parts, labels, strict=True):
        if label is not None:
            of_part = counts.setdefault(part, dict.fromkeys(names, 0))
            of_part[label] = of_part.get(label, 0) + 1
    return counts
