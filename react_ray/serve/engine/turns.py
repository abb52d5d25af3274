"""Scheduling of a thread that requests share: cheap work first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Turns"]

Result = TypeVar("Result")


class Turns:
    """Scheduler of a thread that runs one job at a time, cheap jobs first.

    Self-clocked fair queueing: the due time of a job is that of the running job, plus its cost. So a short
    text waits for the running job and for other short ones, not for long texts that arrived earlier; and a
    long one waits at most until as much other work as its own is done.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, Callable[[], Any], asyncio.Future[Any]]] = []
        self._time = 0.0
        self._worker: asyncio.Task[None] | None = None

    async def run(self, cost: float, work: Callable[[], Result]) -> Result:
        """Run ``work`` when its turn comes and return the result; it is skipped if cancelled before."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self._time + cost, next(self._numbers), work, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._time, _, work, future = heapq.heappop(self._waiting)
            if future.done():  # its caller left
                continue
            try:
                result = await loop.run_in_executor(self._thread, work)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)
