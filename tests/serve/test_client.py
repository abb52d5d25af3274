"""The Python clients against the real service, and against connections and servers that fail."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from both_clients import TEXTS, pairs, url
from ports import free_port
from service_client import LABELS, LIMITS, POISON, Client
from unsteady import refusing_server

from react_ray import Explanation, InputError, Prediction, ServiceError
from react_ray.client.exchange import Attempts

OK = (200, {}, b'[[{"label": "a", "score": 1.0}]]')


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

    monkeypatch.setattr("react_ray.client.client.time.sleep", pauses.append)
    monkeypatch.setattr("react_ray.client.client.asyncio.sleep", pause)
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
