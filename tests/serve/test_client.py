"""The Python clients against the real service, and against connections and servers that fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from service_client import LABELS, LIMITS, POISON, Client, free_port
from unsteady import cutting_proxy, refusing_server

import react_ray
from react_ray import BulkResult, Explanation, InputError, Prediction, ServiceError
from react_ray.exchange import Attempts

TEXTS = ["goal in the last minute", "股市上涨", "מזג האוויר", "مرحبا", "नमस्ते 🚀", "", 'quote " \u2028 line']
OK = (200, {}, b'[[{"label": "a", "score": 1.0}]]')


class Awaited:
    """An AsyncClient that is called as a Client is, so that both take the same tests."""

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


@pytest.fixture(params=[Blocking, Awaited], ids=["blocking", "async"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def url(client: Client) -> str:
    return f"http://127.0.0.1:{client.port}"


def pairs(ranking: list[Prediction]) -> list[tuple[str, float]]:
    return [(prediction.label, prediction.score) for prediction in ranking]


@pytest.mark.ray
def test_predict_gives_what_the_service_says(client: Client, make: Any) -> None:
    expected = [
        [(entry["label"], pytest.approx(entry["score"], abs=1e-6)) for entry in ranking]
        for ranking in client.predict(TEXTS).json
    ]
    with make(url(client)) as service:
        assert service.ready() is True
        assert service.labels() == LABELS
        assert isinstance(service.predict("股")[0], Prediction)
        assert list(map(pairs, service.predict(TEXTS))) == expected
        assert pairs(service.predict(TEXTS[1])) == expected[1]
        assert list(map(pairs, service.predict(TEXTS, 2))) == [ranking[:2] for ranking in expected]
        assert service.predict([]) == []


@pytest.mark.ray
def test_labels_below_the_threshold_are_left_out(client: Client, make: Any) -> None:
    everything = [
        [(entry["label"], pytest.approx(entry["score"], abs=1e-6)) for entry in ranking]
        for ranking in client.predict(TEXTS[:2]).json
    ]
    bar = client.predict(TEXTS[0]).json[1]["score"]
    with make(url(client)) as service:
        assert pairs(service.predict(TEXTS[0], threshold=bar - 1e-6)) == everything[0][:2]
        assert pairs(service.predict(TEXTS[0], top_k=1, threshold=bar - 1e-6)) == everything[0][:1]
        assert service.predict(TEXTS[:2], threshold=1) == [[], []]
        assert list(map(pairs, service.predict(TEXTS[:2], threshold=0))) == everything
        with pytest.raises(ServiceError, match="threshold: input should be less than or equal to 1"):
            service.predict("a", threshold=1.1)


@pytest.mark.ray
def test_explain_gives_the_words_of_the_text(client: Client, make: Any) -> None:
    text = "goal, 股市 🚀"
    with make(url(client)) as service:
        told = service.explain(text)
        other = service.explain(text, label=next(label for label in LABELS if label != told.label))
        with pytest.raises(ServiceError, match="label: 'weather' is not one of") as caught:
            service.explain(text, "weather")
        with pytest.raises(InputError, match="text 0 is of type list"):
            service.explain(["a"])
    (best,) = client.predict(text, top_k=1).json
    assert isinstance(told, Explanation)
    assert (told.label, told.score) == (best["label"], pytest.approx(best["score"], abs=1e-6))
    assert [word.text for word in told.words] == ["goal,", "股", "市", "🚀"]
    assert [text[word.start : word.end] for word in told.words] == [word.text for word in told.words]
    assert any(word.weight for word in told.words)
    assert other.label != told.label
    assert other.score < told.score
    assert caught.value.status == 422


@pytest.mark.ray
def test_a_list_over_the_limits_of_the_service_goes_in_parts(client: Client, make: Any) -> None:
    texts = [f"text {i} 股市 " + "ball " * 50 for i in range(3 * LIMITS["max_texts"])]
    assert sum(map(len, texts)) > 4 * LIMITS["max_body_bytes"]
    with make(url(client)) as service:
        rankings = service.predict(texts, 1)
    assert len(rankings) == len(texts)
    for i in (0, 1, 100, 200, len(texts) - 1):
        assert rankings[i][0].label == client.predict(texts[i], top_k=1).json[0]["label"]


@pytest.mark.ray
def test_refusals_are_errors_with_status_and_message(client: Client, make: Any) -> None:
    with make(url(client)) as service:
        with pytest.raises(ServiceError, match="text 0 has 301 characters") as caught:
            service.predict(["a" * 301])
        assert caught.value.status == 413
        with pytest.raises(ServiceError, match="internal error") as caught:
            service.predict(["fine", POISON])
        assert caught.value.status == 500
        with pytest.raises(InputError, match="text 1 is of type int"):
            service.predict(["a", 7])


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


def test_passing_refusals_are_asked_again_when_the_service_says(make: Any) -> None:
    busy = (429, {"Retry-After": "1"}, b"too many requests")
    started = time.monotonic()
    with refusing_server(busy, (503, {}, b'{"error": "no replica"}'), OK) as server:
        with make(server.url, api_key="key-7") as service:
            assert service.predict(["股市"]) == [[Prediction("a", 1.0)]]
        assert time.monotonic() - started > 1
        assert [asked["authorization"] for asked in server.headers] == ["Bearer key-7"] * 3


def test_without_retries_the_first_refusal_is_the_error(make: Any) -> None:
    busy = (429, {"Retry-After": "1"}, b"too many requests")
    with refusing_server(busy) as server, make(server.url, retries=0) as service:
        with pytest.raises(ServiceError, match=r"too many requests \(HTTP 429\)") as caught:
            service.predict("a")
        assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
        assert "authorization" not in server.headers[0]


def test_a_pause_that_is_asked_for_is_kept_whole_or_not_begun(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("react_ray.client.time.sleep", pauses.append)
    monkeypatch.setattr("react_ray.client.asyncio.sleep", pause)
    busy = (503, {"Retry-After": "45"}, b'{"error": "no replica"}')
    with refusing_server(busy, OK) as server, make(server.url, timeout=45) as service:
        assert service.predict(["a"]) == [[Prediction("a", 1.0)]]
    assert pauses == [45]
    with refusing_server(busy) as server, make(server.url, timeout=44) as service:
        with pytest.raises(ServiceError, match="no replica") as caught:
            service.predict("a")
        assert (caught.value.status, caught.value.retry_after) == (503, 45)
    assert pauses == [45]


def test_pauses_that_nobody_asked_for_grow_up_to_half_a_minute() -> None:
    attempts, lost = Attempts(retries=12, patience=5), ServiceError("lost")
    pauses = [attempts.pause(lost) for _ in range(12)]
    for failed, pause in enumerate(pauses):
        longest = min(0.25 * 2**failed, 30)
        assert longest / 2 <= pause <= longest
    with pytest.raises(ServiceError, match="lost"):
        attempts.pause(lost)


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


def test_an_answer_that_is_not_json_is_an_error_of_the_service(make: Any) -> None:
    error = pytest.raises(ServiceError, match="no answer of the service: '<html>Log in")
    page = (200, {}, b"<html>Log in</html>")
    with refusing_server(page) as server, make(server.url) as service, error as caught:
        service.predict("a")
    assert caught.value.status == 200


def test_a_service_that_is_not_there(make: Any) -> None:
    where = f"http://127.0.0.1:{free_port()}"
    with make(where, retries=1) as service:
        assert service.ready() is False
        with pytest.raises(ServiceError, match=f"no answer from {where}") as caught:
            service.predict("a")
        assert caught.value.status is None
        with pytest.raises(ServiceError, match="no answer"):
            list(service.bulk(["a"]))


def test_what_cannot_be_sent_is_refused_at_once(make: Any) -> None:
    with pytest.raises(InputError, match="'localhost:8000' is no address of a service"):
        make("localhost:8000").ready()
    with make("http://127.0.0.1:1", retries=0) as service:
        with pytest.raises(InputError, match="not a string"):
            list(service.bulk("one text"))
        with pytest.raises(InputError, match="text 0 is of type bytes"):
            list(service.bulk([b"a"]))


def test_a_client_needs_neither_torch_nor_ray() -> None:
    code = "import sys, react_ray; react_ray.Client; print({'torch', 'ray', 'pandas'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
