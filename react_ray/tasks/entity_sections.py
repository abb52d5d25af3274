"""Report sections on entities: types, kinds of errors, confusion of types, and marked texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks.class_sections import class_table, confusion_section
from react_ray.tasks.entity_metrics import entity_credit, error_kinds
from react_ray.tasks.nouns import ENTITIES
from react_ray.tasks.sections import Item, Mark, Section, bars, confident_mistakes, item, marked_texts
from react_ray.tasks.tagging import Span

__all__ = ["confused_types", "entity_sections", "excerpt"]

Rows = Sequence[Sequence[Span]]
ERRORS = {
    "type": "the right words, but another type",
    "boundary": "the right type, but other words than the entity has",
    "both": "another type and other words",
    "spurious": "predicted where there is no entity",
    "missed": "an entity, and nothing was predicted there",
}
MOST_NOTES = 6
EXCERPT = 420
"""Characters of a text that are shown."""


def entity_sections(
    answers: Sequence[Answer],
    rows: pa.Table,
    spans: tuple[Rows, Rows],
    figures: Mapping[str, Mapping[str, float]],
    types: Sequence[str],
) -> list[Section]:
    """Return all sections on the true and predicted ``spans``; ``figures`` has the scores of each type."""
    credit = entity_credit(*spans).tolist()
    return [
        class_table(figures, ENTITIES, len(types), macro=False),
        _error_bars(*spans),
        _type_confusion(*spans, types),
        _entity_mistakes(answers, rows, spans, credit, types),
    ]


def _error_bars(truth: Rows, predicted: Rows) -> Section:
    """Make a bar chart of the kinds of errors."""
    kinds = error_kinds(truth, predicted)
    rows = [(name, kinds[name], about) for name, about in ERRORS.items()]
    return bars("Kinds of errors", rows, "Entities that are wrong or missed.")


def _type_confusion(truth: Rows, predicted: Rows, types: Sequence[str]) -> Section:
    """Make a confusion matrix of types from overlapping entities; the last row and column are no entity."""
    cells = confused_types(truth, predicted, types)
    note = (
        "Rows are the truth, columns the answer, by entities that overlap: other words of the right type "
        "count as right here. Colour is the share of the row."
    )
    return confusion_section(cells, [*types, None], ENTITIES, note)


def confused_types(truth: Rows, predicted: Rows, types: Sequence[str]) -> Counter[tuple[int, int]]:
    """Return {(true type, predicted type): number}; the index after the last type stands for no entity.

    A true entity is paired with the predicted one that shares most words with it; a predicted entity that
    overlaps no true one is paired with no entity.
    """
    place = {name: number for number, name in enumerate(types)}
    none = len(types)
    cells: Counter[tuple[int, int]] = Counter()
    for true, predicted_spans in zip(truth, predicted, strict=True):
        for span in true:
            best = max(predicted_spans, key=lambda other, span=span: _shared(span, other), default=None)  # type: ignore[misc]
            met = best is not None and _shared(span, best)[0] > 0
            cells[place[span.label], place[best.label] if met and best else none] += 1
        for span in predicted_spans:
            if not any(_shared(span, other)[0] > 0 for other in true):
                cells[none, place[span.label]] += 1
    return cells


def _shared(span: Span, other: Span) -> tuple[int, bool]:
    """Return the number of shared words of two entities, and whether they have the same type."""
    return min(span.end, other.end) - max(span.start, other.start), span.label == other.label


class _Difference(NamedTuple):
    """A wrong or missed entity: its first word, and a description of the error."""

    start: int
    note: str


def _entity_mistakes(
    answers: Sequence[Answer],
    rows: pa.Table,
    spans: tuple[Rows, Rows],
    credit: Sequence[float],
    types: Sequence[str],
) -> Section:
    """Show the most confident wrong rows: true entities above their texts, predicted ones below."""
    mistakes = confident_mistakes(answers, credit)
    shown = rows.select(["text", "starts", "ends"]).take(pa.array(mistakes, pa.int64())).to_pylist()
    truth, predicted = spans
    items = [
        _item(answers[number], row, truth[number], predicted[number])
        for number, row in zip(mistakes, shown, strict=True)
    ]
    note = (
        "Over the text stands the truth, under it what the model said, with ✓ where that is right and ✗ "
        "where it is wrong. Dashed lines: wrong or missed."
    )
    return marked_texts("Mistakes", items, types, note, compared=True)


def _item(answer: Answer, row: dict[str, Any], truth: Sequence[Span], predicted: Sequence[Span]) -> Item:
    differences = sorted(_differences(row, truth, predicted))
    notes = [difference.note for difference in differences]
    if len(notes) > MOST_NOTES:
        notes = [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more"]
    focus = row["starts"][differences[0].start]
    text, above, below = excerpt(row["text"], focus, _marks(truth, row), _marks(predicted, row))
    return item(text, answer, above=above, below=below, notes=notes)


def _differences(row: dict[str, Any], truth: Sequence[Span], predicted: Sequence[Span]) -> list[_Difference]:
    """List the errors of a row: wrong predicted entities, and missed entities."""
    true, differences = set(truth), []
    for span in predicted:
        if span in true:
            continue
        touched = [other for other in truth if _shared(span, other)[0] > 0]
        is_in_truth = "; ".join(_named(other, row) for other in touched) or "no entity"
        differences.append(_Difference(span.start, f"said {_named(span, row)}, is {is_in_truth}"))
    for span in truth:
        if not any(_shared(span, other)[0] > 0 for other in predicted):
            differences.append(_Difference(span.start, f"missed {_named(span, row)}"))
    return differences


def _named(span: Span, row: dict[str, Any]) -> str:
    start, end = row["starts"][span.start], row["ends"][span.end - 1]
    return f"{span.label} “{row['text'][start:end]}”"


def _marks(spans: Sequence[Span], row: dict[str, Any]) -> list[Mark]:
    return [(row["starts"][span.start], row["ends"][span.end - 1], span.label) for span in spans]


def excerpt(
    text: str, focus: int, above: Sequence[Mark], below: Sequence[Mark] = (), most: int = EXCERPT
) -> tuple[str, list[Mark], list[Mark]]:
    """Return the part of a long text around the character ``focus``, with the marks inside it.

    Example
    -------
    >>> excerpt("we met Ada in Paris", 7, [(7, 10, "PER"), (14, 19, "LOC")], most=9)
    ('… et Ada in …', [(5, 8, 'PER')], [])
    """
    if len(text) <= most:
        return text, list(above), list(below)
    start = max(0, min(focus - most // 3, len(text) - most))
    end = start + most
    left, right = ("… " if start else ""), (" …" if end < len(text) else "")
    shift = len(left) - start
    return (
        left + text[start:end] + right,
        _inside(above, start, end, shift),
        _inside(below, start, end, shift),
    )


def _inside(marks: Sequence[Mark], start: int, end: int, shift: int) -> list[Mark]:
    return [
        (max(first, start) + shift, min(last, end) + shift, label)
        for first, last, label in marks
        if first < end and last > start
    ]
