"""Sections of a report on answers: scores by kind of question, and marked contexts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.sections import Item, Mark, Section, confident_mistakes, item, marked_texts, table

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
    for row, (question, spans) in enumerate(zip(rows["question"].to_pylist(), truth, strict=True)):
        groups[_kind(question) if spans else "no answer in the context"].append(row)
    lines = [
        [name, len(members), float(scores[members, 0].mean()), float(scores[members, 1].mean())]
        for name, members in sorted(groups.items(), key=lambda group: -len(group[1]))
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
            [_item(rows, row, answers[row]) for row in confident_mistakes(answers, scores[:, 0].tolist())],
            [MARK],
            "Above the context: the right answers. Below it: the answer of the model.",
            compared=True,
        ),
    ]


def _kind(question: str) -> str:
    """The question word of a question."""
    match = QUESTION_WORD.search(question.lower())
    return match[0] if match else "other"


def _item(rows: pa.Table, row: int, answer: Answer) -> Item:
    """A context, cut around its answers."""
    content = rows.slice(row, 1).to_pylist()[0]
    spans = [*content["answers"], *answer.value]
    start = max(0, min((span[0] for span in spans), default=0) - AROUND)
    end = min(len(content["text"]), max((span[1] for span in spans), default=2 * AROUND) + AROUND)
    end = min(end, start + 8 * AROUND)

    def marks(answer_spans: Sequence[Sequence[int]]) -> list[Mark]:
        inside = [span for span in answer_spans if start <= span[0] and span[1] <= end]
        return [(span[0] - start, span[1] - start, MARK) for span in _without_overlaps(inside)]

    notes = [f"Question: {content['question']}"]
    notes += ["The context has no answer."] if not content["answers"] else []
    notes += ["The model gives no answer."] if not answer.value else []
    text = content["text"][start:end]
    return item(text, answer, above=marks(content["answers"]), below=marks(answer.value), notes=notes)


def _without_overlaps(spans: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Spans that do not overlap, the longest of those that do."""
    disjoint: list[Sequence[int]] = []
    for span in sorted(spans, key=lambda span: span[0] - span[1]):
        if all(span[1] <= other[0] or other[1] <= span[0] for other in disjoint):
            disjoint.append(span)
    return sorted(disjoint, key=lambda span: span[0])
