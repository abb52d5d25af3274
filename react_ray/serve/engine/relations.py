"""The relation model beside an entity model: which relations the entities of texts have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from react_ray.answer import Answer
from react_ray.config.service import ServeConfig
from react_ray.folders import model_folder, unchanged
from react_ray.inference.inputs import few_rows
from react_ray.inference.prediction import Triple, typed
from react_ray.inference.triples import RELATIONS, Asking, Question, check_kind, questions_of, triples_of
from react_ray.serve.engine.batcher import Batcher
from react_ray.serve.engine.decoding import RowDecoder, tokens_in
from react_ray.serve.engine.model import Engine, ModelOutput, load_engine
from react_ray.serve.engine.turns import Turns
from react_ray.tasks.task import Example

__all__ = ["MOST_QUESTIONS", "PairsError", "Relations"]

MOST_QUESTIONS = 4096
"""Rows of the relation model for one request: as many as some dozens of texts with many entities need."""
QUESTIONS_A_TURN = 8
"""Rows that a caller has tokenized at a time."""
TextTriples = list[Triple] | Exception
"""The triples of a text, or why the model failed on it."""


class PairsError(Exception):
    """The texts of a request have more pairs of entities than are asked about for one."""


class Relations:
    """A warm relation model that many callers share."""

    def __init__(self, engine: Engine, config: ServeConfig):
        self.labels = engine.labels
        self._engine = engine
        self._asking = Asking.of(engine.labels, engine.max_length, config.max_pairs)
        self._batcher = Batcher(engine.run, config.tokens_per_call, engine.lanes, tokens_in)
        self._turns = Turns("relations")

    @classmethod
    def load(cls, config: ServeConfig, threads: int, use_gpu: bool) -> Relations | None:
        """Load and warm the model in the folder ``config.relations``, where there is one."""
        if config.relations is None:
            return None
        with unchanged(model_folder(config.relations), config.relations_version):
            engine = load_engine(config.relations, config.precision, threads, use_gpu)
        check_kind(engine.task, RELATIONS, config.relations)
        engine.warm_up()
        return cls(engine, config)

    @property
    def waiting(self) -> int:
        """Rows that no model call has taken up."""
        return self._batcher.waiting

    async def triples(self, texts: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[TextTriples]:
        """The triples of each text with its entities; PairsError where these have too many pairs."""
        questions: list[Question] = []
        for number, (text, entities) in enumerate(texts):
            ask = partial(self._ask, number, text, entities)
            questions += await self._turns.run(len(entities), ask) if len(entities) > 1 else []
            if len(questions) > MOST_QUESTIONS:
                raise PairsError
        return _by_text(len(texts), questions, await self._answers(questions))

    def _ask(self, number: int, text: str, entities: list[dict[str, Any]]) -> list[Question]:
        return questions_of(self._asking, number, text, typed(entities))

    async def _answers(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """The answer to each question, or why the model failed on it."""
        rows = [question.row for question in questions]
        examples: list[Example] = []
        for first in range(0, len(rows), QUESTIONS_A_TURN):
            part = few_rows(self._engine.task, rows[first : first + QUESTIONS_A_TURN])
            made = await self._turns.run(len(part), partial(self._engine.encode, part))
            examples += [replace(one, row=one.row + first) for one in made]
        decoder = RowDecoder(self._engine, rows, examples, await self._batcher.submit(examples))
        return await self._turns.run(len(rows), partial(decoder.answers, range(len(rows)), 1)) if rows else []

    async def sample(self) -> list[ModelOutput]:
        """What the model makes of a text that goes before all that wait, to try it with."""
        return await self._batcher.submit(self._engine.sample("ready"), first=True)


def _by_text(
    texts: int, questions: Sequence[Question], answers: Sequence[Answer | Exception]
) -> list[TextTriples]:
    found: list[list[Triple]] = [[] for _ in range(texts)]
    failed: dict[int, Exception] = {}
    for question, answer in zip(questions, answers, strict=True):
        if isinstance(answer, Exception):
            failed.setdefault(question.text, answer)
        else:
            found[question.text] += [triple for _, triple in triples_of([question], [answer])]
    return [failed.get(number, triples) for number, triples in enumerate(found)]
