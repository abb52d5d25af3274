"""Extractive question answering: the part of a context that answers a question, or none.

A model has a logit for the start and one for the end of the answer at each token. Long contexts are read in
windows, each behind the question; the first token of a window stands for no answer in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.answer_calibration import CORRECT, AnswerCalibration, calibrate_answers
from react_ray.tasks.answer_cells import parse_answers
from react_ray.tasks.answer_metrics import answer_scores
from react_ray.tasks.answer_sections import answer_sections
from react_ray.tasks.answer_spans import SpanScores, place_context, ranked_spans, span_scores, span_target
from react_ray.tasks.cloze import cloze_rows
from react_ray.tasks.columns import Cells, Column, Options, text_cell
from react_ray.tasks.mean_scores import mean_scores
from react_ray.tasks.nouns import ANSWERS
from react_ray.tasks.open_task import OpenTask
from react_ray.tasks.sections import Section
from react_ray.tasks.sentences import split_sentences
from react_ray.tasks.small_models import small_model_rate
from react_ray.tasks.task import Example, Outputs, Padding
from react_ray.tasks.text_changes import augment
from react_ray.tasks.wrong_answers import wrong_spans

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["QuestionAnswering"]

TRAINING: dict[str, Any] = {"max_length": 384, "token_budget": 500_000}
"""Settings of ``finetune``: most contexts in one window, as is usual for SQuAD, and some 130 steps.

The head has random weights, so the usual budget, some 25 steps, leaves it nearly untrained. With 500 answers,
the F1 on held-out rows rises until step 100 to 150.
"""
PASSAGE = "?"
"""Question of a context without one, since no input of a row may be blank."""
RANKED = 5  # answers in a ranking
SETTINGS = "answers"
"""Calibration in the configuration of a saved model."""


class QuestionAnswering(OpenTask):
    """The span of a context that answers a question; a question may have no answer."""

    name = "question-answering"
    title = "question answering"
    nouns = ANSWERS
    columns = (
        Column("context", "text"),
        Column("question", "text"),
        Column("answers", "spans", target=True),
        Column("answer_text", "text", target=True),
        Column("answer_start", "label", target=True),
        Column("is_impossible", "label", target=True),
        Column("all_answers", "labels", target=True),
    )
    needs = (("context", "question"),)
    inputs = (pa.field("text", pa.string()), pa.field("question", pa.string()))
    target = pa.field("answers", pa.list_(pa.list_(pa.int32())))
    metrics = ("f1", "exact_match")
    answers = "span"
    group = "text"
    long_texts = "all"
    added: ClassVar[tuple[pa.Field, ...]] = (
        pa.field("answer", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("score", pa.float64()),
    )
    auto_model = "AutoModelForQuestionAnswering"
    pipeline = "question-answering"

    # --- rows

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse a context, a question, and the characters of its answers.

        The answers are [[start, end], ...], any of which is right; [] where the context has no answer.
        A context without question and answers is a passage, if the ``options`` allow it.
        """
        context, question = text_cell(cells, "context"), text_cell(cells, "question")
        if context is None:
            raise ValueError("blank context: expected a text")
        answers = parse_answers(context, cells)
        if options.passages and not question and answers is None:
            question = PASSAGE
        elif question is None:
            raise ValueError(
                "blank question: expected a text; contexts alone are read with data.passages=true"
            )
        return {"text": context, "question": question, "answers": answers}

    def merge(self, rows: Sequence[Mapping[str, Any]]) -> list[list[int]] | None:
        """Return the answers of all rows; None if only some have one, or the white space differs."""
        spans = [row["answers"] for row in rows]
        if not all(spans) or len({row["text"] for row in rows}) > 1:
            return None
        return [list(span) for span in dict.fromkeys(tuple(span) for answers in spans for span in answers)]

    def complete(self, rows: pa.Table) -> pa.Table:
        """Return the rows that are no passages."""
        return rows.filter(pc.not_equal(rows["question"], PASSAGE))

    def self_supervised(self, rows: pa.Table, most: int) -> pa.Table:
        """Make cloze questions of the contexts."""
        made = cloze_rows(rows["text"].unique().to_pylist(), most)
        return pa.Table.from_pylist(made, pa.schema([*self.inputs, self.target]))

    def cells_of(self, row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
        """Return the context, the question, and a place for the text of the answer: it is easy to fill in."""
        return {"context": row["text"], "question": row["question"], "answer_text": ""}

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Make copies with small changes of the question; the context keeps its answer."""
        return [{**row, "question": text} for text in augment(row["question"], config, seed)]

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """Format the first answer; "no answer" if there is none."""
        if not target:
            return "no answer"
        start, end = target[0]
        return str(row["text"][start:end]) if row else f"characters {start} to {end}"

    # --- the model

    def training_defaults(self, model: str) -> dict[str, Any]:
        """Return the length of contexts, a larger budget, and the rate of the embedded models."""
        return TRAINING | small_model_rate(model)

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load a model with logits for the start and the end of an answer."""
        from react_ray.models.heads import load_question_answerer

        return load_question_answerer(name, self.output_names(labels), dropout)

    def output_names(self, labels: Sequence[str]) -> list[str]:
        """Return the two logits of a token."""
        return ["start", "end"]

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode the columns question and text and, if present, answers and weight.

        Windows of a long context overlap by a quarter and share the weight of their row.
        """
        targets = rows["answers"].to_pylist() if "answers" in rows.column_names else [None] * len(rows)
        weights = rows["weight"].to_pylist() if "weight" in rows.column_names else [1.0] * len(rows)
        questions, contexts = rows["question"].to_pylist(), rows["text"].to_pylist()
        stride = tokenizer.max_length // 4
        windows = tokenizer.pair_windows(questions, contexts, stride) if contexts else []
        examples = []
        for row, (parts, answers, weight) in enumerate(zip(windows, targets, weights, strict=True)):
            for window in parts:
                places = place_context(window, contexts[row])
                types = window.types if tokenizer.reads_types else None
                target = None if answers is None else span_target(places, answers)
                examples.append(Example(window.ids, target, weight / len(parts), row, types, places))
        return examples

    def record(self, model: PreTrainedModel, examples: Sequence[Example]) -> None:
        """Allow no answer only if some of the rows to train on have none."""
        answered = {example.row for example in examples if example.target[0, 0] < 1}
        every = {example.row for example in examples}
        _store_calibration(model, AnswerCalibration(no_answer=0.0 if every - answered else None))

    def targets(self, examples: Sequence[Example], padding: Padding) -> NDArray[np.float32]:
        """Stack the distributions over start and end, n x 2 x tokens."""
        longest = max(len(example.ids) for example in examples)
        targets = np.zeros((len(examples), 2, longest), np.float32)
        for number, example in enumerate(examples):
            targets[number][:, _tokens(example, longest, padding)] = example.target
        return targets

    def infer(self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Compute the logits of start and end, n x 2 x tokens."""
        return _logits(model(**inputs))

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Compute the mean cross-entropy of start and end of each example (n)."""
        return -(targets * _logits(output).float().log_softmax(dim=2)).sum(dim=2).mean(dim=1)

    def split(self, output: NDArray[np.float32], examples: Sequence[Example], padding: Padding) -> Outputs:
        """Return the logits of the first token and of the context of each example."""
        longest = output.shape[2]
        pairs = zip(output, examples, strict=True)
        return [logits[:, _tokens(example, longest, padding)] for logits, example in pairs]

    # --- answers

    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """Decode the most probable answer of each row, with a ranking of the best.

        The value is [[start, end]] in characters of the context, [] for no answer; a ranking has "start:end"
        as names, "" for no answer.
        """
        calibration = AnswerCalibration(**settings.get(SETTINGS, {}))
        return [_answer(candidates, calibration) for candidates in _scores(outputs, examples, len(rows))]

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Fit the threshold for no answer and the temperature of scores on ``rows``.

        If all of them have answers, but not all rows that the model was trained on, the threshold is 0.
        """
        unanswerable = any(not answers for answers in rows["answers"].to_pylist())
        saved = (getattr(model.config, "react_ray", None) or {}).get(SETTINGS, {})
        default_shift = AnswerCalibration(**saved).no_answer if saved else None

        def credit(calibration: AnswerCalibration) -> NDArray[np.float64]:
            return self.credit([_answer(candidates, calibration) for candidates in scores], rows)

        scores = _scores(outputs, examples, len(rows))
        return _store_calibration(model, calibrate_answers(scores, credit, unanswerable, default_shift))

    def candidates(self, answer: Answer) -> list[tuple[Any, float]]:
        """Return the answers of the ranking with their scores."""
        return [([_places(name)] if name else [], score) for name, score in answer.ranking]

    def wrong_targets(self, rows: pa.Table, seed: int) -> list[list[Any]]:
        """Return other spans of the contexts, and no answer; see :func:`wrong_spans`."""
        return wrong_spans(rows["text"].to_pylist(), rows["answers"].to_pylist(), seed)

    def pair_texts(self, value: Any, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the question, the answer, and the sentence around it (the context for no answer)."""
        if not value:
            return row["question"], "", row["text"]
        (start, end), text = value[0], row["text"]
        sentences = [span for span in split_sentences(text) if span[0] < end and start < span[1]]
        around = sentences or [(start, end)]
        return row["question"], text[start:end], text[around[0][0] : around[-1][1]]

    # --- predictions, as files and services give them

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer, its characters and its score; an empty answer, 0 to 0, if there is none."""
        entry = self.wire(answer, row)[0]
        return {name: entry[name] for name in ("answer", "start", "end", "score")}

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the answers of the ranking, in the form of the pipeline of transformers."""
        entries = []
        for name, score in answer.ranking:
            start, end = _places(name) if name else (0, 0)
            entries.append({"answer": row["text"][start:end], "score": score, "start": start, "end": end})
        return entries

    # --- judgement

    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """Compute the F1 of each answer against the best of the right ones."""
        return answer_scores(answers, rows)[:, 0]

    def correct(self, credit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1 where the F1 is above 0.5, the event to which scores are fitted."""
        return (credit > CORRECT).astype(np.float64)

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """Return F1, exact match and 1 for each row."""
        return np.c_[answer_scores(answers, rows), np.ones(len(answers))]

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Compute mean F1 and exact match."""
        return mean_scores(sums, self.metrics)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return the metrics of rows with and without an answer, and their numbers."""
        scores = answer_scores(answers, rows)
        has = np.array([bool(truth) for truth in rows["answers"].to_pylist()], bool)
        parts = {"has_answer": has, "no_answer": ~has}
        means = {name: scores[part].mean(0).tolist() for name, part in parts.items() if part.any()}
        counts = {name: int(parts[name].sum()) for name in means}
        return {
            name: {"n": counts[name], "f1": f1, "exact_match": exact} for name, (f1, exact) in means.items()
        }

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return scores by kind of question, and contexts with the most confident mistakes."""
        return answer_sections(answers, rows, answer_scores(answers, rows))


def _logits(output: Any) -> Any:
    from torch import stack

    return stack([output.start_logits, output.end_logits], dim=1)


def _tokens(example: Example, longest: int, padding: Padding) -> NDArray[np.int64]:
    tokens: NDArray[np.int64] = example.places.tokens
    return tokens + (longest - len(example.ids) if padding.side == "left" else 0)


def _scores(outputs: Outputs, examples: Sequence[Example], rows: int) -> list[SpanScores]:
    """The spans of each row, from all its windows."""
    windows: list[list[int]] = [[] for _ in range(rows)]
    for number, example in enumerate(examples):
        windows[example.row].append(number)
    return [span_scores([outputs[n] for n in row], [examples[n].places for n in row]) for row in windows]


def _answer(candidates: SpanScores, calibration: AnswerCalibration) -> Answer:
    ranking = ranked_spans(candidates, calibration.temperature, calibration.no_answer, RANKED)
    span, score = ranking[0]
    names = tuple((f"{option[0]}:{option[1]}" if option else "", share) for option, share in ranking)
    return Answer([list(span)] if span else [], score, names)


def _places(name: str) -> list[int]:
    """First and last character of an answer of a ranking."""
    return [int(place) for place in name.split(":")]


def _store_calibration(model: PreTrainedModel, calibration: AnswerCalibration) -> dict[str, float]:
    settings = getattr(model.config, "react_ray", None) or {}
    model.config.react_ray = {**settings, SETTINGS: calibration._asdict()}
    return {name: value for name, value in calibration._asdict().items() if value is not None}
