"""Resources that a run needs, compared with those of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Demand", "Node", "in_words", "lacking", "room"]


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its name for people, Ray's id, all that it has."""

    name: str
    id: str
    cpus: float
    gpus: float

    def size(self) -> str:
        """Describe the node: name and resources."""
        return f"{self.name} {self.cpus:g} CPU" + (f" {self.gpus:g} GPU" if self.gpus else "")

    def holds(self, cpus: float, gpus: float) -> int:
        """Return how many processes of this size fit on the node."""
        fits = [there // each for there, each in ((self.cpus, cpus), (self.gpus, gpus)) if each > 0]
        return int(min(fits, default=0))


@dataclass(frozen=True)
class Demand:
    """Processes of a run: ``cpus`` and ``gpus`` are those of each; encoders and workers take turns.

    Any number of encoders will do (auto: as many as fit), but workers wait for each other.
    """

    workers: int
    encoders: int | Literal["auto"]
    cpus: int
    gpus: int


def in_words(demand: Demand) -> str:
    """Describe the demand."""
    workers = _count(demand.workers, "worker") if demand.workers else ""
    encoders = ""
    if demand.encoders == "auto":
        encoders = "as many encoders as fit"
    elif demand.encoders:
        encoders = f"up to {_count(demand.encoders, 'encoder')}"
    processes = ", then ".join(filter(None, [workers, encoders]))
    return f"asked for: {processes or 'no process'} with {_each(demand)} each"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind}" + ("" if number == 1 else "s")


def _each(demand: Demand) -> str:
    return f"{demand.cpus} CPU" + (f" and {demand.gpus} GPU" if demand.gpus else "")


def room(nodes: Sequence[Node], demand: Demand) -> int:
    """Return how many of the processes fit on the cluster at once."""
    return sum(node.holds(demand.cpus, demand.gpus) for node in nodes)


def lacking(nodes: Sequence[Node], demand: Demand) -> str | None:
    """Describe what is missing and how to need less; None when all fits."""
    needed = max(demand.workers, 1 if demand.encoders else 0)
    if room(nodes, demand) >= needed:
        return None
    who = _count(needed, "worker" if demand.workers else "encoder")
    asked = {"CPU": needed * demand.cpus, "GPU": needed * demand.gpus}
    there = {"CPU": sum(node.cpus for node in nodes), "GPU": sum(node.gpus for node in nodes)}
    for kind, amount in asked.items():
        if amount > there[kind]:
            return f"the run asks for {amount} {kind} ({who}), Ray has {there[kind]:g}; {_less(kind)}"
    return (
        f"the run asks for {who} with {_each(demand)} on one node each, and there is room for "
        f"{room(nodes, demand)} ({', '.join(node.size() for node in nodes)}); "
        + _less("GPU" if demand.gpus else "CPU")
    )


def _less(kind: str) -> str:
    advice = "lower cluster.workers or cluster.cpus_per_worker"
    return advice + (", or set cluster.use_gpu=false" if kind == "GPU" else "")
