"""Extractive reader: the sentences of a passage that answer a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from react_ray import split_sentences

if TYPE_CHECKING:
    from react_ray import Classifier

__all__ = ["best_sentences", "read_answer"]

WHOLE_CHARS = 500
"""Maximum length of an answer that is returned whole."""
SENTENCES = 3
"""Sentences of a longer one."""
MAX_SENTENCES = 60

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def best_sentences(passage: str, question: NDArray[np.float32], encode: Encode) -> str:
    """Return a short passage whole, of a longer one the consecutive sentences nearest to the question.

    ``question`` is its embedding.
    """
    if len(passage) <= WHOLE_CHARS:
        return passage
    spans = split_sentences(passage)[:MAX_SENTENCES]
    nearness = encode([passage[start:end] for start, end in spans]) @ question
    best = int(np.argmax(nearness))
    starts = range(max(0, best - SENTENCES + 1), best + 1)
    first = max(starts, key=lambda start: float(nearness[start : start + SENTENCES].mean()))
    return passage[spans[first][0] : spans[min(first + SENTENCES, len(spans)) - 1][1]]


def read_answer(reader: Classifier, question: str, passages: Sequence[str]) -> tuple[int, str] | None:
    """Return the passage with the best span and the sentences that the span is in; None: no answer."""
    inputs = [{"question": question, "context": passage} for passage in passages]
    answers = [ranking[0] for ranking in reader.predict(inputs)]
    best = max(range(len(answers)), key=lambda i: (bool(answers[i].answer), answers[i].score))
    answer = answers[best]
    if not answer.answer:
        return None
    touched = [
        (start, end)
        for start, end in split_sentences(passages[best])
        if start < answer.end and end > answer.start
    ]
    return best, passages[best][touched[0][0] : touched[-1][1]]
