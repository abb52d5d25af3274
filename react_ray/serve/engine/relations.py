"""Relation model of a service of triples, next to its entity model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from react_ray.config.service import ServeConfig
from react_ray.folders import model_folder, unchanged
from react_ray.inference.inputs import few_rows
from react_ray.inference.prediction import Entity, Triple, typed
from react_ray.inference.triples import (
    RELATIONS,
    PairSelection,
    Question,
    check_kind,
    question_of,
    triples_of,
)
from react_ray.serve.engine.batcher import Batcher
from react_ray.serve.engine.decoding import RowDecoder
from react_ray.serve.engine.model import Engine, ModelOutput, load_engine
from react_ray.serve.engine.turns import Turns
from react_ray.tasks.task import Example

__all__ = ["MOST_QUESTIONS", "PairsError", "Relations"]

MOST_QUESTIONS = 4096
"""Rows of the relation model for one request: as many as some dozens of texts with many entities need."""
QUESTIONS_AT_A_TIME = 256
"""Pairs of entities that are processed together: each has a copy of its text until it is answered."""
QUESTIONS_A_TURN = 8
"""Pairs that are tokenized before other callers have their turn."""
Pair = tuple[int, Entity, Entity]
"""The number of a text, and two entities of it."""
TextTriples = list[Triple] | Exception
"""The triples of a text, or why the model failed on it."""


class PairsError(Exception):
    """The texts of a request have more pairs of entities than the limit."""


class Relations:
    """A warm relation model, shared by concurrent requests."""

    def __init__(self, engine: Engine, config: ServeConfig):
        self.labels = engine.labels
        self._engine = engine
        self._selection = PairSelection.of(engine.labels, engine.max_length, config.max_pairs)
        self._batcher = Batcher(engine.run, config.tokens_per_call, engine.lanes, engine.size)
        self._turns = Turns("relations")

    @classmethod
    def load(cls, config: ServeConfig, threads: int, use_gpu: bool) -> Relations | None:
        """Load and warm up the model in the folder ``config.relations``, if there is one."""
        if config.relations is None:
            return None
        with unchanged(model_folder(config.relations), config.relations_version):
            engine = load_engine(config.relations, config.precision, threads, use_gpu)
        check_kind(engine.task, RELATIONS, config.relations)
        engine.warm_up()
        return cls(engine, config)

    @property
    def waiting(self) -> int:
        """Number of rows that are not in a model call yet."""
        return self._batcher.waiting

    async def triples(self, texts: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[TextTriples]:
        """Return the triples of each text with its entities; PairsError for too many pairs."""
        pairs: list[Pair] = []
        for number, (_, entities) in enumerate(texts):
            if len(entities) > 1:
                pairs += await self._turns.run(len(entities), partial(self._pairs, number, entities))
            if len(pairs) > MOST_QUESTIONS:
                raise PairsError
        results: list[list[Triple]] = [[] for _ in texts]
        failed: dict[int, Exception] = {}
        for first in range(0, len(pairs), QUESTIONS_AT_A_TIME):
            part = pairs[first : first + QUESTIONS_AT_A_TIME]
            for number, triple in await self._answers(texts, part):
                if isinstance(triple, Exception):
                    failed.setdefault(number, triple)
                else:
                    results[number].append(triple)
        return [failed.get(number, triples) for number, triples in enumerate(results)]

    def _pairs(self, number: int, entities: list[dict[str, Any]]) -> list[Pair]:
        return [(number, e1, e2) for e1, e2 in self._selection.pairs(typed(entities))]

    async def _answers(
        self, texts: Sequence[tuple[str, Any]], pairs: Sequence[Pair]
    ) -> list[tuple[int, Triple | Exception]]:
        """Return the answer or error of each pair, with the number of its text."""
        questions: list[Question] = []
        examples: list[Example] = []
        for first in range(0, len(pairs), QUESTIONS_A_TURN):
            part = pairs[first : first + QUESTIONS_A_TURN]
            part_questions, part_examples = await self._turns.run(
                len(part), partial(self._encode, texts, part, first)
            )
            questions += part_questions
            examples += part_examples
        outputs = await self._batcher.submit(examples)
        return await self._turns.run(len(questions), partial(self._decode, questions, examples, outputs))

    def _encode(
        self, texts: Sequence[tuple[str, Any]], pairs: Sequence[Pair], first: int
    ) -> tuple[list[Question], list[Example]]:
        """Return the questions about some pairs, and their examples, in rows from ``first`` on."""
        questions = [
            question_of(self._selection, number, texts[number][0], e1, e2) for number, e1, e2 in pairs
        ]
        examples = self._engine.encode(few_rows(self._engine.task, [question.row for question in questions]))
        return questions, [replace(example, row=example.row + first) for example in examples]

    def _decode(
        self, questions: Sequence[Question], examples: Sequence[Example], outputs: Sequence[ModelOutput]
    ) -> list[tuple[int, Triple | Exception]]:
        decoder = RowDecoder(self._engine, [question.row for question in questions], examples, outputs)
        results: list[tuple[int, Triple | Exception]] = []
        for question, answer in zip(questions, decoder.answers(range(len(questions)), 1), strict=True):
            if isinstance(answer, Exception):
                results.append((question.text, answer))
            else:
                results += triples_of([question], [answer])
        return results

    async def sample(self) -> list[ModelOutput]:
        """Predict a text ahead of the queue, for probes."""
        return await self._batcher.run_alone(self._engine.probe, first=True)
