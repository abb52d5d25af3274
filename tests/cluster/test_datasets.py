from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from react_ray.cluster.datasets import map_items, watch_results
from react_ray.cluster.resources import Demand
from react_ray.cluster.session import Session
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError, TrainingError

ITEMS = [{"number": number} for number in range(4)]
ON_RAY = ClusterConfig(local_rows=0)


def doubles() -> Callable[[dict[str, Any]], int]:
    return lambda item: 2 * item["number"]


def refuses() -> Callable[[dict[str, Any]], int]:
    def work(item: dict[str, Any]) -> int:
        raise InputError(f"item {item['number']} cannot be used")

    return work


def breaks() -> Callable[[dict[str, Any]], int]:
    def work(item: dict[str, Any]) -> int:
        raise ValueError("数据 too warm")

    return work


@pytest.mark.parametrize("rows", [0, 10**9], ids=["in this process", "on Ray"])
@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_all_items_are_done_wherever_it_is(rows: int):
    seen: list[tuple[int, int]] = []
    done = map_items(
        doubles,
        ITEMS,
        rows=rows,
        session=Session(ON_RAY),
        progress=lambda n, total, note: seen.append((n, total)),
    )
    assert done == 12
    assert seen[-1] == (4, 4)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_errors_on_ray_are_those_of_the_work():
    with pytest.raises(InputError, match=r"^item \d cannot be used$"):
        map_items(refuses, ITEMS, rows=1, session=Session(ON_RAY))
    with pytest.raises(TrainingError, match=r"(?s)in work.*ValueError: 数据 too warm"):
        map_items(breaks, ITEMS, rows=1, session=Session(ON_RAY))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_work_that_no_node_has_room_for_any_more_ends_with_what_is_missing():
    over = Event()

    def never() -> Iterator[int]:
        yield 1
        over.wait()

    session = Session(ClusterConfig(local_rows=0, timeout_s=1))
    results = watch_results(never(), session, Demand(0, "auto", 1_000, 0), check_s=0.1)
    assert next(results) == 1
    with pytest.raises(ClusterError, match="1000 CPU"):
        next(results)
    over.set()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_work_that_waits_is_said(caplog: pytest.LogCaptureFixture):
    over = Event()

    def late() -> Iterator[int]:
        over.wait(20)
        yield 1

    session = Session(ClusterConfig(local_rows=0, timeout_s=1))
    results = watch_results(late(), session, Demand(0, "auto", 1, 0), check_s=0.05)
    caplog.set_level("WARNING")
    comes = logging.Filter()
    comes.filter = lambda record: bool(over.set()) or True  # what was waited for comes with the warning
    caplog.handler.addFilter(comes)
    try:
        assert list(results) == [1]
    finally:
        caplog.handler.removeFilter(comes)
    assert "no part done for" in caplog.text


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_work_ends_where_its_reader_stops_early():
    begun = []

    def parts() -> Iterator[int]:
        for number in range(1_000):
            begun.append(number)
            time.sleep(0.01)
            yield number

    results = watch_results(parts(), Session(ON_RAY), Demand(0, "auto", 1, 0))
    assert next(results) == 0
    results.close()
    time.sleep(0.2)
    number = len(begun)
    time.sleep(0.2)
    assert len(begun) == number < 1_000
