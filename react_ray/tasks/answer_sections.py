"""Sections of a report on answers: scores by kind of question, and marked contexts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.sections import Item, Mark, Section, item, marked_texts, surest_wrong, table

__all__ = ["answer_sections"]

QUESTION_WORDS = (
    "how many",
    "how much",
    "who",
    "whom",
    "whose",
    "what",
    "when",
    "where",
    "which",
    "why",
    "how",
)
CHINESE_WORDS = ("多少", "几", "谁", "哪", "为什么", "什么", "何时", "何", "怎")
QUESTION_WORD = re.compile(rf"\b(?:{'|'.join(QUESTION_WORDS)})\b|{'|'.join(CHINESE_WORDS)}")
MARK = "answer"
AROUND = 160
"""Characters of the context that are shown on both sides of the answers."""


def answer_sections(answers: Sequence[Answer], rows: pa.Table, scores: NDArray[np.float64]) -> list[Section]:
    """Return all sections; ``scores`` are F1 and exact match of each row, n x 2."""
    truth = rows["answers"].to_pylist()
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (question, right) in enumerate(zip(rows["question"].to_pylist(), truth, strict=True)):
        groups[_kind(question) if right else "no answer in the context"].append(row)
    lines = [
        [name, len(some), float(scores[some, 0].mean()), float(scores[some, 1].mean())]
        for name, some in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
    return [
        table(
            "Kinds of questions",
            [("question", "name"), ("rows", "count"), ("F1", "score"), ("exact match", "score")],
            lines,
            "By the question word.",
        ),
        marked_texts(
            "Answers that are wrong",
            [_item(rows, row, answers[row]) for row in surest_wrong(answers, scores[:, 0].tolist())],
            [MARK],
            "Above the context: the right answers. Below it: the answer of the model.",
            compared=True,
        ),
    ]


def _kind(question: str) -> str:
    """The question word of a question."""
    found = QUESTION_WORD.search(question.lower())
    return found[0] if found else "other"


def _item(rows: pa.Table, row: int, answer: Answer) -> Item:
    """A context, cut around its answers."""
    content = rows.slice(row, 1).to_pylist()[0]
    spans = [*content["answers"], *answer.value]
    start = max(0, min((one[0] for one in spans), default=0) - AROUND)
    end = min(len(content["text"]), max((one[1] for one in spans), default=2 * AROUND) + AROUND)
    end = min(end, start + 8 * AROUND)

    def marks(some: Sequence[Sequence[int]]) -> list[Mark]:
        inside = [one for one in some if start <= one[0] and one[1] <= end]
        return [(one[0] - start, one[1] - start, MARK) for one in _apart(inside)]

    notes = [f"Question: {content['question']}"]
    notes += ["The context has no answer."] if not content["answers"] else []
    notes += ["The model gives no answer."] if not answer.value else []
    text = content["text"][start:end]
    return item(text, answer, above=marks(content["answers"]), below=marks(answer.value), notes=notes)


def _apart(spans: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Spans that do not overlap, the longest of those that do."""
    kept: list[Sequence[int]] = []
    for span in sorted(spans, key=lambda one: one[0] - one[1]):
        if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda one: one[0])
