"""Clients of a running service: the blocking ``Client`` and the asynchronous ``AsyncClient``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

import httpx2

from react_ray.client.exchange import (
    Attempts,
    BulkPart,
    BulkResult,
    Explanation,
    Input,
    Parts,
    bulk_parts,
    explain_request,
    triples_in,
)
from react_ray.client.http import bulk_request, content, lost, options, refused
from react_ray.client.text_events import TextEvents, stream_request
from react_ray.errors import InputError, ServiceError
from react_ray.inference.prediction import Triple

__all__ = ["AsyncClient", "Client"]


class Client:
    """Client of the service at ``url``.

    Requests that fail in transport, or are answered with 429 or 503, are retried with growing pauses, at
    most ``retries`` times in a row. After that, and for other errors, methods raise ServiceError.

    Parameters
    ----------
    url
        Address of the service, such as ``http://127.0.0.1:8000``.
    api_key
        Sent as ``Authorization: Bearer KEY``.
    timeout
        Seconds without data from the service after which a request fails; also the longest ``Retry-After``
        to wait for: with a longer one the error is raised at once.
    retries
        Maximum number of retries of a request; 0: none.

    Example
    -------
    >>> from react_ray import Client
    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     client.predict("Rain before noon", top_k=1)
    [Prediction(label='weather', score=0.93)]
    """

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 60.0, retries: int = 4):
        self._http = httpx2.Client(**options(url, api_key, timeout))
        self._retries, self._patience = retries, timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @overload
    def predict(
        self, inputs: Input, top_k: int | None = None, threshold: float | None = None
    ) -> list[Any]: ...

    @overload
    def predict(
        self, inputs: Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[list[Any]]: ...

    def predict(
        self, inputs: Input | Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[Any] | list[list[Any]]:
        """Return the predictions: a list for one input, a list of such lists for several.

        Predictions are :class:`Prediction` for labels, best first, or :class:`Entity` for entities. ``top_k``
        returns the best labels, also those outside of a predicted set, or the entities with the highest
        scores. Those below ``threshold`` (None: the service's default) are left out: an empty list of labels
        is an abstention. An input is a text, or a dict of the task's input columns. A list may be of any
        length: it is sent in parts.
        """
        single = isinstance(inputs, str | Mapping)
        parts = Parts([inputs] if isinstance(inputs, str | Mapping) else inputs, top_k, threshold)
        while request := parts.request:
            try:
                parts.take(self._ask("POST", "/predict", request))
            except ServiceError as problem:
                parts.shrink(problem)
        return parts.answers[0] if single else parts.answers

    def triples(
        self, texts: Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[list[Triple]]:
        """Return the triples of each text, if the service has an entity and a relation model.

        As in predict, at most ``top_k`` per text, without those that score less than ``threshold``.
        """
        if isinstance(texts, str | Mapping):
            raise InputError("triples takes a list of texts")
        parts = Parts(texts, top_k, threshold, triples_in)
        while request := parts.request:
            try:
                parts.take(self._ask("POST", "/triples", request))
            except ServiceError as problem:
                parts.shrink(problem)
        return parts.answers

    def explain(self, text: str, label: str | None = None) -> Explanation:
        """Return the weights of the words of ``text`` for ``label`` (None: the best one)."""
        return Explanation.of(self._ask("POST", "/explain", explain_request(text, label)))

    def bulk(self, inputs: Iterable[Input]) -> Iterator[BulkResult]:
        """Yield the answer to each input, in order; ``inputs`` may be a stream of millions.

        After a lost connection it resumes at the first text without an answer.
        """
        for part in bulk_parts(inputs):
            attempts = Attempts(self._retries, self._patience)
            while not part.done:
                try:
                    for result in self._bulk(part):
                        attempts.progressed()
                        yield result
                except ServiceError as problem:
                    if problem.status != 413:
                        time.sleep(attempts.pause(problem))
                    elif too_large := part.shrink(problem):
                        yield too_large

    def stream(self, value: Input, max_new_tokens: int | None = None) -> Iterator[str]:
        """Yield the pieces of the text that a service generates for one input, as it generates them.

        Together they are the text. Closing the iterator ends the generation. There are no retries.
        ``max_new_tokens`` limits the text (None: the limit of the model).
        """
        received = TextEvents()
        try:
            with self._http.stream("POST", "/predict", **stream_request(value, max_new_tokens)) as response:
                if not response.is_success:
                    response.read()
                    raise refused(response)
                for line in response.iter_lines():
                    yield from received.take(line)
            received.check_end()
        except httpx2.TransportError as error:
            raise lost(error, self._http.base_url) from None

    def ready(self) -> bool:
        """Return whether the service is ready, with one request and no retries."""
        try:
            return self._http.get("/readyz").is_success
        except httpx2.TransportError:
            return False

    def labels(self) -> list[str]:
        """Return the labels, in the order of the model's outputs."""
        answer = self._ask("GET", "/v2/models/classifier")
        return list(answer["parameters"]["labels"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        attempts = Attempts(self._retries, self._patience)
        while True:
            try:
                return content(self._http.request(method, path, json=body))
            except httpx2.TransportError as error:
                pause = attempts.pause(lost(error, self._http.base_url))
            except ServiceError as problem:
                pause = attempts.pause(problem)
            time.sleep(pause)

    def _bulk(self, part: BulkPart) -> Iterator[BulkResult]:
        try:
            with self._http.stream("POST", "/bulk", **bulk_request(part)) as response:
                if not response.is_success:
                    response.read()
                    raise refused(response)
                for received in response.iter_bytes():
                    yield from part.take(received)
            part.check_end()
        except httpx2.TransportError as error:
            raise lost(error, self._http.base_url) from None


class AsyncClient:
    """Asynchronous :class:`Client` with the same methods.

    Example
    -------
    >>> from react_ray import AsyncClient
    >>> async def label(texts):
    ...     async with AsyncClient("http://127.0.0.1:8000") as client:
    ...         return await client.predict(texts)
    """

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 60.0, retries: int = 4):
        self._http = httpx2.AsyncClient(**options(url, api_key, timeout))
        self._retries, self._patience = retries, timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @overload
    async def predict(
        self, inputs: Input, top_k: int | None = None, threshold: float | None = None
    ) -> list[Any]: ...

    @overload
    async def predict(
        self, inputs: Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[list[Any]]: ...

    async def predict(
        self, inputs: Input | Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[Any] | list[list[Any]]:
        """As Client.predict."""
        single = isinstance(inputs, str | Mapping)
        parts = Parts([inputs] if isinstance(inputs, str | Mapping) else inputs, top_k, threshold)
        while request := parts.request:
            try:
                parts.take(await self._ask("POST", "/predict", request))
            except ServiceError as problem:
                parts.shrink(problem)
        return parts.answers[0] if single else parts.answers

    async def triples(
        self, texts: Sequence[Input], top_k: int | None = None, threshold: float | None = None
    ) -> list[list[Triple]]:
        """As Client.triples."""
        if isinstance(texts, str | Mapping):
            raise InputError("triples takes a list of texts")
        parts = Parts(texts, top_k, threshold, triples_in)
        while request := parts.request:
            try:
                parts.take(await self._ask("POST", "/triples", request))
            except ServiceError as problem:
                parts.shrink(problem)
        return parts.answers

    async def explain(self, text: str, label: str | None = None) -> Explanation:
        """As Client.explain."""
        return Explanation.of(await self._ask("POST", "/explain", explain_request(text, label)))

    async def bulk(self, inputs: Iterable[Input]) -> AsyncIterator[BulkResult]:
        """As Client.bulk."""
        for part in bulk_parts(inputs):
            attempts = Attempts(self._retries, self._patience)
            while not part.done:
                try:
                    async for result in self._bulk(part):
                        attempts.progressed()
                        yield result
                except ServiceError as problem:
                    if problem.status != 413:
                        await asyncio.sleep(attempts.pause(problem))
                    elif too_large := part.shrink(problem):
                        yield too_large

    async def stream(self, value: Input, max_new_tokens: int | None = None) -> AsyncIterator[str]:
        """As Client.stream."""
        received = TextEvents()
        try:
            request = stream_request(value, max_new_tokens)
            async with self._http.stream("POST", "/predict", **request) as response:
                if not response.is_success:
                    await response.aread()
                    raise refused(response)
                async for line in response.aiter_lines():
                    for piece in received.take(line):
                        yield piece
            received.check_end()
        except httpx2.TransportError as error:
            raise lost(error, self._http.base_url) from None

    async def ready(self) -> bool:
        """As Client.ready."""
        try:
            return (await self._http.get("/readyz")).is_success
        except httpx2.TransportError:
            return False

    async def labels(self) -> list[str]:
        """As Client.labels."""
        answer = await self._ask("GET", "/v2/models/classifier")
        return list(answer["parameters"]["labels"])

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        attempts = Attempts(self._retries, self._patience)
        while True:
            try:
                return content(await self._http.request(method, path, json=body))
            except httpx2.TransportError as error:
                pause = attempts.pause(lost(error, self._http.base_url))
            except ServiceError as problem:
                pause = attempts.pause(problem)
            await asyncio.sleep(pause)

    async def _bulk(self, part: BulkPart) -> AsyncIterator[BulkResult]:
        try:
            async with self._http.stream("POST", "/bulk", **bulk_request(part)) as response:
                if not response.is_success:
                    await response.aread()
                    raise refused(response)
                async for received in response.aiter_bytes():
                    for result in part.take(received):
                        yield result
            part.check_end()
        except httpx2.TransportError as error:
            raise lost(error, self._http.base_url) from None
