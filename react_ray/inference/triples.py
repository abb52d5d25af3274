"""Extraction of triples with a saved entity model and a saved relation model.

Torch is only imported to load the two models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from react_ray.answer import Answer
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.inference.folder import check_saved
from react_ray.inference.inputs import Row, table_of
from react_ray.inference.prediction import Entity, Triple, typed
from react_ray.inference.saved import Input, SavedModel
from react_ray.tasks import get_task
from react_ray.tasks.entity_pairs import EntityPair
from react_ray.tasks.relation_metrics import DIRECTION, relation_types
from react_ray.tasks.tagging import Span
from react_ray.tasks.task import Task

__all__ = [
    "ENTITIES",
    "MOST_PAIRS",
    "RELATIONS",
    "TRIPLES",
    "PairSelection",
    "Question",
    "TripleExtractor",
    "check_folders",
    "check_kind",
    "load_triples",
    "question_of",
    "questions_of",
    "triples_of",
]

MOST_PAIRS = 45
"""Pairs of entities of a text that are asked about, the nearest ones: all pairs of ten entities."""
QUESTIONS_A_CALL = 4096
"""Rows that the relation model is given at a time, so that memory does not grow with the number of texts."""
CHARS_A_TOKEN = 8
"""Characters around a pair that are kept for each token that the relation model reads."""
GAP = " ... "
TRIPLES = pa.field(
    "triples",
    pa.list_(
        pa.struct(
            [
                pa.field("head", pa.string()),
                pa.field("relation", pa.string()),
                pa.field("tail", pa.string()),
                pa.field("score", pa.float64()),
                pa.field("head_entity_group", pa.string()),
                pa.field("head_start", pa.int64()),
                pa.field("head_end", pa.int64()),
                pa.field("tail_entity_group", pa.string()),
                pa.field("tail_start", pa.int64()),
                pa.field("tail_end", pa.int64()),
            ]
        )
    ),
)
"""The column that predictions add to the rows of a file."""
ENTITIES, RELATIONS = "token-classification", "relation-extraction"
"""The tasks of the two models."""
MODEL_KINDS = {ENTITIES: "entity model", RELATIONS: "relation model"}


@dataclass(frozen=True)
class Question:
    """Two entities of text number ``text``, and their input row of the relation model."""

    text: int
    e1: Entity
    e2: Entity
    row: Row


@dataclass(frozen=True)
class PairSelection:
    """Selection of the pairs of entities that the relation model classifies.

    With directed labels such as ``Cause(e1,e2)`` each pair is classified once, in the order of the text. With
    undirected labels it is classified in both orders, and the first entity is the head.
    """

    directed: bool
    chars: int
    """Characters of a text that are kept before, between and behind the entities of a question."""
    most_pairs: int = MOST_PAIRS

    @classmethod
    def of(cls, labels: Sequence[str], max_length: int, most_pairs: int = MOST_PAIRS) -> PairSelection:
        """Make the selection for a model with these labels and a maximum of ``max_length`` tokens."""
        directed = any(DIRECTION.search(label) for label in labels)
        return cls(directed, CHARS_A_TOKEN * max_length, most_pairs)

    def pairs(self, entities: Sequence[Entity]) -> list[tuple[Entity, Entity]]:
        """Return the pairs to classify, in the order of the text: at most ``most_pairs``, the nearest."""
        nearest = nsmallest(self.most_pairs, self._near(sorted(entities, key=_place)), key=_distance)
        both = nearest if self.directed else [*nearest, *((second, first) for first, second in nearest)]
        return sorted(both, key=lambda pair: _place(pair[0]) + _place(pair[1]))

    def _near(self, ordered: Sequence[Entity]) -> Iterator[tuple[Entity, Entity]]:
        """Return candidates for the nearest pairs: each entity with those after it, up to a distance."""
        neighbours = [pair for pair in pairwise(ordered) if pair[0].end <= pair[1].start]
        enough = nsmallest(self.most_pairs, map(_distance, neighbours))
        limit = enough[-1] if len(enough) == self.most_pairs else float("inf")
        for number, entity in enumerate(ordered):
            for place in range(number + 1, min(number + 1 + self.most_pairs, len(ordered))):
                distance = _distance((entity, ordered[place]))
                if distance > limit:
                    break  # those further on are further away
                if distance >= 0:
                    yield entity, ordered[place]


def questions_of(
    selection: PairSelection, number: int, text: str, entities: Sequence[Entity]
) -> list[Question]:
    """Return the questions to the relation model about the entities of text ``number``."""
    return [question_of(selection, number, text, e1, e2) for e1, e2 in selection.pairs(entities)]


def question_of(selection: PairSelection, number: int, text: str, e1: Entity, e2: Entity) -> Question:
    """Return the question to the relation model about two entities of text ``number``."""
    return Question(number, e1, e2, Row(_without_far(_marked(text, e1, e2), selection.chars).columns()))


def triples_of(questions: Iterable[Question], answers: Iterable[Answer]) -> list[tuple[int, Triple]]:
    """Convert answers to triples, each with the number of its text; no relation gives no triple."""
    pairs = zip(questions, answers, strict=True)
    numbered = ((question.text, _triple(question, answer)) for question, answer in pairs)
    return [(number, triple) for number, triple in numbered if triple is not None]


def check_kind(task: Task, expected: str, path: object = None) -> None:
    """Raise InputError if one of the two models has another task than ``expected``."""
    if task.name != expected:
        place = f" ({path})" if path else ""
        raise InputError(
            f"the {MODEL_KINDS[expected]}{place} is one for {task.title}; expected {get_task(expected).title}"
        )


class TripleExtractor:
    """Extractor of triples with a saved entity model and a saved relation model.

    Parameters
    ----------
    entities
        A model for token classification.
    relations
        A model for relation extraction, which should have a class for pairs without a relation.
    most_pairs
        Maximum number of pairs of a text that are classified, the nearest ones.

    Example
    -------
    >>> extractor = TripleExtractor(load("entities"), load("relations"))  # doctest: +SKIP
    >>> extractor.predict(["Ada lives in Paris"])[0][0].relation  # doctest: +SKIP
    'lives in'
    """

    def __init__(self, entities: SavedModel, relations: SavedModel, most_pairs: int = MOST_PAIRS):
        check_kind(entities.task, ENTITIES)
        check_kind(relations.task, RELATIONS)
        self.entities, self.relations = entities, relations
        self._selection = PairSelection.of(relations.labels, relations.max_length, most_pairs)

    def predict(self, texts: Sequence[Input]) -> list[list[Triple]]:
        """Return the triples of each text, in the order of their entities; InputError for invalid inputs."""
        rows = self.entities.rows(texts)
        pairs = zip(self.entities.answers(rows), rows.to_pylist(), strict=True)
        entities = [(row["text"], self.entities.task.wire(answer, row)) for answer, row in pairs]
        return self.relate(entities)

    def relate(self, texts: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[list[Triple]]:
        """Return the triples of texts with known entities, in the format of ``Task.wire``."""
        questions = (
            question
            for number, (text, entities) in enumerate(texts)
            for question in questions_of(self._selection, number, text, typed(entities))
        )
        triples: list[list[Triple]] = [[] for _ in texts]
        while batch := list(islice(questions, QUESTIONS_A_CALL)):  # each has a copy of its text
            rows = table_of(self.relations.task, [question.row for question in batch])
            for number, triple in triples_of(batch, self.relations.answers(rows, ranked=1)):
                triples[number].append(triple)
        return triples


def load_triples(
    entities: str | Path, relations: str | Path, use_gpu: bool = True, most_pairs: int = MOST_PAIRS
) -> TripleExtractor:
    """Load an entity model and a relation model, each as :func:`react_ray.load` does.

    Raises InputError if one of the two is missing, incomplete, or of another task.

    Example
    -------
    >>> load_triples("entities", "relations").predict(["Ada lives in Paris"])  # doctest: +SKIP
    """
    from react_ray.inference.classifier import load

    check_folders(entities, relations)
    return TripleExtractor(load(entities, use_gpu), load(relations, use_gpu), most_pairs)


def check_folders(entities: str | Path, relations: str | Path) -> tuple[Path, Path]:
    """Return the folders of the two models; InputError as :func:`load_triples`, without loading them."""
    folders = model_folder(entities), model_folder(relations)
    for folder, path, expected in zip(folders, (entities, relations), MODEL_KINDS, strict=True):
        check_kind(check_saved(folder), expected, path)
    return folders


def _place(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _distance(pair: tuple[Entity, Entity]) -> int:
    return pair[1].start - pair[0].end


def _marked(text: str, e1: Entity, e2: Entity) -> EntityPair:
    return EntityPair(text, Span(e1.start, e1.end, "e1"), Span(e2.start, e2.end, "e2"))


def _without_far(pair: EntityPair, chars: int) -> EntityPair:
    """Remove text that is too far from both entities to fit into the model's input."""
    before, between, behind = pair.parts()
    if max(len(before), len(behind)) <= chars and len(between) <= 2 * chars:
        return pair
    if len(between) > 2 * chars:
        between = between[:chars] + GAP + between[-chars:]
    return pair.with_parts(before[-chars:], between, behind[:chars])


def _triple(question: Question, answer: Answer) -> Triple | None:
    """Convert the answer to a question to a triple; None for no relation."""
    (relation,) = relation_types([answer.value])
    if relation is None:
        return None
    direction = DIRECTION.search(answer.value)
    turned = direction is not None and direction[1].lower().startswith("e2")
    head, tail = (question.e2, question.e1) if turned else (question.e1, question.e2)
    return Triple(
        head=head.word,
        relation=relation,
        tail=tail.word,
        score=head.score * tail.score * answer.score,
        head_entity_group=head.entity_group,
        head_start=head.start,
        head_end=head.end,
        tail_entity_group=tail.entity_group,
        tail_start=tail.start,
        tail_end=tail.end,
    )
