"""The worst body of each shape, over every route: nobody else waits for it, and it takes little memory."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
from costs import Cost, Model, bodies, context, cost_of, least_cost, messages, request
from fastapi import FastAPI
from word_costs import AllEntities, AllRelated, lines_of, word_bodies

from react_ray.config.service import ServeConfig
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.engine.relations import Relations
from react_ray.serve.protocols.v2.grpc import InferenceMethods
from react_ray.serve.service import Service
from react_ray.serve.web import build_app

CONFIG = ServeConfig(access_log=False)
BLOCKED_S = 0.25
"""Of processor time in the event loop; 0.02 were measured, and 5 s before there were limits."""
TIMES, SPARE = 5, 8 << 20
"""Of a body in memory: itself, and four bytes for each of its characters; and what the allocator keeps."""
WORD = 2500
"""Bytes of memory for each word of a request in which every word is an entity; 1,500 were measured."""
LABELS = [f"label {number}" for number in range(1000)]
ANSWER = 2000
NDJSON = "application/x-ndjson"
ROUTES = {
    "/predict": ("application/json", CONFIG.max_body_bytes),
    "/explain": ("application/json", CONFIG.max_body_bytes),
    "/v2/models/classifier/infer": ("application/json", CONFIG.max_body_bytes),
    "/v2/models/classifier/versions/1/infer": ("application/json", CONFIG.max_body_bytes),
    "/bulk": (NDJSON, CONFIG.max_bulk_bytes),
}


@pytest.fixture(scope="module")
def service() -> Service:
    return Service(Engine(Model()), CONFIG, About("1", None, "none"))


@pytest.fixture(scope="module")
def app(service: Service) -> FastAPI:
    async def scrape() -> bytes:
        return b""

    made = build_app(service, scrape)
    cost_of(lambda: request(made, "/predict", b'{"inputs": "warm"}'))
    return made


def assert_cheap(name: str, size: int, cost: Cost) -> None:
    assert cost.status < 500, name
    assert cost.blocked_s < BLOCKED_S, name
    assert cost.memory <= TIMES * size + SPARE, name


@pytest.mark.parametrize("path", ROUTES)
def test_the_worst_bodies_cost_little(app: FastAPI, path: str) -> None:
    kind, size = ROUTES[path]
    for name, body in bodies(size):
        work = partial(request, app, path, body, kind)
        cost = least_cost(work, TIMES * size + SPARE)
        assert_cheap(name, size, cost)
        assert max(map(len, cost.answer.splitlines())) < ANSWER, name


def test_the_worst_binary_tensors_cost_little(app: FastAPI) -> None:
    size = CONFIG.max_body_bytes - 1000
    for item in (b"\x00\x00\x00\x00", b"\x01\x00\x00\x00a", b"\x02\x00\x00\x00ab", b"\xff\xff\xff\xff"):
        raw = item * (size // len(item))
        tensor = b'{"name":"text","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":%d}}' % len(
            raw
        )
        head = b'{"inputs":[' + tensor + b"]}"
        headers = {b"inference-header-content-length": str(len(head)).encode()}
        asked = "/v2/models/classifier/infer", head + raw, "application/octet-stream"
        cost = least_cost(partial(request, app, *asked, headers=headers), TIMES * size + SPARE)
        assert_cheap(str(item), size, cost)
        assert cost.status in (413, 422)


def test_the_worst_messages_over_grpc_cost_little(service: Service) -> None:
    methods = InferenceMethods()
    methods._service = service
    size = CONFIG.max_body_bytes - 100
    for name, message in messages(size):

        async def ask(message: bytes = message) -> tuple[int, bytes]:
            given = context()
            await methods.ModelInfer(message, given)
            return given.told.status.value[0], given.told.details.encode()

        cost = least_cost(ask, TIMES * size + SPARE)
        assert_cheap(name, size, cost)
        assert len(cost.answer) < ANSWER
        assert b"internal" not in cost.answer, name


@pytest.mark.parametrize(
    "asked",
    [
        {"query": b"offset=" + b"9" * 60_000},
        {"query": b"a=1&" * 15_000},
        {"query": b"offset=9999999999999999"},
        {"query": b"offset=%ff%zz"},
        {"kind": "application/x-ndjson;" + "charset=utf-8;" * 4000},
        {"kind": "a" * 60_000},
        {"headers": {b"authorization": b"Bearer \xff" * 6000}},
        {"headers": {b"x-request-id": b"\xff" * 30_000, b"user-agent": b"\xff" * 30_000}},
        {"headers": {b"host": b"\xff:" * 30_000}},
        {"path": "/" + "a/" * 30_000},
        {"path": "/v2/models/" + "a" * 60_000},
        {"path": "/v2/models/classifier/versions/" + "é" * 30_000},
    ],
)
def test_the_worst_lines_of_a_request_cost_little(app: FastAPI, asked: dict[str, Any]) -> None:
    given = {"path": "/bulk", "body": b'"a"\n', "kind": NDJSON, **asked}
    logging.getLogger("ray.serve").setLevel(logging.INFO)
    for method in ("POST", "GET", "HEAD"):
        cost = least_cost(partial(request, app, **given, method=method), TIMES * 60_000 + SPARE)
        assert_cheap(str(given)[:80], 60_000, cost)
        assert len(cost.answer) < ANSWER


WORDS = ServeConfig(access_log=False, max_words=8192)


def word_service() -> Service:
    relations = Relations(Engine(AllRelated()), WORDS)
    return Service(Engine(AllEntities()), WORDS, About("1", None, "none"), relations=relations)


@pytest.mark.parametrize("path", ["/predict", "/triples", "/bulk"])
def test_the_worst_bodies_cost_little_where_each_word_is_read(path: str) -> None:
    app = build_app(word_service(), scrape=None)  # type: ignore[arg-type]
    cost_of(lambda: request(app, path, b'"a ."\n', NDJSON) if path == "/bulk" else request(app, path, b"{}"))
    size = WORDS.max_body_bytes - 1000
    for name, inputs in word_bodies(WORDS.max_words, size, WORDS.max_chars):
        body = json.dumps({"inputs": inputs}, ensure_ascii=False).encode()
        given = (lines_of(inputs), NDJSON) if path == "/bulk" else (body, "application/json")
        limit = WORD * WORDS.max_words + TIMES * size + SPARE
        cost = least_cost(partial(request, app, path, *given), limit)
        assert cost.status in (200, 413), (name, cost.answer[:200])
        assert cost.blocked_s < BLOCKED_S, name
        kept = 2 * len(cost.answer)  # by this test, of an answer that is sent in parts
        assert cost.memory - kept <= limit, name


def test_words_are_read_and_answered_outside_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    service, threads = word_service(), dict[str, set[int]]()
    app = build_app(service, scrape=None)  # type: ignore[arg-type]
    asked = {
        "/predict": (b'{"inputs": ["a b"]}', "application/json"),
        "/triples": (b'{"inputs": ["a b"]}', "application/json"),
        "/bulk": (b'"a b"\n', NDJSON),
        "/v2/models/classifier/infer": (
            b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a b"]}]}',
            "application/json",
        ),
    }
    for name in ("parse", "encode", "decode", "wire", "names_in"):
        monkeypatch.setattr(service.task, name, watched(getattr(service.task, name), threads))
    for path, given in asked.items():
        assert asyncio.run(request(app, path, *given))[0] == 200
    assert len(threads) == 5
    assert all(threading.get_ident() not in some for some in threads.values())


def test_many_labels_are_told_outside_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    service, threads = Service(Engine(Model(LABELS)), CONFIG, About("1", None, "none")), dict[str, set[int]]()
    app = build_app(service, scrape=None)  # type: ignore[arg-type]
    for name in ("decode", "wire"):
        monkeypatch.setattr(service.task, name, watched(getattr(service.task, name), threads))
    cost = cost_of(lambda: request(app, "/predict", json.dumps({"inputs": ["a"] * 256}).encode()))
    assert [len(one) for one in json.loads(cost.answer)] == [len(LABELS)] * 256
    assert cost.blocked_s < BLOCKED_S
    assert len(threads) == 2
    assert all(threading.get_ident() not in some for some in threads.values())


def watched(work: Callable[..., Any], threads: dict[str, set[int]]) -> Callable[..., Any]:
    """``work``, which notes in what threads it is done."""

    @wraps(work)
    def noted(*given: Any) -> Any:
        threads.setdefault(work.__name__, set()).add(threading.get_ident())
        return work(*given)

    return noted
