"""Callers who send slowly, stop in the middle or go away."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import TaskCancelledError
from service_client import Guarded
from starlette.requests import ClientDisconnect

from react_ray.config.service import ServeConfig
from react_ray.serve.watch.access import CALLER_LEFT
from react_ray.serve.watch.metrics import ReplicaMetrics
from react_ray.serve.watch.middleware import Watch


@contextmanager
def request(guarded: Guarded, headers: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", guarded.client.port), timeout=20) as raw:
        raw.sendall(
            f"POST /guarded/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {guarded.key}\r\n"
            f"Content-Type: application/json\r\n{headers}\r\n\r\n".encode()
        )
        yield raw


def until_closed(raw: socket.socket) -> bytes:
    answer = b""
    while part := raw.recv(4096):
        answer += part
    return answer


@pytest.mark.ray
@pytest.mark.parametrize("headers", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_ends_the_connection(guarded: Guarded, headers: str) -> None:
    started = time.monotonic()
    with request(guarded, headers) as raw:
        answer = until_closed(raw)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":"the body was not there after 1 s"}' in answer
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.ray
def test_a_byte_now_and_then_gains_no_time(guarded: Guarded) -> None:
    started = time.monotonic()
    with request(guarded, "Content-Length: 100") as raw:
        raw.settimeout(0.2)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            raw.sendall(b" ")
            try:
                answer = raw.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.ray
def test_a_body_that_comes_in_time_is_answered_however_many_pieces_it_has(guarded: Guarded) -> None:
    with request(guarded, "Content-Length: 20\r\nConnection: close") as raw:
        for piece in (b'{"inp', b'uts": "a', b' text"}'):
            raw.sendall(piece)
            time.sleep(0.2)
        assert until_closed(raw).startswith(b"HTTP/1.1 200")


@pytest.mark.ray
def test_slow_callers_hold_no_place_for_long(guarded: Guarded) -> None:
    with ExitStack() as stack:  # more than the replica has places
        slow = [stack.enter_context(request(guarded, "Content-Length: 100")) for _ in range(40)]
        started = time.monotonic()
        assert guarded.predict().status == 200
        assert time.monotonic() - started < 10
        assert {until_closed(raw)[:12] for raw in slow} == {b"HTTP/1.1 408"}
    assert guarded.predict().status == 200


@pytest.mark.parametrize("told", [ClientDisconnect, TaskCancelledError])
def test_however_it_is_told_that_the_caller_left_it_is_no_failure(told: type[Exception]) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise told

    async def send(message: Any) -> None:
        sent.append(message)

    metrics = ReplicaMetrics()
    scope = {"type": "http", "method": "POST", "headers": []}
    watch = Watch(app, SimpleNamespace(config=ServeConfig(), metrics=metrics, version="1"))
    asyncio.run(watch(scope, None, send))  # type: ignore[arg-type]
    counts = [sample for family in metrics.families() for sample in family.samples]
    assert {s.labels["status"] for s in counts if s.name == "react_ray_requests_total"} == {str(CALLER_LEFT)}
    assert sent == []


@pytest.mark.ray
def test_a_caller_who_goes_away_in_the_middle_is_no_failure_of_ours(guarded: Guarded) -> None:
    def counted() -> Counter[str]:
        counts: Counter[str] = Counter()
        for line in guarded.ask("GET", "/metrics").body.decode().splitlines():
            if found := re.match(
                r'react_ray_requests_total\{.*route="/predict",status="(\d+)"\} (\S+)', line
            ):
                counts[found[1]] += int(float(found[2]))
        return counts

    before = counted()
    for _ in range(5):
        with request(guarded, "Content-Length: 100") as raw:
            raw.sendall(b"{")
            time.sleep(0.5)  # it has reached the replica
    deadline = time.monotonic() + 10
    while (told := counted() - before).total() < 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert told == {str(CALLER_LEFT): 5}
    assert guarded.predict().status == 200
