"""Token classification: entities of several types in a text.

Rows are stored as a text and the offsets of its words, targets as BIO tags, whatever the input format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig
from react_ray.tasks.annotations import parsed, read_annotation
from react_ray.tasks.closed_metrics import class_figures
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.entity_decoding import best_power, entity_answer, row_scores
from react_ray.tasks.entity_metrics import entity_credit, entity_scores, entity_statistics, error_kinds
from react_ray.tasks.entity_sections import entity_sections
from react_ray.tasks.mention_changes import MENTIONS, augment_row, collect_mentions, operations_of
from react_ray.tasks.nouns import ENTITIES
from react_ray.tasks.sections import Section
from react_ray.tasks.small_models import small_model_rate
from react_ray.tasks.tagging import Span, bio_tags, find_scheme, spans_of, tag_names
from react_ray.tasks.task import Example, Outputs
from react_ray.tasks.word_tagging import WordTagging

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["TokenClassification"]

CALIBRATION_WORDS = 20_000
"""Words that decide the temperature."""
POWER = "score_power"
"""Key of the power of scores of rows in the configuration of a saved model."""


class TokenClassification(WordTagging):
    """Entities in a text, of the types in the labelled rows, such as names, places and products."""

    name = "token-classification"
    title = "token classification"
    nouns = ENTITIES
    columns = (
        Column("tokens", "tokens"),
        Column("text", "text"),
        Column("data", "text"),
        Column("answer", "text"),
        Column("tags", "tags", target=True),
        Column("spans", "spans", target=True),
        Column("entities", "spans", target=True),
        Column("label", "spans", target=True),
        Column("labels", "spans", target=True),
        Column("annotations", "spans", target=True),
        Column("completions", "spans", target=True),
        Column("ner_tags", "tags", target=True),
    )
    needs = (("tokens",), ("text",), ("data",))
    inputs = (
        pa.field("text", pa.string()),
        pa.field("starts", pa.list_(pa.int32())),
        pa.field("ends", pa.list_(pa.int32())),
    )
    target = pa.field("tags", pa.list_(pa.string()))
    metrics = ("entity_f1", "entity_precision", "entity_recall")
    operations = (*WordTagging.operations, MENTIONS)
    fewest_classes: ClassVar[int] = 1
    """One type of entity is enough: the rest of the text is none."""
    answers = "entities"
    added = (
        pa.field(
            "entities",
            pa.list_(
                pa.struct(
                    [
                        ("entity_group", pa.string()),
                        ("word", pa.string()),
                        ("start", pa.int64()),
                        ("end", pa.int64()),
                        ("score", pa.float64()),
                    ]
                )
            ),
        ),
    )
    auto_model = "AutoModelForTokenClassification"
    pipeline = "token-classification"

    # --- rows

    def detect(self, sample: Sequence[Cells], options: Options) -> Options:
        """Detect the tagging scheme from the first rows."""
        if options.scheme:
            return options
        cells_of_tags = [cells.get("tags") or cells.get("ner_tags") for cells in sample]
        tags = [row_tags for cell in cells_of_tags if (row_tags := _readable_tags(cell))]
        return replace(options, scheme=find_scheme(tags)) if tags else options

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse a text, the offsets of its words, and their BIO tags.

        Tags of O alone are a valid target: a text without entities.
        """
        words, spans = read_annotation(cells, options.scheme or "BIO")
        tags = None if spans is None else bio_tags(spans, len(words))
        return {"text": words.text, "starts": list(words.starts), "ends": list(words.ends), "tags": tags}

    def names_in(self, target: Sequence[Any]) -> list[str]:
        """Return the type of each entity of a target or of the value of an answer."""
        return [span.label for span in _spans(target)]

    def evidence(self, targets: Sequence[Any]) -> int:
        """Return the smaller of the numbers of entities and rows: most words are not in an entity."""
        return min(len(targets), sum(len(self.names_in(target)) for target in targets))

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """Format the entities with their text in ``row``, or without it by the numbers of their words.

        Example
        -------
        >>> row = {"text": "Ada in Paris", "starts": [0, 4, 7], "ends": [3, 6, 12]}
        >>> TokenClassification().shown(["B-PER", "O", "B-LOC"], row)
        'PER: Ada; LOC: Paris'
        """
        spans = _spans(target)
        shown = (f"{span.label}: {_word(span, row) if row else _numbers(span)}" for span in spans)
        return "; ".join(shown) or "no entity"

    def collect(self, rows: Iterable[dict[str, Any]], config: AugmentConfig) -> Any:
        """Collect the mentions of each type, if the operation ``mentions`` is used."""
        return collect_mentions(rows) if MENTIONS in operations_of(config) else None

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Make copies with changed words outside of entities, or replaced entities."""
        return augment_row(row, config, seed, collected)

    # --- the model

    def training_defaults(self, model: str) -> dict[str, Any]:
        """Return a higher learning rate for the embedded models."""
        return small_model_rate(model)

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load a token classifier over the BIO tags of ``labels``; a head for other tags is replaced."""
        from react_ray.models.heads import load_token_classifier

        return load_token_classifier(name, self.output_names(labels), dropout)

    def output_names(self, labels: Sequence[str]) -> list[str]:
        """Return the BIO tags: O, then B and I of each type."""
        return tag_names(labels)

    def classes_of(self, outputs: Sequence[str]) -> list[str]:
        """Return the types of the tags."""
        return [tag.removeprefix("B-") for tag in outputs if tag.startswith("B-")]

    # --- answers

    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """Decode the most probable entities under BIO.

        The value is [[start, end, type], ...] in words, the ranking has the score of each in that order.
        """
        tags = self.output_names(labels)
        power = settings.get(POWER, 1.0)
        scores = row_scores(outputs, examples, rows["starts"].to_pylist(), len(tags))
        return [
            entity_answer(log_probabilities, covered, tags, power) for log_probabilities, covered in scores
        ]

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Fold the best temperature for the words of ``rows`` into the last layer.

        Then fit the power of the scores of whole rows, which is stored in the model's configuration.
        """
        from react_ray.models.head import best_temperature, final_linear, scale_logits

        head = final_linear(model)
        first_words = [~example.places.continued() for example in examples]
        truth = [e.target[first].argmax(1) for e, first in zip(examples, first_words, strict=True)]
        tags = np.concatenate([np.zeros(0, np.int64), *truth])
        if head is None or not len(tags):
            return {}
        logits = np.concatenate([output[first] for output, first in zip(outputs, first_words, strict=True)])
        chosen = np.random.default_rng(0).permutation(len(tags))[:CALIBRATION_WORDS]
        temperature = best_temperature(logits[chosen], tags[chosen])
        scale_logits(head, 1 / temperature)
        answers = self.decode([o / temperature for o in outputs], examples, rows, labels, {})
        power = best_power([answer.score for answer in answers], self.credit(answers, rows) == 1)
        model.config.react_ray = {**(getattr(model.config, "react_ray", None) or {}), POWER: power}
        return {"temperature": temperature, POWER: power}

    # --- predictions, as files and services give them

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entities of a row in the column ``entities``."""
        return {"entities": self.wire(answer, row)}

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return entities in the format of the transformers pipeline with aggregation_strategy="simple"."""
        return [
            {
                "entity_group": span.label,
                "score": score,
                "word": _word(span, row),
                "start": row["starts"][span.start],
                "end": row["ends"][span.end - 1],
            }
            for span, (_, score) in zip(_spans(answer.value), answer.ranking, strict=True)
        ]

    # --- judgement

    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """Return the entity F1 of each row."""
        return entity_credit(_truth(rows), _predicted(answers))

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """See :func:`react_ray.tasks.entity_metrics.entity_statistics`."""
        return entity_statistics(_truth(rows), _predicted(answers), labels)

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Return micro-averaged F1, precision and recall of entities."""
        return entity_scores(sums)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return precision, recall and F1 of each type, and counts of the kinds of errors."""
        sums = np.asarray(self.statistics(answers, rows, labels).sum(0))
        errors = error_kinds(_truth(rows), _predicted(answers))
        return {"per_class": class_figures(sums, labels), "errors": errors}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return sections on scores of types, kinds of errors, confusion, and texts with entities."""
        figures = self.details(answers, rows, labels)["per_class"]
        return entity_sections(answers, rows, (_truth(rows), _predicted(answers)), figures, labels)


def _readable_tags(cell: Any) -> list[str] | None:
    """Return the tags of a row for scheme detection; None if they are malformed, which is reported later."""
    try:
        tags = parsed(cell)
    except ValueError:
        return None
    return tags if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else None


def _spans(target: Sequence[Any]) -> list[Span]:
    """Return the entities of a target (tags) or of the value of an answer."""
    return spans_of(target) if target and isinstance(target[0], str) else [Span(*item) for item in target]


def _word(span: Span, row: Mapping[str, Any]) -> str:
    text: str = row["text"][row["starts"][span.start] : row["ends"][span.end - 1]]
    return text


def _numbers(span: Span) -> str:
    """Format the words of a span by their numbers, from 1."""
    last = f" to {span.end}" if span.end > span.start + 1 else ""
    return f"word{'s' if last else ''} {span.start + 1}{last}"


def _truth(rows: pa.Table) -> list[list[Span]]:
    return [spans_of(tags) for tags in rows["tags"].to_pylist()]


def _predicted(answers: Sequence[Answer]) -> list[list[Span]]:
    return [_spans(answer.value) for answer in answers]
