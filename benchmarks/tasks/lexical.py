"""Answers by counting words: the sentence of the context that is most like the question, and a span in it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.answer import Answer
from react_ray.models.writing_systems import NO_SPACES
from react_ray.tasks import Task
from react_ray.tasks.answer_like import answer_like_spans
from react_ray.tasks.columns import NO_OPTIONS
from react_ray.tasks.sentences import split_sentences

__all__ = ["baselines", "lexical_answer"]

K1, B = 1.2, 0.75
"""Of BM25 (Robertson & Zaragoza 2009)."""
NUMERIC = re.compile(
    r"\bwhen\b|\bhow (?:many|much|old|long|far)\b|\bwhat year\b|多少|几|何时|哪.?年|什么时候"
)
WORD = re.compile(f"[{NO_SPACES}]|[^\\W_]+")
COMMON = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "in",
        "to",
        "is",
        "was",
        "were",
        "are",
        "did",
        "does",
        "do",
        "and",
        "for",
        "on",
        "by",
        "with",
        "what",
        "who",
        "which",
    ]
)


def baselines(task: Task, test: Path) -> dict[str, dict[str, float]]:
    """Figures of answers to questions that need no training; empty for other tasks."""
    if task.answers != "span":
        return {}
    cells = pq.read_table(test).to_pylist()
    rows = pa.Table.from_pylist(
        [task.parse(one, NO_OPTIONS) for one in cells], pa.schema([*task.inputs, task.target])
    )
    found = {
        "no_answer": [Answer([], 1.0)] * len(cells),
        "lexical": [Answer(lexical_answer(one["context"], one["question"]), 1.0) for one in cells],
    }
    return {name: task.measure(answers, rows, ()) for name, answers in found.items()}


def lexical_answer(context: str, question: str) -> list[list[int]]:
    """Return the span that answers a question: [[start, end]].

    Of the sentence with the highest BM25 for the question, the first answer-like span that shares no word
    with the question: a number where the question asks for one, else one that is none. Without such a
    span, the sentence.
    """
    sentences = split_sentences(context) or [(0, len(context))]
    words = [tokens(context[start:end]) for start, end in sentences]
    wanted = tokens(question)
    scores = bm25(words, wanted)
    start, end = sentences[max(range(len(sentences)), key=scores.__getitem__)]
    spans = [(start + a, start + b) for a, b in answer_like_spans(context[start:end])]
    free = [span for span in spans if not {*tokens(context[span[0] : span[1]])} & {*wanted}]
    numeric = NUMERIC.search(question.lower()) is not None
    fitting = [span for span in free if (re.search(r"\d", context[span[0] : span[1]]) is not None) == numeric]
    return [list((fitting or free or [(start, end)])[0])]


def tokens(text: str) -> list[str]:
    """Words in lower case without the most common; pairs of characters in scripts without spaces."""
    words = [word for word in WORD.findall(text.lower()) if word not in COMMON]
    pairs = [a + b for a, b in itertools.pairwise(words) if len(a) == len(b) == 1 and not a.isascii()]
    return [word for word in words if word.isascii() or len(word) > 1] + pairs


def bm25(sentences: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    """Score each sentence for a query, with the counts of these sentences alone."""
    mean = sum(map(len, sentences)) / len(sentences) or 1.0
    holding = Counter(word for sentence in sentences for word in {*sentence})
    scores = []
    for sentence in sentences:
        counts, norm = Counter(sentence), K1 * (1 - B + B * len(sentence) / mean)
        rarity = {
            word: log(1 + (len(sentences) - holding[word] + 0.5) / (holding[word] + 0.5)) for word in {*query}
        }
        scores.append(sum(rarity[w] * counts[w] * (K1 + 1) / (counts[w] + norm) for w in rarity))
    return scores
