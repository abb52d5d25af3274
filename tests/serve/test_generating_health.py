"""Health of a replica whose model generates a text for longer than a probe may wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_generators import save_endless

from react_ray.config.service import ServeConfig
from react_ray.serve.app import Replica
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import load_engine
from react_ray.serve.service import Service

PATIENCE = 0.5
TOKENS = 40
"""A text takes 4 s."""


class Pace:
    """Has a model wait before each token: a moment, or until ``hanging`` ends."""

    def __init__(self) -> None:
        self.hanging = threading.Event()
        self.hanging.set()

    def __call__(self, *_: Any) -> None:
        time.sleep(0.1)
        self.hanging.wait(20)


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.fixture
def service(tmp_path: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch) -> Service:
    engine = load_engine(str(save_endless(tmp_path, TOKENS)), "fp32", threads=1, use_gpu=False)
    engine.model.model.register_forward_pre_hook(pace)  # type: ignore[attr-defined]
    monkeypatch.setattr("react_ray.serve.app.HEALTHY_WITHIN_S", PATIENCE)
    monkeypatch.setattr("react_ray.serve.service.READY_WITHIN_S", PATIENCE)
    return Service(engine, ServeConfig(), About("1", None, "none"))


async def check_health(service: Service) -> None:
    await Replica.check_health(SimpleNamespace(_service=service))  # type: ignore[arg-type]


@asynccontextmanager
async def one_text(service: Service) -> AsyncIterator[None]:
    answer = asyncio.create_task(service.predict([{"text": "a b"}]))
    await asyncio.sleep(0.2)
    yield
    assert not answer.done(), "the text did not take longer than the checks"
    await answer


@asynccontextmanager
async def streamed_text(service: Service) -> AsyncIterator[None]:
    async with aclosing(service.stream({"text": "a b"})) as pieces:  # type: ignore[type-var]
        await anext(pieces)
        yield


Generating = Callable[[Service], Any]


@pytest.mark.parametrize("generating", [one_text, streamed_text])
def test_a_model_that_generates_a_long_text_is_healthy_and_ready(
    service: Service, generating: Generating
) -> None:
    async def scenario() -> None:
        async with generating(service):
            await check_health(service)
            assert await service.ready()

    asyncio.run(scenario())


@pytest.mark.parametrize("generating", [one_text, streamed_text])
def test_a_model_that_hangs_within_a_text_is_neither(
    service: Service, pace: Pace, generating: Generating
) -> None:
    async def scenario() -> None:
        async with generating(service):
            pace.hanging.clear()
            await asyncio.sleep(0.3)  # the token that was under way
            try:
                with pytest.raises(RuntimeError, match="does not answer"):
                    await check_health(service)
                assert not await service.ready()
            finally:
                pace.hanging.set()

    asyncio.run(scenario())
