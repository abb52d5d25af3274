"""Report sections on relations: scores of each type (both directions), and marked texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks.class_sections import class_table
from react_ray.tasks.entity_pairs import EntityPair
from react_ray.tasks.entity_sections import excerpt
from react_ray.tasks.nouns import Nouns
from react_ray.tasks.relation_metrics import relation_types
from react_ray.tasks.sections import Mark, Section, confident_mistakes, item, marked_texts

__all__ = ["relation_mistakes", "relation_table"]


def relation_table(
    figures: Mapping[str, Mapping[str, float]],
    truth: Sequence[str],
    answers: Sequence[Answer],
    labels: Sequence[str],
    nouns: Nouns,
) -> Section:
    """Make a table of the scores of each relation type, and how often only its direction is wrong."""
    types = dict(zip(labels, relation_types(labels), strict=True))
    turned = Counter(
        types[label]
        for label, answer in zip(truth, answers, strict=True)
        if label != answer.value and types[label] == types[answer.value]
    )
    counts = {name: turned[name] for name in figures}
    total = len({name for name in types.values() if name is not None})
    title = "Direction wrong"
    table = class_table(figures, nouns, total, {title: counts}, [(title, "count")])
    note = "Both directions of a relation together; an answer of the wrong direction is wrong."
    return {**table, "text": f"{note} {table['text']}".strip()}


def relation_mistakes(answers: Sequence[Answer], rows: pa.Table, credit: Sequence[float]) -> Section:
    """Show texts with both entities marked, the predicted and the true relation."""
    mistakes = confident_mistakes(answers, credit)
    items = []
    for number, row in zip(mistakes, rows.take(pa.array(mistakes, pa.int64())).to_pylist(), strict=True):
        text, marks = _excerpt(row)
        answer, truth = answers[number], row["label"]
        likely = dict(answer.ranking).get(truth, 0.0)
        items.append(
            item(text, answer, said=answer.value, truth=truth, above=marks, truth_probability=likely)
        )
    return marked_texts("Mistakes", items, ["e1", "e2"])


def _excerpt(row: dict[str, Any]) -> tuple[str, list[Mark]]:
    pair = EntityPair.of(row)
    first = min(pair.e1, pair.e2)
    marks: list[Mark] = [(span.start, span.end, span.label) for span in sorted((pair.e1, pair.e2))]
    text, above, _ = excerpt(pair.text, first.start, marks)
    return text, above
