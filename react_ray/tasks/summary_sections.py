"""Sections of a report on extractive summaries: scores beside baselines, and marked documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.rouge import ROUGE, rouge
from react_ray.tasks.sections import Heading, Item, Section, item, marked_texts, table
from react_ray.tasks.sentence_selection import lead, oracle, text_rank

__all__ = ["baselines", "join_sentences", "sentences_of", "summary_sections"]

SHOWN = 8
SHOWN_CHARS = 4_000
MARK = "sentence of the summary"
ABOUT = {
    "model": "the sentences that the model selects",
    "lead": "the first sentences of each document",
    "text_rank": "the sentences that share most words with others (TextRank)",
    "oracle": "the sentences that are most like the reference: no selection can be much better",
}


def sentences_of(row: Mapping[str, Any]) -> list[str]:
    """The sentences of a row with text, starts and ends."""
    return [row["text"][start:end] for start, end in zip(row["starts"], row["ends"], strict=True)]


def join_sentences(sentences: Sequence[str], text: str) -> str:
    """Sentences with a space between them, or none where ``text`` is written without spaces."""
    spaced = any(character.isspace() for character in text.strip())
    return (" " if spaced or not sentences else "").join(sentences)


def baselines(rows: pa.Table, count: int) -> dict[str, dict[str, float]]:
    """ROUGE of the first ``count`` sentences, of TextRank and of the oracle."""
    columns = rows.select(["text", "starts", "ends", "summary"]).to_pylist()
    selectors: dict[str, Callable[[list[str], str], list[int]]] = {
        "lead": lambda sentences, _: lead(sentences, count),
        "text_rank": lambda sentences, _: text_rank(sentences, count),
        "oracle": lambda sentences, summary: oracle(sentences, summary),
    }
    scores = {}
    for name, choose in selectors.items():
        texts = []
        for row in columns:
            sentences = sentences_of(row)
            chosen = choose(sentences, row["summary"])
            texts.append(join_sentences([sentences[place] for place in chosen], row["text"]))
        means = rouge(texts, [row["summary"] for row in columns]).mean(0)
        scores[name] = dict(zip(ROUGE, means.tolist(), strict=True))
    return scores


def summary_sections(
    answers: Sequence[Answer],
    rows: pa.Table,
    scores: Mapping[str, float],
    baseline_scores: Mapping[str, Mapping[str, float]],
    credit: NDArray[np.float64],
) -> list[Section]:
    """Return a table of ROUGE, and documents with the worst and the best summaries."""
    lines = [
        [name.replace("_", " "), *(float(values[metric]) for metric in ROUGE), ABOUT[name]]
        for name, values in {"model": scores, **baseline_scores}.items()
    ]
    headings: list[Heading] = [
        ("", "name"),
        *((metric, "score") for metric in ROUGE),
        ("what it selects", "text"),
    ]
    return [
        table(
            "ROUGE beside baselines", headings, lines, "Mean F-measures; baselines select as many sentences."
        ),
        marked_texts(
            "Documents and their sentences",
            _items(answers, rows, credit),
            [MARK],
            "Above the text: the sentences most like the reference. Below it: those that the model selects. "
            "Documents with the lowest ROUGE-L first, then those with the highest.",
            compared=True,
        ),
    ]


def _items(answers: Sequence[Answer], rows: pa.Table, credit: NDArray[np.float64]) -> list[Item]:
    order = np.argsort(credit, kind="stable")
    shown = [*order[: SHOWN // 2], *order[max(SHOWN // 2, len(order) - SHOWN // 2) :]]
    items = []
    for place in map(int, shown):
        row = rows.slice(place, 1).to_pylist()[0]
        text = row["text"][:SHOWN_CHARS]
        true = [(row["starts"][n], row["ends"][n]) for n in oracle(sentences_of(row), row["summary"])]
        above, below = (
            [(start, end, MARK) for start, end in spans if end <= len(text)]
            for spans in (true, answers[place].value)
        )
        notes = [f"Reference: {row['summary']}", f"ROUGE-L {credit[place]:.2f}"]
        items.append(item(text, answers[place], above=above, below=below, notes=notes))
    return items
