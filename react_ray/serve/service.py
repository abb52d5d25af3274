"""Service of a replica, used by all protocols: predictions, triples and explanations of rows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.config.service import ServeConfig
from react_ray.folders import model_folder, unchanged
from react_ray.inference.entries import Entry, above, best_of, surest
from react_ray.inference.inputs import Row, few_rows, has_lists, identity_of, parse_input, sample_row, text_of
from react_ray.inference.reference import Reference, load_reference
from react_ray.inference.triples import ENTITIES, check_kind
from react_ray.models.chunks import chunk_ranges
from react_ray.serve.engine.about import About, read_about
from react_ray.serve.engine.batcher import Batcher
from react_ray.serve.engine.decoding import RowDecoder
from react_ray.serve.engine.model import Engine, ModelOutput, load_engine
from react_ray.serve.engine.pieces import Pieces
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
GENERATING = 4
"""Times the tokens of a model call for a model that generates: each of its steps has a fixed cost."""
READY_WITHIN_S = 5.0
"""Maximum seconds of a ready replica for one text, ahead of the queue."""
NOT_READY = f"the model did not answer within {READY_WITHIN_S:.0f} s"

Result = TypeVar("Result")


class TextError(Exception):
    """The model failed on the text at ``index`` of a request."""

    def __init__(self, index: int):
        super().__init__(f"the model failed on text {index}")
        self.index = index


class Service:
    """A warm model, shared by concurrent requests with rows of its task."""

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
        self.most_tokens = engine.most_tokens
        self.about = about
        self.version = about.version
        self.relations = relations
        self.threshold = config.threshold
        self.metrics = ReplicaMetrics()
        self.gate = Gate(config)
        self._engine = engine
        budget = config.tokens_per_call * (GENERATING if self.task.generates else 1)
        self._batcher = Batcher(self._run, budget, engine.lanes, engine.size)
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
        self._at_once = self.task.answers == "label" and few and not has_lists(self.task)

    @classmethod
    def load(
        cls, model: str, config: ServeConfig, threads: int, use_gpu: bool = False, version: str | None = None
    ) -> Service:
        """Load and warm up the model in folder ``model``; InputError if it is invalid or not ``version``."""
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
        self,
        rows: Sequence[Row],
        top: int | None = None,
        threshold: float | None = None,
        limit: int | None = None,
    ) -> list[list[Entry]]:
        """Return the answer to each row in the format of ``Task.wire``; TextError if the model fails on one.

        An answer has at most ``top`` entries, without those below ``threshold`` (None: that of the service).
        ``limit`` is the maximum number of generated tokens, if it is less than that of the model.
        """
        answers = _all_of(await self.outcomes(rows, top, limit))
        return await self.apart(_size(rows), lambda: self.format_answers(answers, rows, top, threshold))

    async def stream(
        self, row: Row, threshold: float | None = None, limit: int | None = None
    ) -> AsyncIterator[str | list[Entry]]:
        """Yield pieces of the text generated for a row, by greedy search, then the answer as ``predict``.

        When the iterator is closed, the model stops at the next token and takes up other texts.
        """
        current().ask([text_of(row)], keep=self.config.log_texts)
        (example,) = await self._encode([row], self._count_cut)
        pieces = Pieces(example)
        work = partial(self._engine.stream, example, pieces.put, limit)
        running = asyncio.create_task(self._batcher.run_alone(work))
        running.add_done_callback(pieces.close)
        try:
            async for piece in pieces:
                yield piece
            output = await running
        finally:
            pieces.stop()
            running.cancel()
        self.metrics.received(1)
        decoder = RowDecoder(self._engine, [row], [example], [output])
        (answer,) = _all_of(self._decoded(decoder, [row], range(1), None, current().id))
        yield pieces.rest(answer.value)
        yield self.format_answer(answer, row, None, threshold)

    async def triples(
        self, rows: Sequence[Row], top: int | None = None, threshold: float | None = None
    ) -> list[list[Entry]]:
        """Return the triples of each row as JSON; TextError as ``predict``, PairsError for too many pairs.

        At most ``top`` per row, without those below ``threshold`` (None: that of the service). Entities below
        it are left out too, because a triple never scores more than its entities.
        """
        assert self.relations is not None
        limit = self.threshold if threshold is None else threshold
        answers = await self.all_answers(rows)

        def entities() -> list[tuple[str, list[Entry]]]:
            pairs = zip(answers, rows, strict=True)
            return [(row["text"], above(limit, self.task.wire(answer, row))) for answer, row in pairs]

        texts = await self.apart(_size(rows), entities)
        results = _all_of(await self.relations.triples(texts))
        return [surest(above(limit, [vars(triple) for triple in triples]), top) for triples in results]

    async def all_answers(self, rows: Sequence[Row], ranked: int | None = None) -> list[Answer]:
        """Return the answer to each row; TextError as ``predict``."""
        return _all_of(await self.outcomes(rows, ranked))

    async def outcomes(
        self, rows: Sequence[Row], ranked: int | None = None, limit: int | None = None
    ) -> list[Answer | Exception]:
        """Return the answer or error of each row; rankings have at most ``ranked`` entries."""
        current().ask([text_of(row) for row in rows], keep=self.config.log_texts)
        examples = await self._encode(rows, self._count_cut)
        if limit is None:
            outputs = await self._batcher.submit(examples)
        else:
            outputs = await self._batcher.run_alone(partial(self._run, examples, limit))
        decoder = RowDecoder(self._engine, rows, examples, outputs)
        self.metrics.received(len(rows))
        outcomes: list[Answer | Exception] = []
        for part in [range(len(rows))] if self._at_once else turns_of(rows):
            work = partial(self._decoded, decoder, rows, part, ranked, current().id)
            outcomes += await self.apart(_size([rows[row] for row in part]), work)
        return outcomes

    async def apart(self, size: int, work: Callable[[], Result]) -> Result:
        """Run ``work`` on texts of ``size`` characters outside of the event loop, if it is expensive.

        For a truncated text and few labels the work is small and done at once. If every word is read, or for
        hundreds of labels, it would block other requests.
        """
        return work() if self._at_once else await self._tokenizer.run(size, work)

    def format_answers(
        self,
        answers: Sequence[Answer],
        rows: Sequence[Row],
        top: int | None = None,
        threshold: float | None = None,
    ) -> list[list[Entry]]:
        """Format each answer, see ``format_answer``."""
        return [self.format_answer(a, row, top, threshold) for a, row in zip(answers, rows, strict=True)]

    def format_answer(
        self, answer: Answer, row: Row, top: int | None = None, threshold: float | None = None
    ) -> list[Entry]:
        """Format an answer as ``predict`` does; an empty one is counted as an abstention."""
        limit = self.threshold if threshold is None else threshold
        entries = best_of(self.task.wire(answer, row), answer, top)
        selected = above(limit, entries)
        if entries and not selected:
            self.metrics.abstained()
        return selected

    async def explore(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return probabilities of artificial texts, which are not counted, logged or compared."""
        examples = await self._encode([parse_input(self.task, text) for text in texts])
        outputs = _all_of(await self._batcher.submit(examples))
        return self._engine.model.row_probabilities(outputs, examples)

    async def _encode(
        self, rows: Sequence[Row], count: Callable[[pa.Table, Sequence[Example]], None] | None = None
    ) -> list[Example]:
        """Tokenize rows; requests alternate at the tokenizer, a number of characters at a time.

        ``count`` is called with each part of the rows and its examples.
        """
        examples: list[Example] = []
        for numbers in turns_of(rows):
            part = [rows[row] for row in numbers]
            examples += await self._tokenizer.run(
                _size(part), partial(self._encode_part, part, numbers.start, count)
            )
        return examples

    def _encode_part(
        self,
        rows: Sequence[Row],
        first: int,
        count: Callable[[pa.Table, Sequence[Example]], None] | None,
    ) -> list[Example]:
        table = few_rows(self.task, rows)
        examples = self._engine.encode(table)
        if count is not None:
            count(table, examples)
        return [replace(example, row=example.row + first) for example in examples] if first else examples

    def _count_cut(self, rows: pa.Table, examples: Sequence[Example]) -> None:
        cut = self._engine.count_cut(rows, examples)
        self.metrics.cut(int((cut > 0).sum()), int(cut.sum()))

    async def plan(self, text: str) -> Plan:
        """Return the masking plan that explains the answer to ``text``."""
        limit = self.config.max_explain_words - 1  # one row is the text itself

        def make() -> Plan:
            return make_plan(text, limit, self._engine.reach(text))

        return await self._tokenizer.run(len(text), make)

    def _decoded(
        self, decoder: RowDecoder, rows: Sequence[Row], part: range, ranked: int | None, request: str
    ) -> list[Answer | Exception]:
        """Decode the answers to a part of the rows; count, compare and record them."""
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
            label = self._recorded(answer, row, names)
            inputs = list(identity_of(self.task, row).values())
            self._recorder.add(request, inputs, label, answer.score, tokens)

    def _recorded(self, answer: Answer, row: Row, names: list[str]) -> str:
        """The answer in a record: its classes, or its text where texts are recorded."""
        if self.task.answers == "label":
            return names[0]
        if self.task.answers in ("span", "text"):
            return self.task.shown(answer.value, row) if self.config.record_texts else ""
        return json.dumps(names, ensure_ascii=False)

    def close(self) -> None:
        """Write pending records."""
        if self._recorder:
            self._recorder.close()

    async def ready(self) -> bool:
        """Return whether a probe succeeded within READY_WITHIN_S seconds, now or a moment ago."""
        return await self._probe.ready()

    async def answers(self, within_s: float) -> bool:
        """Return whether the model answers a probe within ``within_s`` seconds, or generates other texts.

        The probe is ahead of the queue: a full queue or a long text is no reason to replace a replica.
        """
        steps = self._engine.steps
        probes = [self._batcher.run_alone(self._engine.probe, first=True)]
        if self.relations:
            probes.append(self.relations.sample())
        try:
            outcomes = await asyncio.wait_for(asyncio.gather(*probes), within_s)
        except TimeoutError:
            return self._engine.steps > steps
        return not any(isinstance(outcome[0], Exception) for outcome in outcomes)

    def _number_waiting(self) -> int:
        return self._batcher.waiting + (self.relations.waiting if self.relations else 0)

    def _run(self, examples: Sequence[Example], limit: int | None = None) -> list[ModelOutput]:
        started = time.perf_counter()
        outcomes = self._engine.run(examples, limit)
        self.metrics.called(len(examples), time.perf_counter() - started)
        return outcomes


def turns_of(rows: Sequence[Row]) -> Iterator[range]:
    """Split the indices of ``rows`` into parts of CHARS_A_TURN characters, or one longer row."""
    return chunk_ranges((len(text_of(row)) for row in rows), CHARS_A_TURN)


def _size(rows: Sequence[Row]) -> int:
    return sum(len(text_of(row)) for row in rows)


def _all_of(outcomes: Sequence[Any]) -> list[Any]:
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            raise TextError(index) from outcome
    return list(outcomes)
