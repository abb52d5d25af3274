"""How many bulk requests a replica holds at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

import httpx2
import numpy as np
import pytest
from fakes import FakeModel
from numpy.typing import NDArray

from react_ray.config.service import ServeConfig
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.service import Service
from react_ray.serve.web import build_app

NDJSON = {"Content-Type": "application/x-ndjson"}


class Model(FakeModel):
    """Answers when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        self.gate.wait(10)
        return np.full((len(encoded), 2), 0.5, dtype=np.float32)


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.gate.set()


def talk(model: Model, scenario: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
    """With a replica that takes two bulk requests at a time."""

    async def run() -> None:
        service = Service(Engine(model), ServeConfig(max_bulk_ongoing=2), About("1", None, "none"))
        transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=10) as http:
            await scenario(http)

    asyncio.run(run())


async def bulk(http: httpx2.AsyncClient, body: bytes = b'"a text"\n', query: str = "") -> httpx2.Response:
    return await http.post(f"/bulk{query}", content=body, headers=NDJSON)


async def held(http: httpx2.AsyncClient, number: int) -> list[asyncio.Task[httpx2.Response]]:
    """Requests that the model does not answer yet."""
    tasks = [asyncio.create_task(bulk(http)) for _ in range(number)]
    await asyncio.sleep(0.1)
    return tasks


def test_one_more_is_told_when_to_come_again_and_is_served_then(model: Model) -> None:
    async def scenario(http: httpx2.AsyncClient) -> None:
        tasks = await held(http, 2)
        refused = await bulk(http)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert refused.json()["error"].startswith("2 bulk requests are at work here")
        model.gate.set()
        assert [(await task).status_code for task in tasks] == [200, 200]
        assert (await bulk(http)).text.endswith('{"done":true,"lines":1}\n')

    talk(model, scenario)


def test_other_requests_are_not_refused(model: Model) -> None:
    async def scenario(http: httpx2.AsyncClient) -> None:
        tasks = await held(http, 2)
        asked = asyncio.create_task(http.post("/predict", json={"inputs": "a text"}))
        await asyncio.sleep(0.05)
        model.gate.set()
        assert [(await task).status_code for task in [*tasks, asked]] == [200, 200, 200]

    talk(model, scenario)


def test_callers_who_leave_and_requests_that_are_refused_give_their_places_back(model: Model) -> None:
    async def scenario(http: httpx2.AsyncClient) -> None:
        for _ in range(3):
            tasks = await held(http, 2)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert (await bulk(http, b"\n" * 100_001)).status_code == 413
            assert (await bulk(http, query="?offset=-1")).status_code == 422
        model.gate.set()
        assert (await bulk(http)).status_code == 200

    talk(model, scenario)
