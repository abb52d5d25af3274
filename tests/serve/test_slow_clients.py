"""Callers who send slowly, stop in the middle or go away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from service_client import Guarded

pytestmark = pytest.mark.ray


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


@pytest.mark.parametrize("headers", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_ends_the_connection(guarded: Guarded, headers: str) -> None:
    started = time.monotonic()
    with request(guarded, headers) as raw:
        answer = until_closed(raw)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":"the body was not there after 1 s"}' in answer
    assert time.monotonic() - started < 5


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
    assert time.monotonic() - started < 5


def test_slow_callers_hold_no_place_for_long(guarded: Guarded) -> None:
    connections = [request(guarded, "Content-Length: 100") for _ in range(40)]
    sockets = [connection.__enter__() for connection in connections]
    assert guarded.predict().status == 200
    assert {until_closed(raw)[:12] for raw in sockets} <= {b"HTTP/1.1 408", b"HTTP/1.1 429"}
    assert guarded.predict().status == 200


def test_a_caller_who_goes_away_in_the_middle_is_no_failure_of_ours(guarded: Guarded) -> None:
    def failures() -> int:
        text = guarded.ask("GET", "/metrics").body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if 'status="500"' in line)

    before = failures()
    for _ in range(5):
        with request(guarded, "Content-Length: 100") as raw:
            raw.sendall(b"{")
    time.sleep(0.5)
    assert failures() == before
    assert guarded.predict().status == 200
