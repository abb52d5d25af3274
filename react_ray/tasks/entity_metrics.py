"""Metrics of entities, as functions of summed counts; an entity is correct if its span and type are.

The values equal those of seqeval (conlleval): precision, recall and F1 over all entities, and of each type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from react_ray.tasks.closed_metrics import Counts, f1_of_counts
from react_ray.tasks.tagging import Span

__all__ = ["entity_credit", "entity_scores", "entity_statistics", "error_kinds"]

Rows = Sequence[Iterable[Span]]
"""The entities of each row."""


def entity_statistics(truth: Rows, predicted: Rows, types: Sequence[str]) -> csr_array:
    """Count entities of each row and type.

    Returns
    -------
    n x 3T sparse counts, in blocks of T columns: true entities, predicted entities, entities that are both.
    """
    column = {name: number for number, name in enumerate(types)}
    counts: Counter[tuple[int, int]] = Counter()
    for row, (true, predicted_spans) in enumerate(zip(truth, predicted, strict=True)):
        blocks = (set(true), set(predicted_spans), set(true) & set(predicted_spans))
        counts.update(
            (row, block * len(types) + column[span.label])
            for block, spans in enumerate(blocks)
            for span in spans
        )
    places = np.array(list(counts), dtype=np.int64).reshape(-1, 2).T
    values = np.fromiter(counts.values(), np.float64, len(counts))
    return csr_array((values, tuple(places)), shape=(len(truth), 3 * len(types)))


def entity_scores(sums: NDArray[np.float64]) -> dict[str, Any]:
    """Return micro-averaged F1, precision and recall of sums (... x 3T), each of shape (...)."""
    true, predicted, hits = (part.sum(-1) for part in np.split(np.asarray(sums, np.float64), 3, axis=-1))
    return {
        "entity_f1": f1_of_counts(true, predicted, hits),
        "entity_precision": _ratio(hits, predicted),
        "entity_recall": _ratio(hits, true),
    }


def entity_credit(truth: Rows, predicted: Rows) -> NDArray[np.float64]:
    """Return the entity F1 of each row (n, 0 to 1); 1 where a row has none and none are predicted."""
    credit = []
    for true, predicted_spans in zip(map(set, truth), map(set, predicted), strict=True):
        total = len(true) + len(predicted_spans)
        credit.append(2 * len(true & predicted_spans) / total if total else 1.0)
    return np.array(credit)


def error_kinds(truth: Rows, predicted: Rows) -> dict[str, int]:
    """Count wrong predicted entities by kind of error, and missed entities.

    ``type``: the correct span with another type; ``boundary``: overlaps an entity of its type; ``both``:
    overlaps an entity of another type; ``spurious``: overlaps none; ``missed``: true entities that no
    predicted one overlaps.
    """
    kinds = Counter(dict.fromkeys(("type", "boundary", "both", "spurious", "missed"), 0))
    for true, predicted_spans in zip(map(set, truth), map(set, predicted), strict=True):
        kinds.update(_kind(span, true) for span in predicted_spans - true)
        kinds["missed"] += sum(not any(_overlap(span, other) for other in predicted_spans) for span in true)
    return dict(kinds)


def _kind(span: Span, true: set[Span]) -> str:
    touched = [other for other in true if _overlap(span, other)]
    if any((other.start, other.end) == (span.start, span.end) for other in touched):
        return "type"
    if any(other.label == span.label for other in touched):
        return "boundary"
    return "both" if touched else "spurious"


def _overlap(span: Span, other: Span) -> bool:
    return span.start < other.end and other.start < span.end


def _ratio(numerator: Counts, denominator: Counts) -> Counts:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(denominator)), where=denominator > 0)
