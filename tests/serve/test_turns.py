"""Turns at the tokenizer: what costs little does not wait for what costs much."""

from __future__ import annotations

import asyncio

import pytest

from react_ray.inference.inputs import Row
from react_ray.serve.engine.turns import Turns
from react_ray.serve.service import CHARS_A_TURN, turns_of


async def order(costs: list[int]) -> list[int]:
    """In which order work of these costs is done, where the first one runs when the others come."""
    turns, done = Turns("test"), list[int]()
    await asyncio.gather(*(turns.run(cost, lambda cost=cost: done.append(cost)) for cost in costs))  # type: ignore[misc]
    return done


def test_short_work_goes_before_long_work() -> None:
    assert asyncio.run(order([1, 900, 800, 2, 3])) == [1, 2, 3, 800, 900]


def test_long_work_waits_for_no_more_than_its_own_cost() -> None:
    async def flood() -> int:
        turns, done = Turns("test"), list[str]()
        long = asyncio.create_task(turns.run(50, lambda: done.append("long")))

        async def short() -> None:
            for _ in range(100):
                await turns.run(1, lambda: done.append("short"))

        await asyncio.gather(long, *(short() for _ in range(3)))
        return done.index("long")

    assert asyncio.run(flood()) < 160  # of 300


def test_callers_with_as_much_work_take_turns() -> None:
    async def both() -> list[str]:
        turns, done = Turns("test"), list[str]()

        async def caller(name: str) -> None:
            for _ in range(4):
                await turns.run(10, lambda: done.append(name))

        await asyncio.gather(caller("a"), caller("b"))
        return done

    assert asyncio.run(both()) == ["a", "b"] * 4


def test_failures_go_to_their_caller_and_one_who_left_costs_nothing() -> None:
    async def mixed() -> list[str]:
        turns, done = Turns("test"), list[str]()

        def fail() -> None:
            raise ValueError("broken")

        failing = asyncio.create_task(turns.run(1, fail))
        gone = asyncio.create_task(turns.run(2, lambda: done.append("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(ValueError, match="broken"):
            await failing
        await turns.run(3, lambda: done.append("last"))
        return done

    assert asyncio.run(mixed()) == ["last"]


def test_texts_are_taken_together_up_to_a_number_of_characters() -> None:
    texts = ["a" * 10] * 1000 + ["b" * 100_000] + ["c"] * 3
    parts = [[texts[number] for number in part] for part in turns_of([Row(text=text) for text in texts])]
    assert [text for part in parts for text in part] == texts
    assert all(sum(map(len, part)) <= CHARS_A_TURN or len(part) == 1 for part in parts)
    assert len(parts) == 5
    assert list(turns_of([])) == []
