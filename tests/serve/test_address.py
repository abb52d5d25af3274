"""Whose rate a request counts for, where HAProxy stands before the replicas and where not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from react_ray.config.service import ServeConfig
from react_ray.serve.ingress import settings
from react_ray.serve.limits import address
from react_ray.serve.limits.address import FORWARDS, Addresses
from react_ray.serve.limits.gate import Gate, GateMiddleware

NODE, OTHER_NODE, STRANGER = "10.0.0.7", "fd00::7", "203.0.113.5"


@pytest.fixture
def behind_haproxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORWARDS, "1")
    monkeypatch.setattr(address, "_nodes", lambda: {NODE, OTHER_NODE})


@pytest.mark.usefixtures("behind_haproxy")
@pytest.mark.parametrize("peer", [NODE, f"::ffff:{NODE}", OTHER_NODE, "127.0.0.1", "::1"])
def test_from_a_node_the_caller_is_whom_haproxy_saw(peer: str) -> None:
    of = Addresses().of
    assert of(peer, "198.51.100.1") == "198.51.100.1"
    assert of(peer, "192.0.2.66, 198.51.100.1") == "198.51.100.1"  # the first is the caller's own word
    assert of(peer, "2001:db8::1") == "2001:db8::1"
    assert of(peer, "") == peer


@pytest.mark.usefixtures("behind_haproxy")
def test_from_elsewhere_the_header_is_made_up() -> None:
    assert Addresses().of(STRANGER, "198.51.100.1") == STRANGER
    assert Addresses().of("", "198.51.100.1") == ""


def test_without_our_haproxy_the_header_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORWARDS, raising=False)
    assert Addresses(lambda: {NODE}).of(NODE, "198.51.100.1") == NODE


def test_our_haproxy_says_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "available", lambda: True)
    assert settings.variables(ServeConfig())[FORWARDS]


@pytest.mark.usefixtures("behind_haproxy")
def test_strangers_cost_one_look_at_the_nodes_and_a_new_node_is_found() -> None:
    now, looks, nodes = [0.0], [], {NODE}

    def look() -> set[str]:
        looks.append(now[0])
        return set(nodes)

    addresses = Addresses(look, clock=lambda: now[0])
    for number in range(50):
        addresses.of(f"203.0.113.{number}", "198.51.100.1")
    assert looks == [0.0]
    nodes.add("10.0.0.8")
    now[0] = 60
    assert addresses.of("10.0.0.8", "198.51.100.1") == "198.51.100.1"
    assert looks == [0.0, 60.0]


def status(gate: Gate, peer: str, forwarded: str) -> int:
    """What a request of no key gets, from this connection with this header."""

    async def application(*call: Any) -> None:
        await PlainTextResponse("fine")(*call)

    found = []

    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        found.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/predict", "client": (peer, 50000)}
    scope["headers"] = [(b"x-forwarded-for", forwarded.encode())]
    asyncio.run(GateMiddleware(application, gate)(scope, receive, send))
    return found[0]


@pytest.mark.usefixtures("behind_haproxy")
def test_callers_behind_one_node_have_a_rate_each_and_cannot_choose_another() -> None:
    gate = Gate(ServeConfig(rate_limit=1))
    assert [status(gate, NODE, "198.51.100.1") for _ in range(3)] == [200, 200, 429]
    assert status(gate, NODE, "198.51.100.2") == 200
    assert status(gate, NODE, "192.0.2.66, 198.51.100.1") == 429
    assert [status(gate, STRANGER, f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]
