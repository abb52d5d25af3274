"""/metrics where some of the replicas do not answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray import serve
from ray.serve.handle import DeploymentBroadcastResponse

from react_ray.serve.app import Replica
from react_ray.serve.watch.metrics import ReplicaMetrics
from react_ray.serve.watch.scrape import Families


class Asked:
    """A replica as Ray's router gives it; without a name it never answers, with an error it fails."""

    def __init__(self, name: str | None = None, error: Exception | None = None):
        self.name, self.error, self.cancelled = name, error, False

    async def get_async(self) -> Families:
        if self.error:
            raise self.error
        if self.name is None:
            await asyncio.sleep(60)
        return str(self.name), ReplicaMetrics().families()

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_ray.serve.deployment.SCRAPE_WITHIN_S", 0.3)
    monkeypatch.setattr(serve, "get_replica_context", lambda: SimpleNamespace(app_name="here"))


def scrape(monkeypatch: pytest.MonkeyPatch, replicas: Sequence[Any]) -> tuple[set[str], float]:
    """Who is told of by the replica called own, and how many it says are silent."""

    async def broadcast() -> Sequence[Any]:
        if not replicas:
            await asyncio.sleep(60)
        return replicas

    handle = SimpleNamespace(broadcast=lambda method: DeploymentBroadcastResponse(broadcast(), None))
    monkeypatch.setattr(serve, "get_deployment_handle", lambda *names: handle)
    replica = SimpleNamespace(families=lambda: ("own", ReplicaMetrics().families()))
    text = asyncio.run(Replica.scrape(replica)).decode()  # type: ignore[arg-type]
    (silent,) = re.findall(r"^react_ray_replicas_silent (\S+)$", text, re.M)
    return set(re.findall(r'^react_ray_requests_running\{replica="(\w+)"\}', text, re.M)), float(silent)


def test_a_replica_that_is_silent_is_counted_and_no_longer_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, began = Asked(), time.monotonic()
    asked = [Asked("own"), silent, Asked("other")]
    assert scrape(monkeypatch, asked) == ({"own", "other"}, 1)
    assert time.monotonic() - began < 10
    assert [one.cancelled for one in asked] == [False, True, False]


def test_one_that_fails_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scrape(monkeypatch, [Asked("own"), Asked(error=RuntimeError("died"))]) == ({"own"}, 1)


def test_a_full_replica_knows_its_own_without_asking_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scrape(monkeypatch, [Asked(), Asked("other")]) == ({"own", "other"}, 0)


def test_where_all_answer_none_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scrape(monkeypatch, [Asked("own"), Asked("other")]) == ({"own", "other"}, 0)


def test_before_anything_is_known_of_the_others_there_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scrape(monkeypatch, []) == ({"own"}, 0)
