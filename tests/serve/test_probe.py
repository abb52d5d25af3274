"""Probes that come often cost few model calls; the health check of Serve costs one each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

import httpx2
import numpy as np
import pytest
from fakes import FakeModel
from numpy.typing import NDArray

from react_ray.config.service import ServeConfig
from react_ray.serve.app import Replica
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.engine.probe import FRESH_S, ReadinessProbe
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.protocols.v2.grpc import InferenceMethods
from react_ray.serve.service import Service
from react_ray.serve.web import build_app


class Model(FakeModel):
    """Counts its calls; fails while ``broken``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.broken = 0, False

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        self.calls += 1
        if self.broken:
            raise RuntimeError("broken")
        return np.full((len(encoded), 2), 0.5, dtype=np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def service(model: Model) -> Service:
    return Service(Engine(model), ServeConfig(), About("1", None, "none"))


async def over_http(service: Service) -> list[bool]:
    transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        paths = ("/readyz", "/v2/health/ready", "/v2/models/classifier/ready")
        return [(await http.get(path)).status_code == 200 for path in paths]


async def over_grpc(service: Service) -> list[bool]:
    methods = InferenceMethods()
    methods._service = service
    context = SimpleNamespace(trailing_metadata=list, code=lambda: None)
    told = [
        await methods.ServerReady(wire.ServerReadyRequest(), context),
        await methods.ModelReady(wire.ModelReadyRequest(name="classifier"), context),
    ]
    return [answer.ready for answer in told]


@pytest.mark.parametrize("ask", [over_http, over_grpc])
def test_probes_that_come_together_cost_one_model_call(
    model: Model,
    service: Service,
    ask: Callable[[Service], Awaitable[list[bool]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("react_ray.serve.engine.probe.FRESH_S", 600)  # however slow the machine is

    async def often() -> list[list[bool]]:
        return [await ask(service) for _ in range(5)]

    assert all(map(all, asyncio.run(often())))
    assert model.calls == 1


@pytest.mark.parametrize("ask", [over_http, over_grpc])
def test_a_model_that_fails_is_not_ready(
    model: Model, service: Service, ask: Callable[[Service], Awaitable[list[bool]]]
) -> None:
    model.broken = True
    assert not any(asyncio.run(ask(service)))


def test_the_health_check_of_serve_asks_the_model_each_time(model: Model, service: Service) -> None:
    async def checks() -> None:
        assert await service.ready()
        replica = SimpleNamespace(_service=service)
        for _ in range(3):
            await Replica.check_health(replica)
        assert model.calls == 4
        model.broken = True
        with pytest.raises(RuntimeError, match="does not answer"):
            await Replica.check_health(replica)

    asyncio.run(checks())


def test_a_full_queue_is_no_failure(model: Model, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the model takes its time, and a health check has time for few of them."""

    def slow(encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        time.sleep(0.05)
        return Model.probabilities(model, encoded)

    async def scenario() -> None:
        callers = [asyncio.create_task(service.explore(["a long text"] * 2)) for _ in range(20)]
        await asyncio.sleep(0.1)
        assert service._batcher.waiting > 20
        await Replica.check_health(SimpleNamespace(_service=service))
        assert service._batcher.waiting > 20
        await asyncio.gather(*callers)

    monkeypatch.setattr(model, "probabilities", slow)
    monkeypatch.setattr(model.tokenizer, "of", lambda text: [1] * (300 if "long" in text else 1))
    monkeypatch.setattr("react_ray.serve.app.HEALTHY_WITHIN_S", 0.5)
    asyncio.run(scenario())


def test_a_success_is_told_again_for_a_while_and_a_failure_never() -> None:
    now, results, asked = 100.0, [False, True, False], 0

    async def attempt() -> bool:
        nonlocal asked
        asked += 1
        return results[asked - 1]

    async def scenario() -> list[bool]:
        nonlocal now
        probe = ReadinessProbe(attempt, clock=lambda: now)
        told = [await probe.ready(), await probe.ready()]
        now += FRESH_S - 0.1
        told.append(await probe.ready())
        now += 0.2
        return [*told, await probe.ready()]

    assert asyncio.run(scenario()) == [False, True, True, False]
    assert asked == 3


def test_one_who_leaves_does_not_end_the_attempt_of_the_others() -> None:
    asked = 0

    async def attempt() -> bool:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1)
        return True

    async def scenario() -> bool:
        probe = ReadinessProbe(attempt)
        first, second = asyncio.create_task(probe.ready()), asyncio.create_task(probe.ready())
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    started = time.monotonic()
    assert asyncio.run(scenario())
    assert asked == 1
    assert time.monotonic() - started < 5
