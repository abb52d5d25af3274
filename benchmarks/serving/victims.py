"""The processes of one service, by what they do: to kill one of them, to weigh them."""

from __future__ import annotations

import random
import signal
import time
import uuid
from collections.abc import Mapping

import psutil

MARK = "REACT_RAY_FAULTS"
TITLES = {
    "replica": "ray::ServeReplica",
    "controller": "ray::ServeController",
    "manager": "ray::HAProxyManager",
    "proxy": "ray::ProxyActor",
}
"""What Ray calls the processes. The manager starts HAProxy; the proxy answers where there is no replica."""


class Victims:
    """Finds processes by a mark in their environment, which they have from the service's command."""

    def __init__(self, chance: random.Random | None = None):
        self._mark = uuid.uuid4().hex
        self._chance = chance or random.Random(0)

    @property
    def environment(self) -> dict[str, str]:
        """To start the service with."""
        return {MARK: self._mark}

    def of(self, role: str) -> list[psutil.Process]:
        """All that live and do this; ``haproxy`` beside those of Ray."""
        return [process for process in self.all() if _does(process, role)]

    def all(self) -> list[psutil.Process]:
        """All processes of the service, its command too."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def kill(self, role: str) -> bool:
        """``kill -9`` one of them; False where there is none at the moment."""
        there = self.of(role)
        if there:
            self._chance.choice(there).send_signal(signal.SIGKILL)
        return bool(there)

    def mib(self) -> dict[str, float]:
        """Resident memory of each role, summed over its processes."""
        weights: dict[str, float] = {}
        for role in ("replica", "controller", "manager", "proxy", "haproxy"):
            weights[role] = sum(process.memory_info().rss for process in self.of(role)) / 2**20
        return weights

    def sweep(self, patience_s: float = 10.0) -> list[str]:
        """Kill what is still there some seconds after the service has ended; what that was."""
        deadline = time.monotonic() + patience_s
        while (left := self.all()) and time.monotonic() < deadline:
            time.sleep(0.2)
        names = [f"{process.pid} {_title(process)[:60]}" for process in left]
        for process in left:
            process.kill()
        return names

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:  # it ended meanwhile, or belongs to somebody else
            return False


def _does(process: psutil.Process, role: str) -> bool:
    words = _title(process)
    if role == "haproxy":  # the script of that name becomes HAProxy
        return words.split(" ")[0].endswith("bin/haproxy")
    return words.startswith(TITLES[role])


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def slope(minutes: list[float], values: Mapping[str, list[float]]) -> dict[str, float]:
    """Growth per minute by least squares, after the first fifth."""
    first = len(minutes) // 5
    x = minutes[first:]
    mean = sum(x) / len(x)
    spread = sum((value - mean) ** 2 for value in x) or 1.0
    return {
        name: round(sum((a - mean) * b for a, b in zip(x, y[first:], strict=True)) / spread, 3)
        for name, y in values.items()
    }
