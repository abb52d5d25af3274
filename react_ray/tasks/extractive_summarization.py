"""Extractive summarization: the sentences of a document that summarize it.

A sentence is a unit with two options, left out or selected. Its target comes from a reference summary: the
sentences that together are most like it. Every token of a sentence learns the option of its sentence, and a
sentence gets the mean of their probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import softmax

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig
from react_ray.models.tokenizer import Window
from react_ray.tasks.columns import Cells, Column, Options, text_cell
from react_ray.tasks.mean_scores import mean_scores
from react_ray.tasks.mention_changes import draw_of
from react_ray.tasks.nouns import SUMMARIES
from react_ray.tasks.rouge import ROUGE, rouge
from react_ray.tasks.sections import Section
from react_ray.tasks.sentence_selection import likeliest, oracle
from react_ray.tasks.sentences import split_sentences
from react_ray.tasks.summary_sections import baselines, join_sentences, sentences_of, summary_sections
from react_ray.tasks.task import Example, Outputs
from react_ray.tasks.units import Distributions
from react_ray.tasks.word_places import WordPlaces, place_all_tokens
from react_ray.tasks.word_tagging import WordTagging

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["ExtractiveSummarization"]

OPTIONS = ("left out", "selected")
SENTENCES = "summary_sentences"
"""Key of the number of sentences in the configuration of a saved model."""
DEFAULT_SENTENCES = 3
MOST_SENTENCES = 10


class ExtractiveSummarization(WordTagging):
    """Selects the sentences of a document that summarize it."""

    name = "extractive-summarization"
    title = "extractive summarization"
    nouns = SUMMARIES
    columns = (Column("document", "text"), Column("summary", "text", target=True))
    needs = (("document",),)
    inputs = (
        pa.field("text", pa.string()),
        pa.field("starts", pa.list_(pa.int32())),
        pa.field("ends", pa.list_(pa.int32())),
    )
    target = pa.field("summary", pa.string())
    fewest_classes = 0
    metrics = ROUGE
    operations = ("delete",)
    answers = "text"
    added: ClassVar[tuple[pa.Field, ...]] = (
        pa.field("summary_text", pa.string()),
        pa.field("score", pa.float64()),
    )
    auto_model = "AutoModelForTokenClassification"
    pipeline = "token-classification"

    # --- rows

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """A document, where its sentences start and end, and its summary."""
        text, summary = text_cell(cells, "document"), text_cell(cells, "summary")
        if text is None or not (spans := split_sentences(text)):
            raise ValueError("blank document: expected a text")
        starts, ends = zip(*spans, strict=True)
        return {"text": text, "starts": list(starts), "ends": list(ends), "summary": summary}

    def names_in(self, target: Any) -> list[str]:
        """Return no classes: every model has the same two options."""
        return []

    def cells_of(self, row: Mapping[str, Any], columns: Any) -> dict[str, Any]:
        """The document, and an empty summary."""
        return {"document": row["text"], "summary": ""}

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Copies without some of the sentences that the summary does not need."""
        if row["summary"] is None or config.operations == ():
            return []
        sentences = sentences_of(row)
        needed = set(oracle(sentences, row["summary"]))
        copies: dict[str, dict[str, Any]] = {}
        for number in range(config.copies):
            draw = draw_of(row, seed, number)
            kept = [n for n in range(len(sentences)) if n in needed or draw.random() >= 2 * config.strength]
            text = " ".join(sentences[n] for n in kept)
            if len(kept) < len(sentences) and text not in copies:
                copies[text] = self.parse({"document": text, "summary": row["summary"]}, Options())
        return list(copies.values())

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """A summary, or the sentences of an answer."""
        if isinstance(target, str):
            return target
        return _text(row["text"], target) if row else f"{len(target)} sentences"

    # --- the model

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """A token classifier with the options left out and selected."""
        from react_ray.models.heads import load_token_classifier

        return load_token_classifier(name, OPTIONS, dropout)

    def output_names(self, labels: Sequence[str]) -> list[str]:
        """The options of a sentence."""
        return list(OPTIONS)

    def classes_of(self, outputs: Sequence[str]) -> list[str]:
        """No classes."""
        return []

    def unit_targets(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """Sentences x 2, from the summary of each row (a text, or distributions)."""
        return _distributions(rows)

    def place(
        self, windows: Sequence[Window], starts: Sequence[int], ends: Sequence[int]
    ) -> list[WordPlaces]:
        """All tokens of each sentence: each learns the option of its sentence."""
        return place_all_tokens(windows, starts, ends)

    # --- answers

    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """The likeliest sentences, in the order of the document.

        There are as many as the model was calibrated to select, or else as their probabilities sum to. The
        value is [[start, end], ...] in characters; the score is the mean of their probabilities.
        """
        probabilities = self.propose(outputs, examples, rows, labels, settings)
        if SENTENCES not in settings:
            return self.decide(probabilities, rows, labels)
        return _answers(probabilities, rows, [settings[SENTENCES]] * len(rows))

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Find the number of sentences with the best ROUGE-L on ``rows``, kept in the configuration."""
        probabilities = self.propose(outputs, examples, rows, labels, {})
        scores = [
            self.credit(_answers(probabilities, rows, [count] * len(rows)), rows).mean()
            for count in range(1, MOST_SENTENCES + 1)
        ]
        return _store_count(model, 1 + int(np.argmax(scores)))

    def settle(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        unseen: Sequence[Example],
        run: Callable[[Sequence[Example]], Outputs],
    ) -> dict[str, float]:
        """Take the mean number of sentences that the summaries of the training rows select."""
        selected: dict[int, set[int]] = {}
        for example in examples:
            chosen = example.places.words[example.target[:, 1] > example.target[:, 0]]
            selected.setdefault(example.row, set()).update(chosen.tolist())
        counts = [len(sentences) for sentences in selected.values()]
        return _store_count(model, max(1, round(float(np.mean(counts or [DEFAULT_SENTENCES])))))

    # --- units, for the labeler

    def propose(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[NDArray[np.float32]]:
        """Probabilities of the options of each sentence: the mean over its tokens, in all windows."""
        sizes = [len(starts) for starts in rows["starts"].to_pylist()]
        sums = [np.zeros((size, len(OPTIONS) + 1)) for size in sizes]
        for logits, example in zip(outputs, examples, strict=True):
            shares = softmax(np.asarray(logits, np.float64), axis=1)
            np.add.at(sums[example.row], example.places.words, np.c_[shares, np.ones(len(shares))])
        return [_means(row_sums) for row_sums in sums]

    def distributions(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32]]:
        """The sentences of each summary as 0 and 1."""
        return [target for target in _distributions(rows) if target is not None]

    def decide(self, probabilities: Distributions, rows: pa.Table, labels: Sequence[str]) -> list[Answer]:
        """The likeliest sentences: as many as the probabilities sum to."""
        return _answers(probabilities, rows, [max(1, round(float(p[:, 1].sum()))) for p in probabilities])

    def soft_column(self, probabilities: Distributions) -> pa.Array:
        """Distributions of sentences in place of a summary."""
        kind = pa.list_(pa.list_(pa.float32()))
        return pa.array([distribution.tolist() for distribution in probabilities], kind)

    # --- predictions, as files and services give them

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """The summary and its score."""
        return {"summary_text": self.shown(answer.value, row), "score": answer.score}

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The summary, as the pipeline "summarization" of transformers gave it, and its sentences."""
        sentences = [
            {"start": start, "end": end, "score": score}
            for (start, end), (_, score) in zip(answer.value, answer.ranking, strict=True)
        ]
        return [
            {"summary_text": self.shown(answer.value, row), "score": answer.score, "sentences": sentences}
        ]

    # --- judgement

    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """ROUGE-L of each summary."""
        return _rouge(answers, rows)[:, 0]

    def correct(self, credit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``credit``: the score is no probability of a correct summary."""
        return credit

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """The F-measures of ROUGE of each row, and 1."""
        return np.c_[_rouge(answers, rows), np.ones(len(answers))]

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Mean F-measures."""
        return mean_scores(sums, ROUGE)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """ROUGE of the first sentences, of TextRank and of the oracle, with as many sentences."""
        count = round(float(np.mean([len(answer.value) for answer in answers] or [DEFAULT_SENTENCES])))
        return {"baselines": baselines(rows, max(1, count))}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """ROUGE beside baselines, and documents with their sentences marked."""
        scores = self.measure(answers, rows, labels)
        baseline_scores = self.details(answers, rows, labels)["baselines"]
        return summary_sections(answers, rows, scores, baseline_scores, self.credit(answers, rows))


def _distributions(rows: pa.Table) -> list[NDArray[np.float32] | None]:
    """Sentences x 2 of each row; None where it is unlabelled."""
    if not pa.types.is_string(rows["summary"].type):
        return [
            np.array(distribution, np.float32).reshape(-1, 2) for distribution in rows["summary"].to_pylist()
        ]
    targets: list[NDArray[np.float32] | None] = []
    for row in rows.select(["text", "starts", "ends", "summary"]).to_pylist():
        if row["summary"] is None:
            targets.append(None)
            continue
        chosen = oracle(sentences_of(row), row["summary"])
        target = np.tile(np.array([1, 0], np.float32), (len(row["starts"]), 1))
        target[chosen] = (0, 1)
        targets.append(target)
    return targets


def _means(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Means of the options; a sentence without tokens is left out."""
    counts = sums[:, -1:]
    means = np.where(counts > 0, sums[:, :-1] / np.maximum(counts, 1), np.array([[1.0, 0.0]]))
    return np.nan_to_num(means).astype(np.float32)


def _answers(probabilities: Distributions, rows: pa.Table, counts: Sequence[int]) -> list[Answer]:
    spans = zip(rows["starts"].to_pylist(), rows["ends"].to_pylist(), strict=True)
    answers = []
    for selected, (starts, ends), count in zip(probabilities, spans, counts, strict=True):
        chosen = likeliest(selected[:, 1], count)
        scores = [float(selected[place, 1]) for place in chosen]
        value = [[starts[place], ends[place]] for place in chosen]
        ranking = tuple((OPTIONS[1], score) for score in scores)
        answers.append(Answer(value, float(np.mean(scores or [0.0])), ranking))
    return answers


def _text(text: str, spans: Sequence[Sequence[int]]) -> str:
    return join_sentences([text[start:end] for start, end in spans], text)


def _rouge(answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
    texts = [
        _text(text, answer.value) for text, answer in zip(rows["text"].to_pylist(), answers, strict=True)
    ]
    return rouge(texts, rows["summary"].to_pylist())


def _store_count(model: PreTrainedModel, count: int) -> dict[str, float]:
    model.config.react_ray = {**(getattr(model.config, "react_ray", None) or {}), SENTENCES: count}
    return {SENTENCES: float(count)}
