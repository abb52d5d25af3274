"""Comparison of the resources that a run needs with those of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Demand", "Node", "capacity", "describe", "shortage"]


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: display name, id of Ray, total resources."""

    name: str
    id: str
    cpus: float
    gpus: float

    def size(self) -> str:
        """Describe the node by name and resources."""
        return f"{self.name} {self.cpus:g} CPU" + (f" {self.gpus:g} GPU" if self.gpus else "")

    def holds(self, cpus: float, gpus: float) -> int:
        """Return how many processes of this size fit on the node."""
        counts = [
            available // needed for available, needed in ((self.cpus, cpus), (self.gpus, gpus)) if needed > 0
        ]
        return int(min(counts, default=0))


@dataclass(frozen=True)
class Demand:
    """Processes of a run, with ``cpus`` and ``gpus`` each; encoders and workers do not run at the same time.

    All workers are needed at once, but any number of encoders is enough (auto: as many as fit).
    """

    workers: int
    encoders: int | Literal["auto"]
    cpus: int
    gpus: int


def describe(demand: Demand) -> str:
    """Describe a demand."""
    workers = _plural(demand.workers, "worker") if demand.workers else ""
    encoders = ""
    if demand.encoders == "auto":
        encoders = "as many encoders as fit"
    elif demand.encoders:
        encoders = f"up to {_plural(demand.encoders, 'encoder')}"
    processes = ", then ".join(filter(None, [workers, encoders]))
    return f"requested: {processes or 'no process'} with {_size(demand)} each"


def _plural(number: int, kind: str) -> str:
    return f"{number} {kind}" + ("" if number == 1 else "s")


def _size(demand: Demand) -> str:
    return f"{demand.cpus} CPU" + (f" and {demand.gpus} GPU" if demand.gpus else "")


def capacity(nodes: Sequence[Node], demand: Demand) -> int:
    """Return how many of the processes fit on the cluster at once."""
    return sum(node.holds(demand.cpus, demand.gpus) for node in nodes)


def shortage(nodes: Sequence[Node], demand: Demand) -> str | None:
    """Describe which resources are missing and how to need less; None if all processes fit."""
    needed = max(demand.workers, 1 if demand.encoders else 0)
    if capacity(nodes, demand) >= needed:
        return None
    processes = _plural(needed, "worker" if demand.workers else "encoder")
    demanded = {"CPU": needed * demand.cpus, "GPU": needed * demand.gpus}
    available = {"CPU": sum(node.cpus for node in nodes), "GPU": sum(node.gpus for node in nodes)}
    for kind, amount in demanded.items():
        if amount > available[kind]:
            has = f"Ray has {available[kind]:g}"
            return f"the run asks for {amount} {kind} ({processes}), {has}; {_advice(kind)}"
    return (
        f"the run asks for {processes} with {_size(demand)} on one node each, but only "
        f"{capacity(nodes, demand)} fit ({', '.join(node.size() for node in nodes)}); "
        + _advice("GPU" if demand.gpus else "CPU")
    )


def _advice(kind: str) -> str:
    advice = "lower cluster.workers or cluster.cpus_per_worker"
    return advice + (", or set cluster.use_gpu=false" if kind == "GPU" else "")
