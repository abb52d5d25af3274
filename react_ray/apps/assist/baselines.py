"""What an assistant is compared with: words alone, embeddings alone, and n-grams with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.index import FEATURES, Index
from react_ray.apps.assist.read import Entry

__all__ = ["Ranked", "bm25", "embeddings", "ngram_classifier"]


@dataclass(frozen=True)
class Ranked:
    """Entries for each question, best first, and how near the best one is."""

    numbers: list[NDArray[np.int64]]
    scores: NDArray[np.float64]


def bm25(index: Index, texts: Sequence[str], vectors: NDArray[np.float32]) -> Ranked:
    """Rank by the larger BM25 of question and answer: an entry that has one of them only can be first."""
    columns = [FEATURES.index("question_bm25"), FEATURES.index("answer_bm25")]
    return _ranked(index, texts, vectors, lambda features: features[:, columns].max(1))


def embeddings(index: Index, texts: Sequence[str], vectors: NDArray[np.float32]) -> Ranked:
    """Rank by the larger cosine of question and answer."""
    columns = [FEATURES.index("question_cosine"), FEATURES.index("answer_cosine")]
    return _ranked(index, texts, vectors, lambda features: features[:, columns].max(1))


def _ranked(index: Index, texts: Sequence[str], vectors: NDArray[np.float32], score: object) -> Ranked:
    assert callable(score)
    numbers, best = [], []
    intents_only = not index.has_answer.any()  # the nearest question then tells what is in scope
    for text, vector in zip(texts, vectors, strict=True):
        candidates = index.search(text, vector, unanswered=intents_only)
        scores = score(candidates.features)
        order = np.argsort(-scores, kind="stable")
        numbers.append(candidates.numbers[order])
        best.append(float(scores.max(initial=0)))
    return Ranked(numbers, np.array(best))


def ngram_classifier(
    entries: Sequence[Entry], texts: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]] | None:
    """Return the intent of each text and its probability, by words and character n-grams.

    As the pipeline that Rasa generates: counts of words and of 1 to 4 characters within words, and logistic
    regression. None where the entries have fewer than two intents.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    labelled = [(entry.question, entry.intent) for entry in entries if entry.question and entry.intent]
    if len({intent for _, intent in labelled}) < 2:
        return None
    grams = make_union(CountVectorizer(), CountVectorizer(analyzer="char_wb", ngram_range=(1, 4)))
    model = make_pipeline(grams, LogisticRegression(max_iter=300))
    model.fit([question for question, _ in labelled], [intent for _, intent in labelled])
    probabilities = model.predict_proba(list(texts))
    return model.classes_[probabilities.argmax(1)].tolist(), probabilities.max(1)
