"""What a replica does between the wire and the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from react_ray.classifier import load
from react_ray.config import ServeConfig
from react_ray.prediction import Prediction, rank
from react_ray.serve.batcher import Batcher, Rows
from react_ray.serve.engine import Engine, Outcome
from react_ray.serve.metrics import Metrics

__all__ = ["Service", "TextError"]


class TextError(Exception):
    """The model failed on the text at ``index`` of a request."""

    def __init__(self, index: int):
        super().__init__(f"the model failed on text {index}")
        self.index = index


class Service:
    """A warm model that many callers share."""

    def __init__(self, engine: Engine, config: ServeConfig):
        self.config = config
        self.labels = engine.labels
        self.metrics = Metrics()
        self._engine = engine
        self._batcher = Batcher(self._classify, config.batch_tokens)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    @classmethod
    def load(cls, model: str, config: ServeConfig, threads: int, use_gpu: bool = False) -> Service:
        """Load and warm the model in folder ``model``; InputError where it is none."""
        engine = Engine(load(model, use_gpu=use_gpu), threads)
        engine.warm_up()
        return cls(engine, config)

    async def predict(self, texts: Sequence[str], top: int | None = None) -> list[list[Prediction]]:
        """The labels of each text, best first; TextError where the model fails on one."""
        return [rank(row, self.labels, top) for row in await self.probabilities(texts)]

    async def probabilities(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The probabilities of each text (labels); TextError where the model fails on one."""
        rows = []
        for index, outcome in enumerate(await self.outcomes(texts)):
            if isinstance(outcome, Exception):
                raise TextError(index) from outcome
            rows.append(outcome)
        return rows

    async def outcomes(self, texts: Sequence[str]) -> list[Outcome]:
        """The probabilities of each text, or why the model failed on it."""
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._thread, self._engine.encode, texts)
        outcomes = await self._batcher.submit(rows)
        for outcome in outcomes:
            if not isinstance(outcome, Exception):
                self.metrics.predicted(self.labels[int(outcome.argmax())])
        return outcomes

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
