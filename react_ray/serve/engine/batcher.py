"""Dynamic batching of the texts of concurrent requests.

There is no waiting time for a batch to fill: an idle model starts at once, and texts that
arrive meanwhile form the next batch. (``serve.batch`` closes a batch before the model is
free, so without a waiting time its batches have one request.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from react_ray.serve.engine.model import ModelOutput

__all__ = ["Batcher"]

Rows = Sequence[Any]
Result = TypeVar("Result")
CHOICE = 4
"""Calls' worth of tokens that a call is chosen from."""


class Batcher:
    """Request queue of a model; ``run`` is called in threads, up to ``lanes`` calls at a time.

    Requests alternate row by row, so that a short request does not wait for a long one.
    A batch has up to ``budget`` tokens, padding included, or one row. ``length`` gives the tokens of a row.
    """

    def __init__(
        self,
        run: Callable[[Rows], list[ModelOutput]],
        budget: int,
        lanes: int = 1,
        length: Callable[[Any], int] = len,
    ):
        self._run = run
        self._length = length
        self._budget = budget
        self._jobs: deque[_Job] = deque()
        self._lanes = lanes
        self._workers: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="model")

    @property
    def waiting(self) -> int:
        """Number of rows that are not in a model call yet."""
        return sum(len(job.waiting) for job in list(self._jobs) if not job.done.done())

    async def submit(self, rows: Rows, first: bool = False) -> list[ModelOutput]:
        """Return the outcomes of ``rows``, in order; after a cancellation the rest is not computed.

        ``first`` puts rows at the head of the queue, for a few short rows such as probes.
        """
        if not rows:
            return []
        return await self._add(_Job(rows, [self._length(row) for row in rows]), first)

    async def run_alone(self, work: Callable[[], Result], first: bool = False) -> Result:
        """Run ``work`` in its turn as a model call of its own; it is skipped if cancelled before.

        ``first`` is as in :meth:`submit`.
        """
        (outcome,) = await self._add(_Job([work], [self._budget], alone=True), first)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _add(self, job: _Job, first: bool = False) -> list[Any]:
        (self._jobs.appendleft if first else self._jobs.append)(job)
        self._workers = [worker for worker in self._workers if not worker.done()]
        for _ in range(min(self._lanes - len(self._workers), len(job.rows))):
            self._workers.append(asyncio.create_task(self._work()))
        return await job.done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            rows = [job.rows[index] for job, index in batch]
            call = partial(_alone, rows[0]) if batch[0][0].alone else partial(self._run, rows)
            try:
                outcomes = await loop.run_in_executor(self._threads, call)
                if len(outcomes) != len(rows):
                    raise RuntimeError(f"the model gave {len(outcomes)} outcomes for {len(rows)} rows")
            except Exception as error:
                outcomes = [error] * len(rows)
            for (job, index), outcome in zip(batch, outcomes, strict=True):
                job.settle(index, outcome)

    def _next(self) -> list[tuple[_Job, int]]:
        """Next batch: the head of the queue plus the waiting texts closest in length."""
        offered = self._offered()
        if not offered:
            return []
        if offered[0][0].alone:
            self._take(offered[:1])
            return offered[:1]
        offered = [(job, index) for job, index in offered if not job.alone]
        first = _length(offered[0])
        batch: list[tuple[_Job, int]] = []
        longest = 0
        for row in sorted(offered, key=lambda row: abs(_length(row) - first)):
            longest = max(longest, _length(row))
            if batch and longest * (len(batch) + 1) > self._budget:
                break
            batch.append(row)
        self._take(batch)
        return batch

    def _offered(self) -> list[tuple[_Job, int]]:
        """Return the texts of all requests in turn, to choose from."""
        self._jobs = deque(job for job in self._jobs if job.waiting and not job.done.done())
        turns = deque((job, iter(job.waiting)) for job in self._jobs)
        offered: list[tuple[_Job, int]] = []
        tokens = 0
        while turns and tokens < CHOICE * self._budget:
            job, rows = turns.popleft()
            index = next(rows, None)
            if index is not None:
                offered.append((job, index))
                tokens += _length(offered[-1])
                turns.append((job, rows))
        return offered

    def _take(self, batch: list[tuple[_Job, int]]) -> None:
        """Remove the rows from the queue; their requests move to its end."""
        for job, index in batch:
            del job.waiting[index]
        served = {id(job) for job, _ in batch}
        self._jobs = deque(sorted(self._jobs, key=lambda job: id(job) in served))


def _length(row: tuple[_Job, int]) -> int:
    job, index = row
    return job.lengths[index]


def _alone(work: Callable[[], Any]) -> list[Any]:
    return [work()]


class _Job:
    """Rows of one request; the longest go first, so that batches have rows of similar length.

    If ``alone``, the only row is a function that is called instead of the model.
    """

    def __init__(self, rows: Rows, lengths: list[int], alone: bool = False):
        self.rows, self.lengths, self.alone = rows, lengths, alone
        self.waiting = dict.fromkeys(sorted(range(len(rows)), key=lambda index: -lengths[index]))
        self.done: asyncio.Future[list[ModelOutput]] = asyncio.get_running_loop().create_future()
        self._outcomes: dict[int, ModelOutput] = {}

    def settle(self, index: int, outcome: ModelOutput) -> None:
        self._outcomes[index] = outcome
        if len(self._outcomes) == len(self.rows) and not self.done.done():
            self.done.set_result([self._outcomes[i] for i in range(len(self.rows))])
