"""Answers by row: a row whose example failed has no answer, and the others are not made slow by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from fakes import FakeModel

from react_ray.answer import Answer
from react_ray.inference.inputs import Row
from react_ray.serve.engine.decoding import RowDecoder
from react_ray.serve.engine.model import Engine
from react_ray.tasks.task import Example


class Counted(list[Any]):
    """Counts how often an item is looked at."""

    looks = 0

    def __getitem__(self, place: Any) -> Any:
        self.looks += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self.looks += 1
            yield item


def test_the_rows_beside_a_failed_one_are_decoded_in_linear_time() -> None:
    count = 300
    examples = Counted(Example([1], row=row) for row in range(count))
    outputs: list[Any] = [np.array([1, 0], np.float32)] * count
    outputs[7] = error = RuntimeError("poison")
    rows = [Row(text="a")] * count
    answers = RowDecoder(Engine(FakeModel()), rows, examples, outputs).answers(range(count), 1)
    assert answers[7] is error
    assert all(isinstance(one, Answer) and one.value == "a" for one in answers[:7] + answers[8:])
    assert examples.looks < 10 * count


def test_some_rows_are_decoded_apart_from_the_others() -> None:
    examples = [Example([1, 1], row=0), Example([1], row=1), Example([1], row=2)]
    outputs: Any = [np.array(one, np.float32) for one in ([1, 0], [0, 1], [1, 0])]
    decoder = RowDecoder(Engine(FakeModel()), [Row(text="a")] * 3, examples, outputs)
    found = decoder.answers([1, 2], 1)
    assert [one.value for one in found if isinstance(one, Answer)] == ["b", "a"]
    assert [decoder.tokens(row) for row in range(3)] == [2, 1, 1]
