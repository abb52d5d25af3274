from __future__ import annotations

import asyncio
import threading

import pytest

from react_ray.serve.engine.batcher import Batcher, Rows


class Model:
    """Answers each row with its first number; ``gate`` holds its calls back."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, rows: Rows) -> list:
        self.gate.wait(10)
        self.calls.append([row[0] for row in rows])
        return [row[0] for row in rows]


def row(number: int, tokens: int = 1) -> list[int]:
    return [number] * tokens


async def waiting(batcher: Batcher, *requests: list[list[int]]) -> list[asyncio.Task]:
    """Requests that stand in the queue in this order."""
    tasks = []
    for request in requests:
        tasks.append(asyncio.create_task(batcher.submit(request)))
        await asyncio.sleep(0.02)
    return tasks


def test_an_idle_model_starts_at_once_and_a_busy_one_collects() -> None:
    async def scenario() -> None:
        tasks = await waiting(batcher, [row(1)])
        model.gate.clear()
        tasks += await waiting(batcher, [row(2)], [row(3)], [row(4)])
        model.gate.set()
        assert await asyncio.gather(*tasks) == [[1], [2], [3], [4]]

    model = Model()
    batcher = Batcher(model, budget=100)
    asyncio.run(scenario())
    assert model.calls == [[1], [2], [3, 4]]


def test_as_many_calls_run_side_by_side_as_there_are_lanes() -> None:
    async def scenario() -> None:
        model.gate.clear()
        tasks = await waiting(batcher, *([row(i)] for i in range(5)))
        assert batcher.waiting == 3
        model.gate.set()
        assert await asyncio.gather(*tasks) == [[i] for i in range(5)]

    model = Model()
    batcher = Batcher(model, budget=100, lanes=2)
    asyncio.run(scenario())
    assert sorted(map(sorted, model.calls)) == [[0], [1], [2, 3, 4]]


def test_one_request_uses_every_lane() -> None:
    async def scenario() -> None:
        model.gate.clear()
        (task,) = await waiting(batcher, [row(i) for i in range(4)])
        assert batcher.waiting == 2
        model.gate.set()
        await task

    model = Model()
    batcher = Batcher(model, budget=1, lanes=2)
    asyncio.run(scenario())


def test_a_model_that_loses_rows_is_an_error_and_nobody_waits_for_ever() -> None:
    outcomes = asyncio.run(asyncio.wait_for(Batcher(lambda rows: [], budget=5).submit([row(1)]), 5))
    assert [type(outcome) for outcome in outcomes] == [RuntimeError]


def test_answers_keep_the_order_of_their_request() -> None:
    rows = [row(i, tokens=1 + (i * 7) % 5) for i in range(20)]
    assert asyncio.run(Batcher(Model(), budget=6).submit(rows)) == list(range(20))
    assert asyncio.run(Batcher(Model(), budget=6).submit([])) == []


def test_a_call_takes_up_to_the_budget_or_one_row() -> None:
    model = Model()
    asyncio.run(Batcher(model, budget=10).submit([row(1, 4), row(2, 6), row(3, 5), row(4, 30)]))
    assert model.calls == [[4], [2], [3, 1]]


def test_texts_of_like_length_share_a_call_and_none_waits_for_ever() -> None:
    async def scenario() -> None:
        model.gate.clear()
        lengths = [2, 9, 2, 9, 2, 9, 2, 9, 2]
        tasks = await waiting(batcher, *([row(i, length)] for i, length in enumerate(lengths)))
        model.gate.set()
        assert await asyncio.gather(*tasks) == [[i] for i in range(len(lengths))]

    model = Model()
    batcher = Batcher(model, budget=18)
    asyncio.run(scenario())
    assert model.calls == [[0], [1, 3], [2, 4, 6, 8], [5, 7]]


def test_a_short_request_does_not_wait_for_all_of_a_long_one() -> None:
    async def scenario() -> None:
        model.gate.clear()
        tasks = await waiting(batcher, [row(i) for i in range(100)], [row(777)])
        model.gate.set()
        await asyncio.gather(*tasks)

    model = Model()
    batcher = Batcher(model, budget=5)
    asyncio.run(scenario())
    assert [777 in call for call in model.calls].index(True) == 1


def test_rows_that_go_first_wait_for_no_more_than_the_call_that_runs() -> None:
    async def scenario() -> None:
        model.gate.clear()
        tasks = await waiting(batcher, *([row(i, 5)] * 3 for i in range(20)))
        probe = asyncio.create_task(batcher.submit([row(777)], first=True))
        await asyncio.sleep(0.02)
        tasks += await waiting(batcher, [row(20, 5)])
        model.gate.set()
        assert await probe == [777]
        assert await asyncio.gather(*tasks) == [*([i] * 3 for i in range(20)), [20]]

    model = Model()
    batcher = Batcher(model, budget=5)
    asyncio.run(scenario())
    assert [777 in call for call in model.calls].index(True) == 1


def test_rows_of_a_caller_who_left_are_not_computed() -> None:
    async def scenario() -> None:
        model.gate.clear()
        first, left, last = await waiting(batcher, [row(1)], [row(2)] * 50, [row(3)])
        left.cancel()
        await asyncio.sleep(0.02)
        model.gate.set()
        assert [await first, await last] == [[1], [3]]
        with pytest.raises(asyncio.CancelledError):
            await left

    model = Model()
    batcher = Batcher(model, budget=5)
    asyncio.run(scenario())
    assert model.calls == [[1], [3]]


def test_a_broken_call_is_the_outcome_of_its_rows_and_the_next_call_works() -> None:
    def breaks_once(rows: Rows) -> list:
        if rows[0] == [13]:
            raise MemoryError("no room")
        return [0 for _ in rows]

    async def scenario() -> None:
        assert isinstance((await batcher.submit([[13]]))[0], MemoryError)
        assert await batcher.submit([[1]]) == [0]

    batcher = Batcher(breaks_once, budget=5)
    asyncio.run(scenario())
