"""What a replica does between the wire and the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from react_ray.config.service import ServeConfig
from react_ray.folders import model_folder, unchanged
from react_ray.inference.prediction import Prediction, rank
from react_ray.inference.reference import Reference, load_reference
from react_ray.serve.engine.about import About, read_about
from react_ray.serve.engine.batcher import Batcher, Rows
from react_ray.serve.engine.model import Engine, Outcome, load_engine
from react_ray.serve.engine.probe import Probe
from react_ray.serve.engine.turns import Turns
from react_ray.serve.engine.words import Plan, make_plan
from react_ray.serve.limits.gate import Gate
from react_ray.serve.watch.caller import current
from react_ray.serve.watch.drift import Drift
from react_ray.serve.watch.metrics import Metrics
from react_ray.serve.watch.record import Recorder

__all__ = ["CHARS_A_TURN", "NOT_READY", "Service", "TextError", "turns_of"]

CHARS_A_TURN = 4096
"""Characters that a caller has tokenized at a time: a few milliseconds."""
READY_WITHIN_S = 5.0
"""Seconds a ready replica may take for one text, which goes before all that wait."""
NOT_READY = f"the model did not answer within {READY_WITHIN_S:.0f} s"


class TextError(Exception):
    """The model failed on the text at ``index`` of a request."""

    def __init__(self, index: int):
        super().__init__(f"the model failed on text {index}")
        self.index = index


class Service:
    """A warm model that many callers share."""

    def __init__(self, engine: Engine, config: ServeConfig, about: About, reference: Reference | None = None):
        self.config = config
        self.labels = engine.labels
        self.max_length = engine.max_length
        self.about = about
        self.threshold = config.threshold
        self.metrics = Metrics()
        self.gate = Gate(config)
        self._engine = engine
        self._batcher = Batcher(self._classify, config.tokens_per_call, engine.lanes)
        self._probe = Probe(lambda: self.answers(READY_WITHIN_S))
        self._drift = Drift(reference)
        self.metrics.add(self._drift)
        self._recorder = Recorder(config.record, config.record_texts) if config.record else None
        if self._recorder:
            self.metrics.add(self._recorder)
        self.metrics.watch(
            "react_ray_texts_waiting", "Texts that no model call has taken up", lambda: self._batcher.waiting
        )
        self._tokenizer = Turns("tokenizer")

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
        return cls(engine, config, about, load_reference(folder))

    async def predict(
        self, texts: Sequence[str], top: int | None = None, threshold: float | None = None
    ) -> list[list[Prediction]]:
        """The labels of each text, best first; TextError where the model fails on one.

        Labels that score less than ``threshold`` (None: the service's own) are left out.
        """
        limit = self.threshold if threshold is None else threshold
        return [self._answer(rank(row, self.labels, top), limit) for row in await self.probabilities(texts)]

    async def probabilities(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The probabilities of each text, in the order of ``labels``; TextError as ``predict``."""
        return _all_of(await self.outcomes(texts))

    async def outcomes(self, texts: Sequence[str]) -> list[Outcome]:
        """The probabilities of each text, or why the model failed on it."""
        current().ask(texts, keep=self.config.log_texts)
        rows = await self._encode(texts)
        outcomes = await self._batcher.submit(rows)
        self._note(texts, rows, outcomes)
        return outcomes

    async def explore(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """As ``probabilities``, of texts that nobody wrote: they are not counted, logged or compared."""
        return _all_of(await self._batcher.submit(await self._encode(texts)))

    async def _encode(self, texts: Sequence[str]) -> Rows:
        """Token ids; callers take turns at the tokenizer too, some characters at a time."""
        rows: list[list[int]] = []
        for part in turns_of(texts):
            cost = sum(map(len, part))
            rows += await self._tokenizer.run(cost, partial(self._engine.encode, part))
        return rows

    async def plan(self, text: str) -> Plan:
        """What to ask the model in order to explain its answer to ``text``."""
        limit = self.config.max_explain_words - 1  # one row is the text itself

        def make() -> Plan:
            return make_plan(text, limit, self._engine.reach(text))

        return await self._tokenizer.run(len(text), make)

    def _answer(self, ranking: list[Prediction], threshold: float) -> list[Prediction]:
        kept = [prediction for prediction in ranking if prediction.score >= threshold]
        if not kept:
            self.metrics.abstained()
        return kept

    def _note(self, texts: Sequence[str], rows: Rows, outcomes: Sequence[Outcome]) -> None:
        """Have what was answered counted, compared and recorded."""
        self.metrics.asked(len(rows))
        for text, row, outcome in zip(texts, rows, outcomes, strict=True):
            if isinstance(outcome, Exception):
                continue
            best = rank(outcome, self.labels, top=1)[0]
            self.metrics.predicted(best.label, best.score, len(row))
            self._drift.add(best.label, best.score, len(row))
            if self._recorder:
                self._recorder.add(current().id, text, best.label, best.score, len(row))

    def close(self) -> None:
        """Write what is still to be recorded."""
        if self._recorder:
            self._recorder.close()

    async def ready(self) -> bool:
        """Whether a text got through in READY_WITHIN_S seconds, now or a moment ago: see ``Probe``."""
        return await self._probe.ready()

    async def answers(self, within_s: float) -> bool:
        """Whether a text gets through the model in ``within_s`` seconds, tried now.

        It goes before all that wait: a full queue is no reason to replace a replica that works.
        """
        rows = self._engine.encode(["ready"])
        try:
            outcomes = await asyncio.wait_for(self._batcher.submit(rows, first=True), within_s)
        except TimeoutError:
            return False
        return not isinstance(outcomes[0], Exception)

    def _classify(self, rows: Rows) -> list[Outcome]:
        started = time.perf_counter()
        outcomes = self._engine.classify(rows)
        self.metrics.called(len(rows), time.perf_counter() - started)
        return outcomes


def turns_of(texts: Sequence[str]) -> Iterator[list[str]]:
    """``texts`` in parts of CHARS_A_TURN characters, or of one text that is longer."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > CHARS_A_TURN:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part


def _all_of(outcomes: Sequence[Outcome]) -> list[NDArray[np.float32]]:
    found = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception):
            raise TextError(index) from outcome
        found.append(outcome)
    return found
