"""What a replica does between the wire and the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from react_ray.classifier import load
from react_ray.config import ServeConfig
from react_ray.folders import model_folder
from react_ray.prediction import Prediction, rank
from react_ray.reference import Reference, load_reference
from react_ray.serve.batcher import Batcher, Rows
from react_ray.serve.caller import current
from react_ray.serve.drift import Drift
from react_ray.serve.engine import Engine, Outcome
from react_ray.serve.gate import Gate
from react_ray.serve.metrics import Metrics
from react_ray.serve.record import Recorder

__all__ = ["Service", "TextError"]


class TextError(Exception):
    """The model failed on the text at ``index`` of a request."""

    def __init__(self, index: int):
        super().__init__(f"the model failed on text {index}")
        self.index = index


class Service:
    """A warm model that many callers share."""

    def __init__(self, engine: Engine, config: ServeConfig, reference: Reference | None = None):
        self.config = config
        self.labels = engine.labels
        self.metrics = Metrics()
        self.gate = Gate(config)
        self._engine = engine
        self._batcher = Batcher(self._classify, config.batch_tokens)
        self._drift = Drift(reference)
        self.metrics.add(self._drift)
        self._recorder = Recorder(config.record, config.record_texts) if config.record else None
        if self._recorder:
            self.metrics.add(self._recorder)
        self.metrics.watch(
            "react_ray_texts_waiting", "Texts that no model call has taken up", lambda: self._batcher.waiting
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    @classmethod
    def load(cls, model: str, config: ServeConfig, threads: int, use_gpu: bool = False) -> Service:
        """Load and warm the model in folder ``model``; InputError where it is none."""
        engine = Engine(load(model, use_gpu=use_gpu), threads)
        engine.warm_up()
        return cls(engine, config, load_reference(model_folder(model)))

    async def predict(self, texts: Sequence[str], top: int | None = None) -> list[list[Prediction]]:
        """The labels of each text, best first; TextError where the model fails on one."""
        loop = asyncio.get_running_loop()
        current().ask(texts, keep=self.config.log_texts)
        rows = await loop.run_in_executor(self._thread, self._engine.encode, texts)
        outcomes = await self._batcher.submit(rows)
        rankings = []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Exception):
                raise TextError(index) from outcome
            rankings.append(rank(outcome, self.labels, top))
        self._note(texts, rows, rankings)
        return rankings

    def _note(self, texts: Sequence[str], rows: Rows, rankings: Sequence[Sequence[Prediction]]) -> None:
        """Have what was answered counted, compared and recorded."""
        self.metrics.asked(len(texts))
        for text, row, (best, *_) in zip(texts, rows, rankings, strict=True):
            self.metrics.predicted(best.label, best.score, len(row))
            self._drift.add(best.label, best.score, len(row))
            if self._recorder:
                self._recorder.add(current().id, text, best.label, best.score, len(row))

    def close(self) -> None:
        """Write what is still to be recorded."""
        if self._recorder:
            self._recorder.close()

    async def ready(self, within_s: float) -> bool:
        """Whether a text gets through the queue and the model in ``within_s`` seconds."""
        try:
            outcomes = await asyncio.wait_for(self._batcher.submit(self._engine.encode(["ready"])), within_s)
        except TimeoutError:
            return False
        return not isinstance(outcomes[0], Exception)

    def _classify(self, rows: Rows) -> list[Outcome]:
        started = time.perf_counter()
        outcomes = self._engine.classify(rows)
        self.metrics.called(len(rows), time.perf_counter() - started)
        return outcomes
