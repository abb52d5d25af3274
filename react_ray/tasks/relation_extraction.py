"""Relation extraction: one of several relations for two marked entities of a text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig
from react_ray.models.tokenizer import TextTokenizer, Window
from react_ray.tasks.closed import ClosedTask, predicted_of, truth_of
from react_ray.tasks.closed_metrics import class_figures
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.entity_pairs import COLUMNS, MARKS, EntityPair, marked_places, read_pair, tag_entities
from react_ray.tasks.label_names import label_name
from react_ray.tasks.nouns import RELATIONS
from react_ray.tasks.relation_metrics import relation_scores, relation_statistics, relation_types
from react_ray.tasks.relation_sections import relation_mistakes, relation_table
from react_ray.tasks.sections import Section
from react_ray.tasks.task import Example
from react_ray.tasks.text_changes import augment
from react_ray.tasks.text_classification import distributions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["RelationExtraction"]

PLACES = ("e1_start", "e1_end", "e2_start", "e2_end")
GAP, GAP_TOKENS = " ... ", 5
"""Between the texts around two entities that are too far apart for the model."""
SLACK = 2
"""Tokens that a part of a text may have more than the same part inside the whole text."""


class RelationExtraction(ClosedTask):
    """One of several relations for a pair of entities; a text with several pairs has several rows."""

    name = "relation-extraction"
    title = "relation extraction"
    nouns = RELATIONS
    columns = (
        Column("text", "text"),
        *(Column(name, "spans") for name in ("e1", "e2", "head", "tail")),
        Column("label", "label", target=True),
    )
    inputs = (pa.field("text", pa.string()), *(pa.field(name, pa.int32()) for name in PLACES))

    # --- rows

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse a text without markers, the spans of its two entities, and the relation."""
        if not isinstance(cells["text"], str) or not cells["text"].strip():
            raise ValueError("empty text")
        return {**read_pair(cells).columns(), "label": label_name(cells.get("label"))}

    def cells_of(self, row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
        """Return the text with the entities in columns of their own, or as markers in the text."""
        pair = EntityPair.of(row)
        for names in COLUMNS:
            if set(names) <= set(columns):
                places = {name: list(span[:2]) for name, span in zip(names, (pair.e1, pair.e2), strict=True)}
                return {"text": pair.text, **places, "label": ""}
        return {"text": tag_entities(pair), "label": ""}

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Make copies with changes outside of the entities: before, between or after them."""
        pair = EntityPair.of(row)
        parts = pair.parts()
        changed = [_of_part(pair, place, config, seed) for place in range(3)]
        longest = sorted(range(3), key=lambda place: -len(parts[place]))
        turns = chain.from_iterable(zip_longest(*(changed[place] for place in longest)))
        return [{**row, **copy.columns()} for copy in turns if copy is not None][: config.copies]

    # --- features of the frozen encoder

    def features(self, encoder: Any, rows: pa.Table) -> NDArray[np.float32]:
        """Compute three blocks: mean states of the text from one entity to the other, of e1, and of e2."""
        inputs = rows.select(["text", *PLACES]).to_pylist()
        spans = []
        for row in inputs:
            entities = [(row["e1_start"], row["e1_end"]), (row["e2_start"], row["e2_end"])]
            spans.append([(min(entities)[0], max(end for _, end in entities)), *entities])
        states = encoder.encode_spans([row["text"] for row in inputs], spans)
        blocks = np.stack([rows.ravel() for rows in states]) / 3**0.5
        return blocks.astype(np.float32)

    # --- the model

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load a sequence classifier over ``labels``, for texts with the markers of ``mark_entities``."""
        from react_ray.models.heads import load_sequence_classifier

        return load_sequence_classifier(name, labels, dropout, "single_label_classification")

    def tokenizer_warning(self, tokenizer: TextTokenizer) -> str | None:
        """Return a warning if the vocabulary cannot tell the two entity markers apart."""
        first, second = tokenizer.ids([f"{mark} a {mark}" for mark in MARKS])
        if first != second:
            return None
        return (
            f"its vocabulary lacks {' and '.join(MARKS)}, the marks around the first and the second entity: "
            "the model cannot tell the direction of a relation. Give a model whose vocabulary has them"
        )

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode text, entity spans and, if present, label (a name or a distribution) and weight."""
        columns = set(rows.column_names)
        inputs = rows.select(["text", *PLACES]).to_pylist()
        ids = _token_ids(tokenizer, [EntityPair.of(row) for row in inputs])
        targets = distributions(rows["label"], labels) if "label" in columns else [None] * len(rows)
        weights = rows["weight"].to_numpy() if "weight" in columns else np.ones(len(rows))
        return [
            Example(i, t, float(w), row)
            for row, (i, t, w) in enumerate(zip(ids, targets, weights, strict=True))
        ]

    # --- judgement

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """See :func:`react_ray.tasks.relation_metrics.relation_statistics`."""
        return relation_statistics(truth_of(rows, labels), predicted_of(answers, labels), labels)

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Return the official macro-F1 of SemEval-2010 task 8 (without "Other"), and accuracy."""
        return relation_scores(sums)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return the details of classes, and precision, recall and F1 of each relation type."""
        sums = np.asarray(self.statistics(answers, rows, labels).sum(0), np.float64)
        types = sorted({name for name in relation_types(labels) if name is not None})
        return super().details(answers, rows, labels) | {"per_relation": class_figures(sums[:-2], types)}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return sections on scores of relation types, confusion, and mistakes with marked entities."""
        figures, truth = self.details(answers, rows, labels)["per_relation"], rows["label"].to_pylist()
        return [
            relation_table(figures, truth, answers, labels, self.nouns),
            self.confusion(answers, rows, labels),
            relation_mistakes(answers, rows, self.credit(answers, rows).tolist()),
        ]


def _of_part(pair: EntityPair, place: int, config: AugmentConfig, seed: int) -> list[EntityPair]:
    """Change one of the three parts of the text around the entities."""
    part = pair.parts()[place]
    text = part.strip()
    if not text:
        return []
    start = part.index(text)
    left, right = part[:start], part[start + len(text) :]
    copies = []
    for changed in augment(text, config, seed):
        parts = list(pair.parts())
        parts[place] = left + changed + right
        copies.append(pair.with_parts(parts[0], parts[1], parts[2]))
    return copies


def _token_ids(tokenizer: TextTokenizer, pairs: Sequence[EntityPair]) -> list[list[int]]:
    """Tokenize marked texts; long texts are truncated around the entities, not at the end."""
    marked = [marked_places(pair) for pair in pairs]
    ids = tokenizer.ids([text for text, _ in marked])
    full = [row for row, tokens in enumerate(ids) if len(tokens) >= tokenizer.max_length]
    if full:
        cut = [
            _shortened(*marked[row], windows, tokenizer.max_length)
            for row, windows in zip(full, tokenizer.windows([marked[row][0] for row in full], 0), strict=True)
        ]
        for row, tokens in zip(full, tokenizer.ids(cut), strict=True):
            ids[row] = tokens
    return ids


def _shortened(
    text: str, entities: Sequence[tuple[int, int]], windows: Sequence[Window], max_length: int
) -> str:
    """Return the part of a marked text around the entities that fits into the model."""
    # in the order of the text: a tokenizer that cuts on the left gives the last window first
    tokens = sorted(
        offsets
        for window in windows
        for offsets, part in zip(window.offsets, window.parts, strict=True)
        if part is not None
    )
    room = max_length - windows[0].parts.count(None)
    if len(tokens) <= room:
        return text
    room = max(1, room - SLACK)
    first, second = (_tokens_of(tokens, entity) for entity in entities)
    if second[1] - first[0] <= room:
        return _around(text, tokens, (first[0], second[1]), room)
    half = max(1, (room - GAP_TOKENS) // 2)
    return GAP.join(_around(text, tokens, place, half) for place in (first, second))


def _tokens_of(tokens: Sequence[tuple[int, int]], characters: tuple[int, int]) -> tuple[int, int]:
    inside = [n for n, (start, end) in enumerate(tokens) if start < characters[1] and end > characters[0]]
    return (inside[0], inside[-1] + 1) if inside else (0, 1)


def _around(text: str, tokens: Sequence[tuple[int, int]], place: tuple[int, int], room: int) -> str:
    """Return ``room`` tokens of the text, centred on those of ``place``."""
    spare = max(0, room - (place[1] - place[0]))
    start = max(0, min(place[0] - spare // 2, len(tokens) - max(room, place[1] - place[0])))
    end = min(len(tokens), start + max(room, place[1] - place[0]))
    return text[tokens[start][0] : tokens[end - 1][1]]
