"""Callers who note what becomes of every request: so many at once, or so many a second.

A caller whose request got no answer, or a refusal, waits ``PAUSE_S`` and goes on with the next
one; nothing is sent again, so a request that the service loses is seen. Only ``clients`` are the
project's own, which ask again.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

from react_ray.client.client import AsyncClient
from react_ray.errors import ServiceError

PAUSE_S = 0.05
ANSWER_S = 90.0
REFUSED = "ClientConnectorError"
"""What a connection that nobody accepts is called among the outcomes."""


@dataclass
class Request:
    """Texts, and the best label of each, by the version of the model."""

    texts: Sequence[str]
    right: dict[str, list[str]] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """What is sent."""
        return json.dumps({"inputs": [*self.texts]}).encode()


@dataclass(frozen=True)
class Answer:
    """``outcome``: a status, the kind of connection error, or ``wrong``. Times are of the monotonic clock."""

    outcome: str
    began: float
    ended: float
    version: str = ""
    kind: str = ""

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.ended - self.began) * 1000


def percentile(answers: Sequence[Answer], share: float) -> float | None:
    """Of the milliseconds of those that were answered with 200."""
    taken = sorted(answer.ms for answer in answers if answer.outcome == "200")
    return round(taken[min(int(share * len(taken)), len(taken) - 1)], 1) if taken else None


def longest_silence(answers: Sequence[Answer], faults: Sequence[float]) -> float | None:
    """The most seconds without a good answer from the first fault on."""
    if not faults:
        return None
    good = [answer.ended for answer in answers if answer.outcome == "200" and answer.ended > faults[0]]
    times = [faults[0], *sorted(good), max(answer.ended for answer in answers)]
    return round(max(after - before for before, after in pairwise(times)), 1)


def outcomes(answers: Sequence[Answer]) -> Counter[str]:
    """How often each came."""
    return Counter(answer.outcome for answer in answers)


class Load:
    """Sends ``requests`` to ``url``, in an order of chance, from a thread of its own."""

    def __init__(self, url: str, requests: Sequence[Request], kind: str = "", seed: int = 0):
        self.answers: list[Answer] = []
        self._service, self._url = url, url + "/predict"
        self._requests, self._kind = requests, kind
        self._chance = random.Random(seed)
        self._over = threading.Event()

    @contextmanager
    def callers(self, count: int) -> Iterator[Load]:
        """``count`` callers for as long as the block runs; each sends its next request after an answer."""
        with self._thread(self._closed(count)):
            yield self

    @contextmanager
    def clients(self, count: int) -> Iterator[Load]:
        """As ``callers``, each with an AsyncClient: a request is good or bad after its last attempt."""
        with self._thread(self._patient(count)):
            yield self

    @contextmanager
    def rate(self, per_s: float) -> Iterator[Load]:
        """So many requests a second, whatever becomes of them; time counts from when one was due."""
        with self._thread(self._open(per_s)):
            yield self

    @contextmanager
    def _thread(self, work: Any) -> Iterator[None]:
        thread = threading.Thread(target=asyncio.run, args=(work,))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    async def _closed(self, count: int) -> None:
        async def caller(session: aiohttp.ClientSession) -> None:
            while not self._over.is_set():
                answer = await self._ask(session, time.monotonic())
                if answer.outcome != "200":
                    await asyncio.sleep(PAUSE_S)

        async with self._session() as session:
            await asyncio.gather(*(caller(session) for _ in range(count)))

    async def _patient(self, count: int) -> None:
        async def caller() -> None:
            async with AsyncClient(self._service) as client:
                while not self._over.is_set():
                    await self._ask_until_answered(client)

        await asyncio.gather(*(caller() for _ in range(count)))

    async def _open(self, per_s: float) -> None:
        under_way: set[asyncio.Task[Answer]] = set()
        due = time.monotonic()
        async with self._session() as session:
            while not self._over.is_set():
                due += 1 / per_s
                await asyncio.sleep(due - time.monotonic())
                task = asyncio.create_task(self._ask(session, due))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)

    def _session(self) -> aiohttp.ClientSession:
        patience = aiohttp.ClientTimeout(total=ANSWER_S)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=5)
        return aiohttp.ClientSession(timeout=patience, connector=connector)

    async def _ask(self, session: aiohttp.ClientSession, began: float) -> Answer:
        request = self._chance.choice(self._requests)
        version = ""
        try:
            headers = {"Content-Type": "application/json"}
            async with session.post(self._url, data=request.body, headers=headers) as answer:
                said = await answer.read()
                outcome, version = str(answer.status), answer.headers.get("x-model-version", "")
            if outcome == "200" and best(said) != request.right.get(version):
                outcome = "wrong"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            outcome = type(error).__name__
        self.answers.append(Answer(outcome, began, time.monotonic(), version, self._kind))
        return self.answers[-1]

    async def _ask_until_answered(self, client: AsyncClient) -> None:
        request, began = self._chance.choice(self._requests), time.monotonic()
        try:
            labels = [ranking[0].label for ranking in await client.predict([*request.texts])]
            outcome = "200" if labels in request.right.values() else "wrong"
        except ServiceError as error:
            outcome = str(error.status or "no answer")
        self.answers.append(Answer(outcome, began, time.monotonic(), kind=self._kind))


def best(said: bytes) -> list[str]:
    """The first label of each text."""
    return [row[0]["label"] for row in json.loads(said)]


async def _learn(url: str, requests: Sequence[Request]) -> None:
    async with aiohttp.ClientSession() as session:
        for request in requests:
            headers = {"Content-Type": "application/json"}
            async with session.post(url + "/predict", data=request.body, headers=headers) as answer:
                answer.raise_for_status()
                request.right[answer.headers["x-model-version"]] = best(await answer.read())


def learn(url: str, requests: Sequence[Request]) -> set[str]:
    """Note the labels that the undisturbed service gives to ``requests``; all labels that were seen."""
    asyncio.run(_learn(url, requests))
    seen = {label for request in requests for labels in request.right.values() for label in labels}
    if len(seen) < 2:
        raise SystemExit("the model gives one label to all: that would hide wrong answers")
    return seen
