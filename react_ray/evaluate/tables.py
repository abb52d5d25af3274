"""Tables of the report that are not figures: errors, refused rows, rows of each class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks import Task

__all__ = ["Mistake", "Refused", "class_counts", "refused_by_reason", "worst_mistakes"]

TEXT_CHARS = 320
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
    texts, truth = rows["text"].to_pylist(), rows[task.target.name].to_pylist()
    wrong = [i for i, credit in enumerate(task.credit(answers, rows)) if credit < 1]
    wrong.sort(key=lambda i: -answers[i].score)
    return [
        {
            "text": shorten(texts[i]),
            "truth": task.shown(truth[i]),
            "predicted": task.shown(answers[i].value),
            "probability": answers[i].score,
            "truth_probability": dict(answers[i].ranking).get(truth[i], 0.0)
            if isinstance(truth[i], str)
            else None,
        }
        for i in wrong[:most]
    ]


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


def shorten(text: str, most: int = TEXT_CHARS) -> str:
    """``text`` on one line, cut with an ellipsis after ``most`` characters."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[:most].rstrip() + "…"
