"""Reply to a message in a conversation: a template, an answer that was found, or a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.finder import Finder, SearchResult, Thresholds
from react_ray.apps.assist.reader import best_sentences, read_answer
from react_ray.apps.assist.templates import Template

if TYPE_CHECKING:
    from react_ray import Classifier, TextEncoder

__all__ = ["Assistant", "Reply"]

READ_PASSAGES = 3
"""Best entries that a reader looks for the answer in."""
FOLLOW_UP_CHARS = 60
"""A longer message is understood by itself."""


@dataclass(frozen=True)
class Reply:
    """An answer to a message.

    Attributes
    ----------
    kind
        template, answer or handover.
    text
        "" for a handover.
    source
        Where the answer is from: a row of the history or a document; None for others.
    intent, score
        The most probable intent, and how sure the assistant is of what it does.
    entry, whole
        Number of the entry that an answer is from, and its whole answer; None for others.
    """

    kind: str
    text: str
    source: str | None
    intent: str | None
    score: float
    entry: int | None = None
    whole: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a client gets."""
        names = ("kind", "text", "source", "intent", "score")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Assistant:
    """All that answers a message; keeps no state.

    Attributes
    ----------
    classifier
        A fine-tuned classifier of intents; None: that of the finder.
    reader
        A question answering model; None: the best sentences.
    """

    finder: Finder
    thresholds: Thresholds
    templates: Mapping[str, Template]
    encoder: TextEncoder
    classifier: Classifier | None = None
    reader: Classifier | None = None

    def find(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> list[SearchResult]:
        """Find what answers each question, without a conversation; ``vectors`` are their embeddings."""
        intent_probabilities: Any = [None] * len(texts)
        if self.classifier is not None and self.finder.intents is not None:
            order = [self.classifier.labels.index(name) for name in self.finder.intents.names]
            intent_probabilities = self.classifier.predict_proba(list(texts))[:, order].astype(np.float64)
        return [
            self.finder.find(text, vector, probabilities=probabilities)
            for text, vector, probabilities in zip(texts, vectors, intent_probabilities, strict=True)
        ]

    def reply(self, message: str, earlier: Sequence[str] = ()) -> Reply:
        """Answer a message; ``earlier`` are the customer's messages before it."""
        return self.replies([(message, earlier)])[0]

    def replies(self, messages: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:
        """Answer messages of several conversations together, each with the customer's earlier messages.

        A short message that says too little by itself is understood together with the one before.
        """
        replies = self._understood([(text, [*earlier, text]) for text, earlier in messages])
        follow_ups = [
            place
            for place, (text, earlier) in enumerate(messages)
            if replies[place].kind == "handover" and earlier and is_follow_up(text)
        ]
        with_context = self._understood(
            [
                (f"{messages[i][1][-1]} {messages[i][0]}", [*messages[i][1], messages[i][0]])
                for i in follow_ups
            ]
        )
        for place, reply in zip(follow_ups, with_context, strict=True):
            replies[place] = replies[place] if reply.kind == "handover" else reply
        return replies

    def _understood(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:
        """Decide on each text, with the messages that slots are filled from."""
        texts = [text for text, _ in questions]
        vectors = self.encoder.encode(texts)
        return [
            self.decide(result, text, vector, messages)
            for result, vector, (text, messages) in zip(
                self.find(texts, vectors), vectors, questions, strict=True
            )
        ]

    def decide(
        self, result: SearchResult, text: str, vector: NDArray[np.float32], messages: Sequence[str]
    ) -> Reply:
        """Choose between a template, the answer that was found, and a person.

        A template is for an intent that is sure, or that of an entry that surely answers the question.
        """
        if result.scope_score < self.thresholds.scope:
            return Reply("handover", "", None, result.intent, 1 - result.scope_score)
        if result.intent_score >= self.thresholds.intent:
            filled = self._template(result.intent, messages)
            if filled is not None:
                return Reply("template", filled, None, result.intent, result.intent_score)
        if result.answer_score >= self.thresholds.answer and len(result.numbers):
            intent = self.finder.index.entry(int(result.numbers[0])).intent
            filled = self._template(intent, messages)
            if filled is not None:
                return Reply("template", filled, None, intent, result.answer_score)
            return self.answer(result, text, vector)
        return Reply("handover", "", None, result.intent, 1 - result.answer_score)

    def _template(self, intent: str | None, messages: Sequence[str]) -> str | None:
        template = self.templates.get(intent or "")
        return None if template is None else template.fill(messages)

    def answer(self, result: SearchResult, text: str, vector: NDArray[np.float32]) -> Reply:
        """Return the answer that was found, however sure it is; there must be one."""
        entries = self.finder.index.entries(result.numbers[:READ_PASSAGES].tolist())
        place, answer = 0, None
        if self.reader is not None:
            read = read_answer(self.reader, text, [entry.answer for entry in entries])
            if read is not None:
                place, answer = read
        if answer is None:
            answer = best_sentences(entries[0].answer, vector, self.encoder.encode)
        number, whole = int(result.numbers[place]), entries[place].answer
        return Reply(
            "answer", answer, entries[place].source, result.intent, result.answer_score, number, whole
        )


def is_follow_up(message: str) -> bool:
    """Return whether a message may need the one before it to be understood: it is short.

    >>> is_follow_up("and how long does it take?")
    True
    """
    return len(re.sub(r"\s+", " ", message)) <= FOLLOW_UP_CHARS
