"""Both Python clients, called alike, so that they take the same tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from service_client import Client

import react_ray
from react_ray import BulkResult, Prediction

TEXTS = ["goal in the last minute", "股市上涨", "מזג האוויר", "مرحبا", "नमस्ते 🚀", "", 'quote " \u2028 line']


class Awaited:
    """An AsyncClient that is called as a Client is."""

    def __init__(self, *given: Any, **named: Any):
        self.given, self.named = given, named

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _run(self, use: Callable[[react_ray.AsyncClient], Any]) -> Any:
        async def call() -> Any:
            async with react_ray.AsyncClient(*self.given, **self.named) as client:
                return await use(client)

        return asyncio.run(call())

    def predict(self, *given: Any, **named: Any) -> Any:
        return self._run(lambda client: client.predict(*given, **named))

    def explain(self, *given: Any, **named: Any) -> Any:
        return self._run(lambda client: client.explain(*given, **named))

    def ready(self) -> Any:
        return self._run(lambda client: client.ready())

    def labels(self) -> Any:
        return self._run(lambda client: client.labels())

    def bulk(self, texts: Iterable[str]) -> list[BulkResult]:
        async def collect(client: react_ray.AsyncClient) -> list[BulkResult]:
            return [result async for result in client.bulk(texts)]

        return self._run(collect)

    def each(self, texts: Iterable[str], take: Callable[[BulkResult], None]) -> None:
        async def pass_on(client: react_ray.AsyncClient) -> None:
            async for result in client.bulk(texts):
                take(result)

        self._run(pass_on)


class Blocking(react_ray.Client):
    def each(self, texts: Iterable[str], take: Callable[[BulkResult], None]) -> None:
        for result in self.bulk(texts):
            take(result)


def url(client: Client) -> str:
    return f"http://127.0.0.1:{client.port}"


def pairs(ranking: list[Prediction]) -> list[tuple[str, float]]:
    return [(prediction.label, prediction.score) for prediction in ranking]
