"""The Python clients' bulk requests: in order, whole, and going on after whatever breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from both_clients import TEXTS, url
from service_client import LIMITS, POISON, Client
from unsteady import cutting_proxy, refusing_server

import react_ray
from react_ray import BulkResult, ServiceError


@pytest.mark.ray
def test_bulk_answers_each_text_in_order(client: Client, make: Any) -> None:
    texts = [*TEXTS, "a" * 301, POISON, *(f"text {i}" for i in range(2500))]
    with make(url(client)) as service:
        results = list(service.bulk(texts))
    assert [result.line for result in results] == list(range(len(texts)))
    wrong = {result.line: result.error for result in results if result.error}
    assert wrong == {7: "text has 301 characters; at most 300 are taken", 8: "the model failed on this text"}
    for result, ranking in zip(results, client.predict(TEXTS, top_k=1).json, strict=False):
        assert result.prediction is not None
        assert result.prediction.label == ranking[0]["label"]
        assert result.prediction.score == pytest.approx(ranking[0]["score"], abs=1e-6)


@pytest.mark.ray
def test_bulk_goes_on_after_broken_connections(client: Client, make: Any) -> None:
    texts = [f"text {i} 足球 {i * i}" for i in range(2300)]
    with make(url(client)) as service:
        expected = [(result.line, result.prediction.label) for result in service.bulk(texts)]
    cuts = [30_000, 0, 200, 25_001, 1024]  # in the middle of a line, before and within the headers
    with cutting_proxy(client.port, cuts) as proxy, make(proxy.url) as service:
        results = list(service.bulk(texts))
        assert proxy.connections > len(cuts)
    assert [(result.line, result.prediction.label) for result in results] == expected


@pytest.mark.ray
def test_bulk_sends_smaller_parts_where_they_are_too_large(client: Client, make: Any) -> None:
    long = "股" * 290  # 1.7 kB each as JSON
    texts = [long] * 1500 + ["a" * LIMITS["max_bulk_bytes"], "ball"]
    with make(url(client)) as service:
        results = list(service.bulk(texts))
    assert [result.line for result in results] == list(range(1502))
    assert [result.line for result in results if result.error] == [1500]
    assert results[1500].error == f"the body is over {LIMITS['max_bulk_bytes']} bytes"


@pytest.mark.ray
def test_bulk_reads_its_texts_as_they_are_wanted(client: Client) -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"text {taken}"

    with react_ray.Client(url(client)) as service:
        results = service.bulk(source())
        assert [next(results).line for _ in range(10)] == list(range(10))
    assert taken <= 1001


FIRST = b'{"line":0,"label":"a","score":1.0}\n'
SECOND = b'{"line":1,"label":"a","score":1.0}\n'
DONE = b'{"done":true,"lines":2}\n'


@pytest.mark.parametrize(
    ("body", "answered", "says"),
    [
        (b"", 0, "cut before line 0"),
        (FIRST, 1, "cut before line 1"),
        (FIRST + SECOND[:9], 1, "cut before line 1"),
        (FIRST + DONE[:9], 1, "cut before line 1"),
        (FIRST + SECOND, 2, "cut before line 2, without saying that it was done"),
        (FIRST + SECOND + DONE[:-1], 2, "cut before line 2, without saying that it was done"),
        (FIRST + DONE, 1, "ended before line 1 of 2"),
        (SECOND + DONE, 0, "answer to line 0 is missing: line 1 came"),
        (FIRST + b"Request timed out\n", 1, "no answer of the service: 'Request timed out'"),
        (FIRST + b"[1]\n", 1, "no answer of the service"),
    ],
)
def test_bulk_without_retries_that_is_cut_is_an_error_and_never_looks_whole(
    make: Any, body: bytes, answered: int, says: str
) -> None:
    lines: list[int] = []
    refusing = refusing_server((200, {}, body))
    with refusing as server, make(server.url, retries=0) as service, pytest.raises(ServiceError, match=says):
        service.each(["x", "y"], lambda result: lines.append(result.line))
    assert lines == list(range(answered))


@pytest.mark.ray
def test_bulk_without_retries_ends_where_the_connection_does(client: Client, make: Any) -> None:
    lines: list[int] = []
    texts = [f"text {i}" for i in range(900)]
    error = pytest.raises(ServiceError, match=r"no answer from|cut before line")
    with cutting_proxy(client.port, [20_000]) as proxy, make(proxy.url, retries=0) as service, error:
        service.each(texts, lambda result: lines.append(result.line))
    assert lines == list(range(len(lines)))
    assert 0 < len(lines) < len(texts)


def test_bulk_keeps_the_score_of_a_text_on_which_the_service_abstains(make: Any) -> None:
    lines = b'{"line":0,"label":null,"score":0.4}\n{"line":1,"error":"not UTF-8"}\n'
    with refusing_server((200, {}, lines + DONE)) as server, make(server.url) as service:
        results = list(service.bulk(["x", "y"]))
    assert results == [BulkResult(0, None, None, 0.4), BulkResult(1, None, "not UTF-8")]
    with refusing_server((200, {}, FIRST + SECOND + DONE)) as server, make(server.url) as service:
        assert [result.score for result in service.bulk(["x", "y"])] == [1.0, 1.0]


def test_bulk_goes_on_after_an_answer_that_is_short(make: Any) -> None:
    end = b'{"done":true,"lines":2}\n'
    answers = [(200, {}, FIRST + end), (200, {}, b"<html>"), (200, {}, SECOND + end)]
    lines: list[int] = []
    with refusing_server(*answers) as server, make(server.url) as service:
        service.each(["x", "y"], lambda result: lines.append(result.line))
        assert server.answers == []
    assert lines == [0, 1]
