"""Gauges that are read as they are at the moment."""

from __future__ import annotations

import asyncio
import threading

from react_ray.serve.engine.batcher import Batcher, Rows


def test_the_queue_counts_what_no_call_has_taken_up() -> None:
    gate = threading.Event()

    def slow(rows: Rows) -> list:
        gate.wait(10)
        return [0] * len(rows)

    async def scenario() -> None:
        batcher = Batcher(slow, budget=2)
        tasks = [asyncio.create_task(batcher.submit([[1]] * 5))]
        await asyncio.sleep(0.05)
        assert batcher.waiting == 3
        tasks.append(asyncio.create_task(batcher.submit([[1]] * 4)))
        await asyncio.sleep(0.05)
        assert batcher.waiting == 7
        tasks[1].cancel()
        await asyncio.sleep(0.05)
        assert batcher.waiting == 3
        gate.set()
        await tasks[0]
        assert batcher.waiting == 0

    asyncio.run(scenario())
