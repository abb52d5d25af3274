"""What can happen to a service, a function each, and what its callers saw."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving.cluster import Cluster
from benchmarks.serving.load import (
    REFUSED,
    Answer,
    Load,
    Request,
    learn,
    longest_silence,
    outcomes,
    percentile,
)
from benchmarks.serving.service import Running, make_model, served
from benchmarks.serving.tiny import make_tiny, texts
from benchmarks.serving.victims import Victims, slope

SMALL = ("--replicas", "2", "cpus_per_replica=1", "access_log=false")
CALLERS = 8
LAST_S = 10.0
"""Load goes on so long after the last fault."""

Row = dict[str, Any]


def summary(fault: str, answers: Sequence[Answer], faults: Sequence[float] = (), note: str = "") -> Row:
    """The row of a fault."""
    count = outcomes(answers)
    good = {key: count.pop(key, 0) for key in ("200", "429", "503")}
    kinds = ", ".join(f"{number} {kind}" for kind, number in count.most_common())
    return {
        "fault": fault,
        "requests": len(answers),
        **good,
        "failed": count.total(),
        "p50": percentile(answers, 0.5),
        "p99": percentile(answers, 0.99),
        "silence": longest_silence(answers, faults),
        "note": "; ".join(part for part in (note, kinds) if part),
    }


class Bench:
    """Models, made when first asked for, and services."""

    def __init__(self, folder: Path, soak_minutes: float):
        self.folder, self.soak_minutes = folder, soak_minutes

    def tiny(self, seed: int = 0) -> Path:
        """A model that costs nothing."""
        folder = self.folder / f"tiny-{seed}"
        return folder if folder.exists() else make_tiny(folder, seed)

    def mini(self) -> Path:
        """A model of the size that is served."""
        return make_model(self.folder / "mini")

    @contextmanager
    def service(self, model: Path, *settings: str) -> Iterator[tuple[Running, Victims]]:
        """Two replicas; whatever outlives the service's end is an error."""
        victims = Victims()
        try:
            with served(model, *SMALL, *settings, environment=victims.environment) as running:
                yield running, victims
        finally:
            left = victims.sweep()
        if left:
            raise SystemExit(f"these processes outlived the service: {left}")


def some_requests(url: str, count: int = 100) -> list[Request]:
    """Short ones, with their answers."""
    requests = [Request([text]) for text in texts(count)]
    learn(url, requests)
    return requests


def killing(role: str, every_s: float, for_s: float, clients: bool = False) -> Callable[[Bench], Row]:
    """The fault of a process that is killed again and again."""

    def fault(bench: Bench) -> Row:
        with bench.service(bench.tiny()) as (running, victims):
            requests = some_requests(running.url)
            row = under_kills(victims, running.url, requests, role, every_s, for_s, clients)
        return {**row, "fault": f"{row['fault']}, callers with the client"} if clients else row

    return fault


def under_kills(
    victims: Victims,
    url: str,
    requests: Sequence[Request],
    role: str,
    every_s: float,
    for_s: float,
    clients: bool = False,
) -> Row:
    """The row, and in its note how many were killed."""
    load, kills = Load(url, requests), []
    with load.clients(CALLERS) if clients else load.callers(CALLERS):
        time.sleep(2)
        began = time.monotonic()
        for turn in range(round(for_s / every_s)):
            time.sleep(max(0.0, began + turn * every_s - time.monotonic()))
            now = time.monotonic()
            if victims.kill(role):
                kills.append(now)
        time.sleep(max(every_s, LAST_S))
    return summary(f"{role} killed every {every_s:g} s", load.answers, kills, f"{len(kills)} kills")


def node(bench: Bench) -> Row:
    """Kill a node with a replica three times, and start another one each time."""
    with Cluster(bench.folder / "node", nodes=2) as cluster:
        cluster.deploy(bench.tiny(), replicas=2)
        requests = some_requests(cluster.url)
        load, kills = Load(cluster.url, requests), []
        with load.callers(CALLERS):
            for number in (0, 1, 0):
                time.sleep(5)
                kills.append(time.monotonic())
                cluster.restart(number)
                time.sleep(20)
    return summary("node killed every 25 s", load.answers, kills, f"{len(kills)} kills")


def update(bench: Bench) -> Row:
    """Another model takes the place of the first, and the first its place again."""
    with Cluster(bench.folder / "update", nodes=0) as cluster:
        requests = [Request([text]) for text in texts(100)]
        for seed in (1, 0):
            cluster.deploy(bench.tiny(seed), replicas=2)
            learn(cluster.url, requests)
        load, times = Load(cluster.url, requests), []
        with load.callers(CALLERS):
            for seed in (1, 0):
                time.sleep(5)
                times.append(time.monotonic())
                cluster.deploy(bench.tiny(seed), replicas=2)
            time.sleep(LAST_S)
    versions = {answer.version for answer in load.answers if answer.outcome == "200"}
    return summary("another model deployed, twice", load.answers, times, f"{len(versions)} versions answered")


def sigterm(bench: Bench) -> Row:
    """The service is told to stop while callers are at work."""
    with bench.service(bench.tiny()) as (running, _):
        load = Load(running.url, some_requests(running.url))
        with load.callers(CALLERS):
            time.sleep(5)
            told = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            code = running.process.wait(60)
            ended = time.monotonic() - told
            time.sleep(1)
    admitted = [answer for answer in load.answers if answer.outcome != REFUSED]
    if any(answer.outcome == REFUSED and answer.began < told for answer in load.answers):
        raise SystemExit("refused before it was told to stop")
    note = f"ended in {ended:.1f} s with {code}; then connections are refused, not counted here"
    return summary("SIGTERM", admitted, note=note)


def overload(bench: Bench) -> Row:
    """Five times what the service can do."""
    limits = ("max_ongoing=16", "max_queued=16")
    with bench.service(bench.mini(), *limits) as (running, _):
        requests = [Request([text]) for text in texts(100, least=60, most=100)]
        learn(running.url, requests)
        capacity = Load(running.url, requests)
        with capacity.callers(16):
            time.sleep(10)
        per_s = len(capacity.answers) / 10
        load = Load(running.url, requests)
        with load.rate(5 * per_s):
            time.sleep(30)
    p99 = percentile(capacity.answers, 0.99)
    note = f"{5 * per_s:.0f} requests/s for 30 s; 16 callers get {per_s:.0f}/s at a p99 of {p99} ms; "
    note += " ".join(limits)
    return summary("five times its capacity", load.answers, note=note)


def slow_clients(bench: Bench) -> Row:
    """200 callers who send a byte a second."""
    with bench.service(bench.tiny()) as (running, _):
        requests = some_requests(running.url)
        alone, load = Load(running.url, requests), Load(running.url, requests)
        with alone.callers(4):
            time.sleep(20)
        with dripping(running.url, 200) as cut, load.callers(4):
            time.sleep(30)
    return summary(
        "200 callers of a byte a second",
        load.answers,
        note=f"without them p99 is {percentile(alone.answers, 0.99)} ms; {len(cut)} were cut off",
    )


@contextmanager
def dripping(url: str, count: int) -> Iterator[list[float]]:
    """Connections whose request never is whole; the times at which the service ended one."""
    address = url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    over, cut = threading.Event(), []

    def connect() -> socket.socket:
        connection = socket.create_connection((address[0], int(address[1])))
        connection.sendall(head)
        return connection

    def drip() -> None:
        connections = [connect() for _ in range(count)]
        while not over.wait(1):
            for number, connection in enumerate(connections):
                try:
                    connection.sendall(b" ")
                except OSError:
                    cut.append(time.monotonic())
                    connections[number] = connect()
        for connection in connections:
            connection.close()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield cut
    finally:
        over.set()
        thread.join()


def large_bodies(bench: Bench) -> Row:
    """Bodies near the limit, whose replica dies."""
    with bench.service(bench.tiny()) as (running, victims):
        words = texts(42, least=18_000, most=18_000)
        requests = [Request([words[i + j][:85_000] for j in range(12)]) for i in range(0, 30, 3)]
        requests = [
            Request([*request.texts, "the " * ((2**20 - 2_000 - len(request.body)) // 4)])
            for request in requests
        ]
        learn(running.url, requests)
        row = under_kills(victims, running.url, requests, "replica", 5, 60)
    size = min(len(request.body) for request in requests)
    return {**row, "fault": f"replica killed every 5 s, bodies of {size / 2**20:.2f} MiB"}


def long_texts(bench: Bench) -> Row:
    """What texts of the model's full length do to the short ones beside them."""
    with bench.service(bench.mini()) as (running, _):
        short, long = ([Request([text]) for text in texts(100, *words)] for words in ((5, 20), (600, 800)))
        learn(running.url, [*short, *long])
        alone = Load(running.url, short)
        with alone.rate(20):
            time.sleep(30)
        mixed, beside = Load(running.url, short), Load(running.url, long, seed=1)
        with mixed.rate(19), beside.rate(1):
            time.sleep(30)
    p50, p99 = percentile(alone.answers, 0.5), percentile(alone.answers, 0.99)
    note = f"p50 and p99 are of the short ones, {p50} and {p99} ms alone; "
    note += f"the long ones' p99 is {percentile(beside.answers, 0.99)} ms"
    row = summary("5 % of 20 texts/s are of full length", [*mixed.answers, *beside.answers], note=note)
    return {**row, "p50": percentile(mixed.answers, 0.5), "p99": percentile(mixed.answers, 0.99)}


def soak(bench: Bench) -> Row:
    """Steady load, and what becomes of the memory."""
    minutes: list[float] = []
    weights: dict[str, list[float]] = {}
    with bench.service(bench.tiny()) as (running, victims):
        load = Load(running.url, some_requests(running.url))
        began = time.monotonic()
        with load.rate(50):
            while time.monotonic() - began < bench.soak_minutes * 60:
                minutes.append((time.monotonic() - began) / 60)
                for role, mib in victims.mib().items():
                    weights.setdefault(role, []).append(mib)
                time.sleep(5)
    growth = ", ".join(
        f"{role} {weights[role][-1]:.0f} ({rate:+g})" for role, rate in slope(minutes, weights).items()
    )
    row = summary(
        f"none: {bench.soak_minutes:g} min of 50 requests/s",
        load.answers,
        note=f"MiB at the end (and growth a minute): {growth}",
    )
    return {**row, "minutes": [round(minute, 2) for minute in minutes], "mib": weights}


def scaling(bench: Bench) -> Row:
    """Load that one replica cannot bear, and then little: the second comes, and goes."""
    settings = ("--replicas", "1", "max_replicas=2", "target_ongoing=4")
    with bench.service(bench.mini(), *settings) as (running, victims):
        requests = [Request([text]) for text in texts(100, least=60, most=100)]
        learn(running.url, requests)
        busy, idle = Load(running.url, requests), Load(running.url, requests)
        with busy.callers(32):
            up = seconds_until(lambda: len(victims.of("replica")) == 2, 60)
            time.sleep(30)
        with idle.rate(2):
            down = seconds_until(lambda: len(victims.of("replica")) == 1, 180)
    note = f"the second replica was started after {up} s of load, and one was left {down} s after its end"
    return summary("load for two replicas, then for one", [*busy.answers, *idle.answers], note=note)


def seconds_until(true: Callable[[], bool], within_s: float) -> float:
    """How long it takes; ends the program where it does not come."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > within_s:
            raise SystemExit(f"nothing after {within_s:g} s")
        time.sleep(0.5)
    return round(time.monotonic() - began, 1)


FAULTS: dict[str, Callable[[Bench], Row]] = {
    "replica": killing("replica", 5, 60),
    "controller": killing("controller", 15, 60),
    "haproxy": killing("haproxy", 15, 60),
    "haproxy-clients": killing("haproxy", 15, 60, clients=True),
    "manager": killing("manager", 15, 60),
    "manager-clients": killing("manager", 15, 60, clients=True),
    "proxy": killing("proxy", 15, 60),
    "node": node,
    "update": update,
    "sigterm": sigterm,
    "overload": overload,
    "slow-clients": slow_clients,
    "large-bodies": large_bodies,
    "long-texts": long_texts,
    "scaling": scaling,
    "soak": soak,
}
