"""What a question is about: its intent, the entries that may answer it, and how sure both are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.index import SIDES, Candidates, Index
from react_ray.apps.assist.intents import SCOPE_FEATURES, IntentClassifier
from react_ray.apps.assist.ranking import Logistic, design

__all__ = ["SIGNALS", "Finder", "SearchResult", "Thresholds", "answer_groups"]

SIGNALS = ("score", "margin", "question_cosine", "five_questions", "answer_cosine", *SCOPE_FEATURES)
"""Inputs of the logistic regressions; 0 where there is no answer or no intent."""
NEIGHBOURS = 5
INTENT = 4
"""Place of the probability of an entry's intent among the features."""


@dataclass(frozen=True)
class Thresholds:
    """Lowest probabilities that count as sure, fitted on held-out rows; above 1: never."""

    intent: float = 2.0
    answer: float = 2.0
    scope: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """Result for one question.

    Attributes
    ----------
    numbers, scores
        Entries, best first.
    intent, intent_score
        The most probable intent, None without a classifier, and its probability.
    signals
        SIGNALS.
    answer_score, scope_score
        Probability that the best entry answers the question, and that the question is in scope.
    """

    numbers: NDArray[np.int64]
    scores: NDArray[np.float64]
    intent: str | None
    intent_score: float
    signals: NDArray[np.float64]
    answer_score: float = 0.0
    scope_score: float = 1.0


@dataclass(frozen=True)
class Finder:
    """Index, classifier, and what was fitted on held-out rows.

    Attributes
    ----------
    groups
        A number for each different answer, entries; the margin of the best entry is over another answer.
    intent_codes
        For each entry the place of its intent among the names of the classifier; -1: none.
    """

    index: Index
    groups: NDArray[np.int64]
    weights: NDArray[np.float64]
    intents: IntentClassifier | None = None
    intent_codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    answer: Logistic | None = None
    scope: Logistic | None = None

    def find(
        self,
        text: str,
        vector: NDArray[np.float32],
        *,
        probabilities: NDArray[np.float64] | None = None,
        without: Collection[int] = (),
        hidden: Collection[int] = (),
    ) -> SearchResult:
        """Find what answers a question.

        Parameters
        ----------
        text, vector
            The question and its embedding, d.
        probabilities
            Of the intents, K, by another classifier; None: by :attr:`intents`.
        without, hidden
            Entries that are left out, and entries that are taken as if they had no question, to measure.
        """
        if probabilities is None and self.intents is not None:
            probabilities = np.exp(self.intents.log_probabilities(vector[None])[0])
        candidates = self.candidates(text, vector, probabilities, without)
        has_question = self.index.has_question[candidates.numbers]
        if hidden:
            has_question = has_question & ~np.isin(candidates.numbers, list(hidden))
        scores = design(candidates, has_question) @ self.weights
        order = np.argsort(-scores, kind="stable")
        numbers, scores = candidates.numbers[order], scores[order]
        intent, intent_score = None, 0.0
        if probabilities is not None and self.intents is not None:
            best = int(np.argmax(probabilities))
            intent, intent_score = self.intents.names[best], float(probabilities[best])
        signals = self._signals(vector, numbers, scores, without, hidden)
        result = SearchResult(numbers, scores, intent, intent_score, signals)
        if self.answer is None or self.scope is None:
            return result
        answer = float(self.answer.probability(signals[None])[0]) if len(numbers) else 0.0
        scope = float(self.scope.probability(signals[None])[0])
        return SearchResult(numbers, scores, intent, intent_score, signals, answer, scope)

    def candidates(
        self,
        text: str,
        vector: NDArray[np.float32],
        probabilities: NDArray[np.float64] | None,
        without: Collection[int] = (),
    ) -> Candidates:
        """Return the candidates with the probability of their intent among the features."""
        candidates = self.index.search(text, vector, without)
        if probabilities is not None and len(self.intent_codes):
            codes = self.intent_codes[candidates.numbers]
            candidates.features[:, INTENT] = np.where(codes >= 0, probabilities[codes], 0)
        return candidates

    def _signals(
        self,
        vector: NDArray[np.float32],
        numbers: NDArray[np.int64],
        scores: NDArray[np.float64],
        without: Collection[int],
        hidden: Collection[int],
    ) -> NDArray[np.float64]:
        signals = np.zeros(len(SIGNALS))
        if len(numbers):
            other_scores = scores[self.groups[numbers] != self.groups[numbers[0]]]
            signals[0] = scores[0]
            signals[1] = min(scores[0] - other_scores[0], 10.0) if len(other_scores) else 10.0
        question, answer = (self.index.cosines(vector, side) for side in SIDES)
        question[[*without, *hidden]] = 0
        answer[list(without)] = 0
        nearest = _largest(question)
        signals[2:5] = nearest.max(initial=0), nearest.mean(), answer.max(initial=0)
        if self.intents is not None:
            signals[5:] = self.intents.scope_features(vector[None])[0]
        return signals


def _largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    count = min(NEIGHBOURS, len(values))
    largest: NDArray[np.float32] = np.partition(values, -count)[-count:]
    return largest


def answer_groups(answers: list[str]) -> NDArray[np.int64]:
    """Return a number for each different answer; answers that differ in white space and case are the same.

    Entries without an answer are all different.

    >>> answer_groups(["Yes.", "yes. ", "No.", "", ""]).tolist()
    [0, 0, 1, 2, 3]
    """
    numbers: dict[str, int] = {}
    keys = [" ".join(answer.lower().split()) or f"\0{place}" for place, answer in enumerate(answers)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
