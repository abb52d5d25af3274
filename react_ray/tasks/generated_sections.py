"""Sections of a report on generated texts: metrics beside baselines, and the best and the worst answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.sections import Heading, Section, item, marked_texts, shorten, table

__all__ = ["generated_sections", "length_ratio"]

SHOWN = 10
SHOWN_CHARS = 2_000


def length_ratio(answers: Sequence[str], references: Sequence[str]) -> float:
    """Return the characters of the answers for each character of the references."""
    return sum(map(len, answers)) / max(1, sum(map(len, references)))


def generated_sections(
    answers: Sequence[Answer],
    rows: pa.Table,
    target: str,
    scores: Mapping[str, float],
    details: Mapping[str, Any],
    credit: NDArray[np.float64],
) -> list[Section]:
    """Return a table of metrics, and the answers with the lowest and the highest credit.

    ``details`` has the scores of ``baselines``, and optionally ``signatures`` of metrics.
    """
    truths = rows[target].to_pylist()
    lines = [["model", *scores.values(), length_ratio([a.value for a in answers], truths)]]
    lines += [
        [name.replace("_", " "), *(baseline[metric] for metric in scores), baseline["length_ratio"]]
        for name, baseline in details["baselines"].items()
    ]
    headings: list[Heading] = [
        ("", "name"),
        *((metric, "score") for metric in scores),
        ("length ratio", "score"),
    ]
    notes = [f"{name}: {signature}." for name, signature in details.get("signatures", {}).items()]
    about = "The length ratio is that of characters, answers over references."
    return [
        table("Scores beside baselines", headings, lines, " ".join([about, *notes])),
        _examples(answers, rows["text"].to_pylist(), truths, credit),
    ]


def _examples(
    answers: Sequence[Answer], texts: Sequence[str], truths: Sequence[str], credit: NDArray[np.float64]
) -> Section:
    order = np.argsort(credit, kind="stable").tolist()
    shown = [*order[: SHOWN // 2], *order[max(SHOWN // 2, len(order) - SHOWN // 2) :]]
    items = [
        item(
            texts[place][:SHOWN_CHARS],
            answers[place],
            said=shorten(answers[place].value, SHOWN_CHARS),
            truth=shorten(truths[place], SHOWN_CHARS),
            notes=[f"credit {credit[place]:.2f}"],
        )
        for place in shown
    ]
    return marked_texts(
        "Answers beside references", items, text="Answers with the lowest credit first, then the highest."
    )
