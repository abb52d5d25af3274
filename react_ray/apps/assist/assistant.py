"""Reply to a message in a conversation: a template, an answer that was found, or a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.finder import Finder, Found, Thresholds
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

    def find(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> list[Found]:
        """Find what answers each question, without a conversation; ``vectors`` are their embeddings."""
        given: Any = [None] * len(texts)
        if self.classifier is not None and self.finder.intents is not None:
            order = [self.classifier.labels.index(name) for name in self.finder.intents.names]
            given = self.classifier.predict_proba(list(texts))[:, order].astype(np.float64)
        return [
            self.finder.find(text, vector, probabilities=probabilities)
            for text, vector, probabilities in zip(texts, vectors, given, strict=True)
        ]

    def reply(self, message: str, earlier: Sequence[str] = ()) -> Reply:
        """Answer a message; ``earlier`` are the customer's messages before it."""
        return self.replies([(message, earlier)])[0]

    def replies(self, messages: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:
        """Answer messages of several conversations together, each with the customer's earlier messages.

        A short message that says too little by itself is understood together with the one before.
        """
        found = self._understood([(text, [*earlier, text]) for text, earlier in messages])
        again = [
            place
            for place, (text, earlier) in enumerate(messages)
            if found[place].kind == "handover" and earlier and is_follow_up(text)
        ]
        with_context = self._understood(
            [(f"{messages[i][1][-1]} {messages[i][0]}", [*messages[i][1], messages[i][0]]) for i in again]
        )
        for place, reply in zip(again, with_context, strict=True):
            found[place] = found[place] if reply.kind == "handover" else reply
        return found

    def _understood(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:
        """Decide on each text, with the messages that slots are filled from."""
        texts = [text for text, _ in asked]
        vectors = self.encoder.encode(texts)
        return [
            self.decide(found, text, vector, messages)
            for found, vector, (text, messages) in zip(self.find(texts, vectors), vectors, asked, strict=True)
        ]

    def decide(self, found: Found, text: str, vector: NDArray[np.float32], messages: Sequence[str]) -> Reply:
        """Choose between a template, the answer that was found, and a person.

        A template is for an intent that is sure, or that of an entry that surely answers the question.
        """
        if found.scope_score < self.thresholds.scope:
            return Reply("handover", "", None, found.intent, 1 - found.scope_score)
        if found.intent_score >= self.thresholds.intent:
            filled = self._template(found.intent, messages)
            if filled is not None:
                return Reply("template", filled, None, found.intent, found.intent_score)
        if found.answer_score >= self.thresholds.answer and len(found.numbers):
            intent = self.finder.index.entry(int(found.numbers[0])).intent
            filled = self._template(intent, messages)
            if filled is not None:
                return Reply("template", filled, None, intent, found.answer_score)
            return self.answer(found, text, vector)
        return Reply("handover", "", None, found.intent, 1 - found.answer_score)

    def _template(self, intent: str | None, messages: Sequence[str]) -> str | None:
        template = self.templates.get(intent or "")
        return None if template is None else template.fill(messages)

    def answer(self, found: Found, text: str, vector: NDArray[np.float32]) -> Reply:
        """Return the answer that was found, however sure it is; there must be one."""
        entries = self.finder.index.entries(found.numbers[:READ_PASSAGES].tolist())
        place, answer = 0, None
        if self.reader is not None:
            read = read_answer(self.reader, text, [entry.answer for entry in entries])
            if read is not None:
                place, answer = read
        if answer is None:
            answer = best_sentences(entries[0].answer, vector, self.encoder.encode)
        number, whole = int(found.numbers[place]), entries[place].answer
        return Reply("answer", answer, entries[place].source, found.intent, found.answer_score, number, whole)


def is_follow_up(message: str) -> bool:
    """Return whether a message may need the one before it to be understood: it is short.

    >>> is_follow_up("and how long does it take?")
    True
    """
    return len(re.sub(r"\s+", " ", message)) <= FOLLOW_UP_CHARS
