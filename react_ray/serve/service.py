"""What a replica does between the wire and the model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.config.service import ServeConfig
from react_ray.folders import model_folder, unchanged
from react_ray.inference.inputs import Row, few_rows, has_lists, identity_of, parse_input, sample_row, text_of
from react_ray.inference.reference import Reference, load_reference
from react_ray.inference.triples import ENTITIES, check_kind
from react_ray.models.chunks import chunk_ranges
from react_ray.serve.engine.about import About, read_about
from react_ray.serve.engine.batcher import Batcher
from react_ray.serve.engine.decoding import RowDecoder, tokens_in
from react_ray.serve.engine.model import Engine, ModelOutput, load_engine
from react_ray.serve.engine.probe import ReadinessProbe
from react_ray.serve.engine.relations import Relations
from react_ray.serve.engine.turns import Turns
from react_ray.serve.engine.word_plan import Plan, make_plan
from react_ray.serve.limits.gate import Gate
from react_ray.serve.watch.caller import current
from react_ray.serve.watch.drift import Drift
from react_ray.serve.watch.metrics import ReplicaMetrics
from react_ray.serve.watch.record import Recorder
from react_ray.tasks.task import Example

__all__ = ["CHARS_A_TURN", "NOT_READY", "Service", "TextError", "turns_of"]

CHARS_A_TURN = 4096
"""Characters that a caller has tokenized at a time: a few milliseconds."""
FEW_LABELS = 64
"""Labels of which all may be named for every text of a request in the time that others wait, 0.02 s."""
READY_WITHIN_S = 5.0
"""Seconds a ready replica may take for one text, which goes before all that wait."""
NOT_READY = f"the model did not answer within {READY_WITHIN_S:.0f} s"


Entry = dict[str, Any]
"""One thing that an answer names, as JSON: a label or an entity, with its score."""
Result = TypeVar("Result")


class TextError(Exception):
    """The model failed on the text at ``index`` of a request."""

    def __init__(self, index: int):
        super().__init__(f"the model failed on text {index}")
        self.index = index


class Service:
    """A warm model that many callers share; callers give rows of its task."""

    def __init__(
        self,
        engine: Engine,
        config: ServeConfig,
        about: About,
        reference: Reference | None = None,
        relations: Relations | None = None,
    ):
        self.config = config
        self.task = engine.task
        self.labels = engine.labels
        self.max_length = engine.max_length
        self.about = about
        self.relations = relations
        self.threshold = config.threshold
        self.metrics = ReplicaMetrics()
        self.gate = Gate(config)
        self._engine = engine
        self._batcher = Batcher(self._run, config.tokens_per_call, engine.lanes, tokens_in)
        self._probe = ReadinessProbe(lambda: self.answers(READY_WITHIN_S))
        self._drift = Drift(reference)
        self.metrics.add(self._drift)
        self._recorder: Recorder | None = None
        if config.record:
            names = list(identity_of(self.task, sample_row(self.task, "a")))
            self._recorder = Recorder(config.record, config.record_texts, names=names)
            self.metrics.add(self._recorder)
        self.metrics.watch(
            "react_ray_texts_waiting", "Texts that no model call has taken up", self._number_waiting
        )
        self._tokenizer = Turns("tokenizer")
        few = len(self.labels) <= FEW_LABELS
        self._at_once = self.task.one_of_k and few and not has_lists(self.task)

    @classmethod
    def load(
        cls, model: str, config: ServeConfig, threads: int, use_gpu: bool = False, version: str | None = None
    ) -> Service:
        """Load and warm the model in folder ``model``; InputError where it is none, or not ``version``."""
        folder = model_folder(model)
        with unchanged(folder, version):
            engine = load_engine(model, config.precision, threads, use_gpu)
            about = read_about(folder, engine.name)
        engine.warm_up()
        if config.relations is not None:
            check_kind(engine.task, ENTITIES, model)
        relations = Relations.load(config, threads, use_gpu)
        return cls(engine, config, about, load_reference(folder), relations)

    async def predict(
        self, rows: Sequence[Row], top: int | None = None, threshold: float | None = None
    ) -> list[list[Entry]]:
        """The answer to each row, as its task puts it on the wire; TextError where the model fails on one.

        At most ``top`` entries. Those that score less than ``threshold`` (None: the service's own) are left
        out.
        """
        answers = await self.all_answers(rows, top)
        return await self.apart(_size(rows), lambda: self.all_said(answers, rows, top, threshold))

    async def triples(
        self, rows: Sequence[Row], top: int | None = None, threshold: float | None = None
    ) -> list[list[Entry]]:
        """The triples of each row, as JSON; TextError as ``predict``, PairsError of the relation model.

        At most ``top``. Those that score less than ``threshold`` (None: the service's own) are left out, and
        so are entities that do, for no triple with them scores more.
        """
        assert self.relations is not None
        limit = self.threshold if threshold is None else threshold
        answers = await self.all_answers(rows)

        def entities() -> list[tuple[str, list[Entry]]]:
            pairs = zip(answers, rows, strict=True)
            return [(row["text"], _above(limit, self.task.wire(answer, row))) for answer, row in pairs]

        texts = await self.apart(_size(rows), entities)
        found = _all_of(await self.relations.triples(texts))
        return [_surest(_above(limit, [vars(triple) for triple in triples]), top) for triples in found]

    async def all_answers(self, rows: Sequence[Row], ranked: int | None = None) -> list[Answer]:
        """The answer to each row; TextError as ``predict``."""
        return _all_of(await self.outcomes(rows, ranked))

    async def outcomes(self, rows: Sequence[Row], ranked: int | None = None) -> list[Answer | Exception]:
        """The answer to each row, its ranking at most ``ranked`` long, or why the model failed on it."""
        current().ask([text_of(row) for row in rows], keep=self.config.log_texts)
        examples = await self._encode(rows)
        decoder = RowDecoder(self._engine, rows, examples, await self._batcher.submit(examples))
        self.metrics.asked(len(rows))
        outcomes: list[Answer | Exception] = []
        for part in [range(len(rows))] if self._at_once else turns_of(rows):
            work = partial(self._decoded, decoder, rows, part, ranked, current().id)
            outcomes += await self.apart(_size([rows[row] for row in part]), work)
        return outcomes

    async def apart(self, size: int, work: Callable[[], Result]) -> Result:
        """The result of ``work`` on texts of ``size`` characters, in the turn of the tokenizer.

        One of a few labels for a text that is cut at the length of the model is little work, done at once.
        Where every word is read, or hundreds of labels are named, others would wait for it.
        """
        return work() if self._at_once else await self._tokenizer.run(size, work)

    def all_said(
        self,
        answers: Sequence[Answer],
        rows: Sequence[Row],
        top: int | None = None,
        threshold: float | None = None,
    ) -> list[list[Entry]]:
        """What is told of each answer: see ``said``."""
        return [self.said(answer, row, top, threshold) for answer, row in zip(answers, rows, strict=True)]

    def said(
        self, answer: Answer, row: Row, top: int | None = None, threshold: float | None = None
    ) -> list[Entry]:
        """What is told of an answer: see ``predict``; counts an abstention where nothing is left of it."""
        limit = self.threshold if threshold is None else threshold
        entries = _best(self.task.wire(answer, row), answer, top)
        kept = _above(limit, entries)
        if entries and not kept:
            self.metrics.abstained()
        return kept

    async def explore(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Probabilities of texts that nobody wrote: they are not counted, logged or compared."""
        examples = await self._encode([parse_input(self.task, text) for text in texts])
        return self.task.probabilities(_all_of(await self._batcher.submit(examples)))

    async def _encode(self, rows: Sequence[Row]) -> list[Example]:
        """The examples of rows; callers take turns at the tokenizer too, some characters at a time."""
        examples: list[Example] = []
        for numbers in turns_of(rows):
            part = [rows[row] for row in numbers]
            examples += await self._tokenizer.run(
                _size(part), partial(self._encode_part, part, numbers.start)
            )
        return examples

    def _encode_part(self, rows: Sequence[Row], first: int) -> list[Example]:
        made = self._engine.encode(few_rows(self.task, rows))
        return [replace(one, row=one.row + first) for one in made] if first else made

    async def plan(self, text: str) -> Plan:
        """What to ask the model in order to explain its answer to ``text``."""
        limit = self.config.max_explain_words - 1  # one row is the text itself

        def make() -> Plan:
            return make_plan(text, limit, self._engine.reach(text))

        return await self._tokenizer.run(len(text), make)

    def _decoded(
        self, decoder: RowDecoder, rows: Sequence[Row], part: range, ranked: int | None, request: str
    ) -> list[Answer | Exception]:
        """The answers to a part of the rows, which are counted, compared and recorded."""
        outcomes = decoder.answers(part, ranked)
        for row, outcome in zip(part, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                self._note(rows[row], outcome, decoder.tokens(row), request)
        return outcomes

    def _note(self, row: Row, answer: Answer, tokens: int, request: str) -> None:
        names = self.task.names_in(answer.value)
        self.metrics.predicted(names, answer.score, tokens)
        self._drift.add(names, answer.score, tokens)
        if self._recorder:
            label = names[0] if self.task.one_of_k else json.dumps(names, ensure_ascii=False)
            inputs = list(identity_of(self.task, row).values())
            self._recorder.add(request, inputs, label, answer.score, tokens)

    def close(self) -> None:
        """Write what is still to be recorded."""
        if self._recorder:
            self._recorder.close()

    async def ready(self) -> bool:
        """Whether a text got through in READY_WITHIN_S seconds, now or a moment ago."""
        return await self._probe.ready()

    async def answers(self, within_s: float) -> bool:
        """Whether a text gets through the model in ``within_s`` seconds, tried now.

        It goes before all that wait: a full queue is no reason to replace a replica that works.
        """
        asked = [self._batcher.submit(self._engine.sample("ready"), first=True)]
        if self.relations:
            asked.append(self.relations.sample())
        try:
            outcomes = await asyncio.wait_for(asyncio.gather(*asked), within_s)
        except TimeoutError:
            return False
        return not any(isinstance(some[0], Exception) for some in outcomes)

    def _number_waiting(self) -> int:
        return self._batcher.waiting + (self.relations.waiting if self.relations else 0)

    def _run(self, examples: Sequence[Example]) -> list[ModelOutput]:
        started = time.perf_counter()
        outcomes = self._engine.run(examples)
        self.metrics.called(len(examples), time.perf_counter() - started)
        return outcomes


def _best(entries: list[Entry], answer: Answer, top: int | None) -> list[Entry]:
    """``top`` entries: the start of the ranking of labels, in the answer or not, or the surest entities."""
    if top is None:
        return entries
    if all("label" in entry for entry in entries):
        return [{"label": label, "score": score} for label, score in answer.ranking[:top]]
    return _surest(entries, top)


def _above(limit: float, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["score"] >= limit]


def _surest(entries: list[Entry], top: int | None) -> list[Entry]:
    """The ``top`` entries that score best, in their order."""
    best = sorted(range(len(entries)), key=lambda place: -entries[place]["score"])[:top]
    return [entries[place] for place in sorted(best)]


def turns_of(rows: Sequence[Row]) -> Iterator[range]:
    """The numbers of ``rows`` in parts of CHARS_A_TURN characters, or of one row that is longer."""
    return chunk_ranges((len(text_of(row)) for row in rows), CHARS_A_TURN)


def _size(rows: Sequence[Row]) -> int:
    return sum(len(text_of(row)) for row in rows)


def _all_of(outcomes: Sequence[Any]) -> list[Any]:
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            raise TextError(index) from outcome
    return list(outcomes)
