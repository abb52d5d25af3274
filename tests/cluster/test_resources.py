from __future__ import annotations

import pytest

from react_ray.cluster.resources import Demand, Node, capacity, describe, shortage

SMALL = [Node("a", "1", 4, 0), Node("b", "2", 4, 0)]
MIXED = [Node("head", "1", 8, 0), Node("gpu", "2", 4, 2)]


@pytest.mark.parametrize(
    ("nodes", "demand", "held"),
    [
        (SMALL, Demand(2, 2, 1, 0), 8),
        (SMALL, Demand(2, 2, 3, 0), 2),
        (SMALL, Demand(2, 2, 5, 0), 0),
        (MIXED, Demand(2, 2, 1, 1), 2),
        (MIXED, Demand(2, 2, 3, 1), 1),
        ([], Demand(1, 0, 1, 0), 0),
    ],
)
def test_a_process_has_its_cores_on_one_node(nodes: list[Node], demand: Demand, held: int) -> None:
    assert capacity(nodes, demand) == held


@pytest.mark.parametrize(
    ("nodes", "demand", "words"),
    [
        (SMALL, Demand(9, 2, 1, 0), ["9 CPU (9 workers)", "Ray has 8", "lower cluster.workers"]),
        (SMALL, Demand(1, 2, 1, 1), ["1 GPU", "Ray has 0", "cluster.use_gpu=false"]),
        (SMALL, Demand(3, 2, 2 + 1, 0), ["9 CPU", "Ray has 8"]),
        (SMALL, Demand(1, 2, 6, 0), ["6 CPU on one node", "only 0 fit", "a 4 CPU, b 4 CPU"]),
        (MIXED, Demand(2, 2, 3, 1), ["3 CPU and 1 GPU", "only 1 fit", "gpu 4 CPU 2 GPU"]),
        (SMALL, Demand(0, 2, 8, 0), ["1 encoder with 8 CPU"]),
    ],
)
def test_what_is_missing_is_named(nodes: list[Node], demand: Demand, words: list[str]) -> None:
    told = shortage(nodes, demand)
    assert told
    assert [word for word in words if word not in told] == []


def test_what_has_room_lacks_nothing() -> None:
    assert shortage(SMALL, Demand(8, 99, 1, 0)) is None, "encoders take what there is"
    assert shortage(MIXED, Demand(2, 2, 2, 1)) is None
    assert shortage([], Demand(0, 0, 1, 0)) is None, "all in this process"
    assert (
        describe(Demand(2, 4, 1, 1))
        == "requested: 2 workers, then up to 4 encoders with 1 CPU and 1 GPU each"
    )
