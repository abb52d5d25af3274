"""Report sections on label sets: scores of labels, missing and extra labels, and wrong sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.sections import Heading, Section, confident_mistakes, item, marked_texts, shorten, table

__all__ = ["average_precision", "set_mistakes", "set_pairs"]

MOST_PAIRS = 20


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Return the mean precision at the rank of each true row by ``scores``; None without a true row.

    Equals ``sklearn.metrics.average_precision_score``: rows with the same score count together.

    Example
    -------
    >>> average_precision(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]))
    0.8333333333333333
    """
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    gained = np.diff(hits[last], prepend=0)
    return float((gained * hits[last] / (last + 1)).sum() / truth.sum())


def set_pairs(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Section:
    """Make a table of pairs of missing and extra labels, by how often they occur in the same row."""
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    for true, predicted_labels in zip(map(set, truth), map(set, predicted), strict=True):
        missed: list[str | None] = [*sorted(true - predicted_labels)]
        extra: list[str | None] = [*sorted(predicted_labels - true)]
        if missed or extra:
            pairs.update((missing, surplus) for missing in missed or [None] for surplus in extra or [None])
    rows = [[*pair, n] for pair, n in pairs.most_common(MOST_PAIRS)]
    columns: list[Heading] = [("Missed", "name"), ("predicted but wrong", "name"), ("Rows", "count")]
    note = "Labels that are wrong in the same row; a dash stands for none."
    return table("Labels mixed up most", columns, rows, note)


def set_mistakes(answers: Sequence[Answer], rows: pa.Table, credit: Sequence[float]) -> Section:
    """Show texts with the predicted and the true labels."""
    mistakes = confident_mistakes(answers, credit)
    shown = rows.select(["text", "labels"]).take(pa.array(mistakes, pa.int64())).to_pylist()
    items = []
    for number, row in zip(mistakes, shown, strict=True):
        true, predicted = set(row["labels"]), set(answers[number].value)
        notes = [f"missed {name}" for name in sorted(true - predicted)]
        notes += [f"too much: {name}" for name in sorted(predicted - true)]
        said, truth = (", ".join(sorted(names)) or "no label" for names in (predicted, true))
        items.append(item(shorten(row["text"]), answers[number], said=said, truth=truth, notes=notes))
    return marked_texts("Mistakes", items)
