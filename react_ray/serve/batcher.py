"""Joins the texts of concurrent callers into model calls.

Nothing waits for a batch to fill: an idle model starts at once, and what arrives
while it works makes up the next call. (``serve.batch`` closes a batch before the
model is free, so without a waiting time its batches hold one request.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from react_ray.serve.engine import Outcome

__all__ = ["Batcher"]

Rows = Sequence[list[int]]


class Batcher:
    """A queue before ``classify``, which runs in threads of its own, ``lanes`` calls at a time.

    Callers take turns, text by text, so a short request is not held up by a long one.
    A call takes up to ``budget`` tokens, or one text.
    """

    def __init__(self, classify: Callable[[Rows], list[Outcome]], budget: int, lanes: int = 1):
        self._classify = classify
        self._budget = budget
        self._jobs: deque[_Job] = deque()
        self._lanes = lanes
        self._workers: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="model")

    @property
    def waiting(self) -> int:
        """Rows that no call has taken up yet."""
        return sum(len(job.waiting) for job in list(self._jobs) if not job.done.done())

    async def submit(self, rows: Rows) -> list[Outcome]:
        """The outcomes of ``rows``, in their order; when cancelled, the rest is not computed."""
        if not rows:
            return []
        job = _Job(rows)
        self._jobs.append(job)
        self._workers = [worker for worker in self._workers if not worker.done()]
        if len(self._workers) < self._lanes:
            self._workers.append(asyncio.create_task(self._work()))
        return await job.done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            rows = [job.rows[index] for job, index in batch]
            try:
                outcomes = await loop.run_in_executor(self._threads, self._classify, rows)
            except Exception as error:
                outcomes = [error] * len(rows)
            for (job, index), outcome in zip(batch, outcomes, strict=True):
                job.settle(index, outcome)

    def _next(self) -> list[tuple[_Job, int]]:
        batch: list[tuple[_Job, int]] = []
        tokens = 0
        while self._jobs:
            job = self._jobs[0]
            if job.done.done() or not job.waiting:
                self._jobs.popleft()
                continue
            tokens += len(job.rows[job.waiting[0]])
            if batch and tokens > self._budget:
                break
            batch.append((job, job.waiting.popleft()))
            self._jobs.rotate(-1)
        return batch


class _Job:
    """The rows of one caller; the longest go first, so that a call has rows of like length."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.waiting = deque(sorted(range(len(rows)), key=lambda index: -len(rows[index])))
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._outcomes: dict[int, Outcome] = {}

    def settle(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        if len(self._outcomes) == len(self.rows) and not self.done.done():
            self.done.set_result([self._outcomes[i] for i in range(len(self.rows))])
