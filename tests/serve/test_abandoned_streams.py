"""Streams of a generated text behind the real proxy of Ray Serve, whose caller leaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from service_client import Client
from tiny_generators import save_endless

PREFIX = "/endless"
TOKENS = 8_000
"""Length of a text, which takes half a minute: one that is not stopped fails the tests."""
BODY = {"inputs": "a b c", "stream": True}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_endless(tmp_path_factory.mktemp("endless"), TOKENS)


@pytest.fixture(scope="module")
def url(client: Client, endless: Path) -> Iterator[str]:
    """One replica with two places for requests, of which a stream takes one, and one for its model."""
    from ray import serve

    from react_ray.serve.app import build

    settings = {"replicas": 1, "cpus_per_replica": 1, "max_ongoing": 2, "max_queued": 1}
    serve.run(build({"model": str(endless), **settings}), name="endless", route_prefix=PREFIX)
    yield f"http://127.0.0.1:{client.port}{PREFIX}"
    serve.delete("endless")


def short_text(url: str) -> Any:
    """The answer to another request, which waits for the model."""
    return httpx2.post(f"{url}/predict", json={"inputs": "d e", "max_new_tokens": 2}, timeout=20).json()


def test_closed_streams_free_their_places_and_the_model(url: str) -> None:
    for _ in range(3):  # more streams than places
        with httpx2.stream("POST", f"{url}/predict", json=BODY, timeout=20) as response:
            assert response.status_code == 200, response.read()
            first = next(response.iter_lines())
            assert "text" in json.loads(first.removeprefix("data: "))
    (answer,) = short_text(url)
    assert answer["translation_text"]


def test_a_cut_connection_frees_its_place_too(url: str) -> None:
    address = url.removeprefix("http://").partition("/")[0].split(":")
    content = json.dumps(BODY).encode()
    lines = [f"POST {PREFIX}/predict HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"content-length: {len(content)}", "", ""]
    for _ in range(3):
        with socket.create_connection((address[0], int(address[1])), timeout=20) as raw:
            raw.sendall("\r\n".join(lines).encode() + content)
            received = b""
            while b"data: " not in received:
                received += (part := raw.recv(1000))
                assert part, received
    (answer,) = short_text(url)
    assert answer["translation_text"]
