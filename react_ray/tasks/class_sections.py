"""Report sections on classes: table of scores, confusion, and most confident mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.tasks.nouns import Nouns
from react_ray.tasks.sections import (
    REPORT_MATRIX_CLASSES,
    Heading,
    Section,
    confident_mistakes,
    item,
    marked_texts,
    matrix,
    shorten,
    table,
)

__all__ = ["class_table", "confusion_section", "plain_mistakes"]

MOST_PAIRS = 20
MATRIX_NOTE = "Rows are the truth, columns the answer; colour is the share of the row."


def class_table(
    figures: Mapping[str, Mapping[str, float]],
    nouns: Nouns,
    total: int,
    extra: Mapping[str, Mapping[str, Any]] | None = None,
    headings: Sequence[Heading] = (),
    macro: bool = True,
) -> Section:
    """Make a table of F1, precision and recall of each class, worst first.

    ``total`` is the number of all classes; ``extra`` has further columns, {title: {class: value}}, with
    formats in ``headings``; ``macro`` is whether the headline metric weights all classes equally.
    """
    columns: list[Heading] = [
        (nouns.option.capitalize(), "name"),
        ("", "bar"),
        ("F1", "score"),
        ("Precision", "score"),
        ("Recall", "score"),
        *headings,
        (nouns.counted.capitalize(), "count"),
    ]
    rows = []
    for name, scores in sorted(figures.items(), key=lambda pair: pair[1]["f1"]):
        more = [(extra or {})[title].get(name) for title, _ in headings]
        f1, precision, recall = scores["f1"], scores["precision"], scores["recall"]
        rows.append([name, f1, f1, precision, recall, *more, scores["support"]])
    note = ""
    if total > len(figures):
        single = total == len(figures) + 1
        number = nouns.number(total - len(figures))
        note = (
            f"{number} {'is' if single else 'are'} neither the truth nor the answer for any of these rows"
            + (f"; {'it does' if single else 'they do'} not count in macro-F1." if macro else ".")
        )
    return table("Scores", columns, rows, note, f"better {nouns.options}")


def confusion_section(
    cells: Mapping[tuple[int, int], int],
    names: Sequence[str | None],
    nouns: Nouns,
    text: str = MATRIX_NOTE,
    elsewhere: str = "",
) -> Section:
    """Make a confusion matrix of {(truth, predicted): number}, or for many classes a table of the top pairs.

    The name None stands for no class; ``elsewhere`` is a note on where to find the complete matrix.
    """
    if len(names) <= REPORT_MATRIX_CLASSES:
        counts = [[cells.get((i, j), 0) for j in range(len(names))] for i in range(len(names))]
        return matrix("Confusion matrix", names, counts, text)
    totals: Counter[int] = Counter()
    for (truth, _), n in cells.items():
        totals[truth] += n
    pairs: list[list[Any]] = [
        [names[truth], names[predicted], n, n / totals[truth]]
        for (truth, predicted), n in cells.items()
        if truth != predicted
    ]
    pairs.sort(key=lambda pair: (-pair[2], -pair[3]))
    columns: list[Heading] = [
        ("Truth", "name"),
        ("taken for", "name"),
        (nouns.counted.capitalize(), "count"),
        (f"of the {nouns.option}", "share"),
    ]
    note = f"{nouns.number(len(names))} are too many for a matrix to read{elsewhere}."
    return table(f"{nouns.options.capitalize()} mixed up most", columns, pairs[:MOST_PAIRS], note)


def plain_mistakes(
    answers: Sequence[Answer], rows: pa.Table, credit: Sequence[float], inputs: Sequence[str]
) -> Section:
    """Show texts with the predicted and the true class; ``inputs`` are the columns of texts."""
    mistakes = confident_mistakes(answers, credit)
    items = []
    for number, row in zip(mistakes, rows.take(pa.array(mistakes, pa.int64())).to_pylist(), strict=True):
        answer = answers[number]
        texts = {name if len(inputs) > 1 else "": shorten(row[name]) for name in inputs}
        likely = dict(answer.ranking).get(row["label"], 0.0)
        items.append(item(texts, answer, said=answer.value, truth=row["label"], truth_probability=likely))
    return marked_texts("Mistakes", items)
