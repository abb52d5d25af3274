"""POST /predict over real HTTP: right answers to the right callers, and every refusal."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from service_client import LABELS, LIMITS, POISON, Client

pytestmark = pytest.mark.ray

Expected = Callable[[str], dict[str, float]]
TEXTS = ["goal in the last minute", "股市上涨", "球队夺得冠军!", "rocket 🚀 lands", "", "مرحبا", "a" * 300]


@pytest.fixture(scope="module")
def expected(classifier_folder: Path) -> Expected:
    """What plain transformers says, one text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)

    def scores(text: str) -> dict[str, float]:
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0]
        return dict(zip(LABELS, logits.softmax(0).tolist(), strict=True))

    return scores


def assert_ranking(ranking: list[dict], scores: dict[str, float]) -> None:
    assert [entry["label"] for entry in ranking] == sorted(scores, key=scores.__getitem__, reverse=True)
    for entry in ranking:
        assert entry["score"] == pytest.approx(scores[entry["label"]], abs=1e-5)


def test_a_text_gives_one_list_best_first(client: Client, expected: Expected) -> None:
    answer = client.predict("股市上涨 today")
    assert answer.status == 200
    assert set(answer.json[0]) == {"label", "score"}
    assert_ranking(answer.json, expected("股市上涨 today"))


def test_a_list_gives_one_list_per_text_never_pairs(client: Client, expected: Expected) -> None:
    answer = client.predict(TEXTS)
    assert answer.status == 200
    for text, ranking in zip(TEXTS, answer.json, strict=True):
        assert_ranking(ranking, expected(text))
    assert [len(ranking) for ranking in client.predict(["one"]).json] == [len(LABELS)]


def test_100_texts_keep_their_order(client: Client, expected: Expected) -> None:
    texts = [("ball " * (i % 13) + f"number {i}")[: LIMITS["max_chars"]] for i in range(100)]
    for text, ranking in zip(texts, client.predict(texts).json, strict=True):
        assert_ranking(ranking, expected(text))


def test_concurrent_callers_get_their_own_answers(client: Client, expected: Expected) -> None:
    requests = [[f"caller {i} text {j}" * (1 + j % 3) for j in range(1 + i % 5)] for i in range(60)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(client.predict, requests))
    for request, answer in zip(requests, answers, strict=True):
        assert answer.status == 200
        for text, ranking in zip(request, answer.json, strict=True):
            assert_ranking(ranking, expected(text))


def test_top_k(client: Client) -> None:
    everything = client.predict("ball").json
    assert client.predict("ball", top_k=2).json == everything[:2]
    assert client.predict(["ball"], top_k=100).json == [everything]
    assert client.predict("ball", top_k=None).json == everything
    assert client.predict("ball", top_k=2.0).json == everything[:2]


def test_labels_below_the_threshold_are_left_out(client: Client) -> None:
    everything = client.predict("ball").json
    bar = everything[1]["score"]
    assert client.predict("ball", threshold=bar).json == everything[:2]
    assert client.predict(["ball"], threshold=bar, top_k=1).json == [everything[:1]]
    assert client.predict("ball", threshold=0).json == everything
    assert client.predict(["ball", "球队"], threshold=1).json == [[], []]


def test_content_type_with_charset_is_taken(client: Client) -> None:
    assert client.post(b'{"inputs": "a"}', "Application/JSON; charset=UTF-8").status == 200


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b'{"inputs": ', 400, "not JSON"),
        (b'{"inputs": "a"} tail', 400, "not JSON"),
        (b'{"inputs": "\\ud800"}', 400, "not JSON"),
        (b"[" * 10_000, 400, "not JSON"),
        ('{"inputs": "股市"}'.encode("gbk"), 400, "not UTF-8 at byte 12"),
        (b"\xff\xfe", 400, "not UTF-8 at byte 0"),
        (b'"text"', 422, 'the body is a string; expected {"inputs"'),
        (b'["text"]', 422, 'the body is a list; expected {"inputs"'),
        (b"null", 422, "the body is null"),
        (b"{}", 422, "inputs is missing"),
        (b'{"inputs": []}', 422, "the list is empty"),
        (b'{"inputs": null}', 422, "inputs: is null; expected a string"),
        (b'{"inputs": 7}', 422, "inputs: is a number"),
        (b'{"inputs": {}}', 422, 'inputs: text is missing; expected a string or {"text": "a text"}'),
        (b'{"inputs": {"text": 7}}', 422, "inputs: text is a number; expected a string"),
        (b'{"inputs": ["a", {"text": "a", "b": 1}]}', 422, "inputs: item 1: b is not known; known are: text"),
        (b'{"inputs": ["a", 7]}', 422, "inputs: item 1 is a number; expected a string"),
        (b'{"inputs": [["a", "b"]]}', 422, "inputs: item 0 is a list; expected a string"),
        (b'{"inputs": "a", "topk": 1}', 422, "topk is not known; known are: inputs, top_k, threshold"),
        (b'{"inputs": "a", "top_k": 0}', 422, "top_k: input should be greater than or equal to 1"),
        (b'{"inputs": "a", "top_k": "1"}', 422, "top_k: input should be a valid integer"),
        (b'{"inputs": "a", "top_k": true}', 422, "top_k: input should be a valid integer"),
        (b'{"inputs": "a", "threshold": 1.1}', 422, "threshold: input should be less than or equal to 1"),
        (b'{"inputs": "a", "threshold": NaN}', 422, "threshold: input should be"),
        (b'{"inputs": "a", "threshold": "0.5"}', 422, "threshold: input should be a valid number"),
    ],
)
def test_wrong_requests_are_told_why(client: Client, body: bytes, status: int, says: str) -> None:
    answer = client.post(body)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert says in answer.json["error"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk"]
)
def test_other_content_types_are_refused(client: Client, kind: str | None) -> None:
    answer = client.post(b'{"inputs": "a"}', kind)
    assert answer.status == 415
    assert "expected application/json" in answer.json["error"]


def test_limits_at_their_boundary(client: Client) -> None:
    texts, chars = LIMITS["max_texts"], LIMITS["max_chars"]
    assert client.predict(["a"] * texts).status == 200
    over = client.predict(["a"] * (texts + 1))
    assert (over.status, over.json["error"]) == (413, "inputs: 129 texts; at most 128 are taken in a request")
    assert client.predict(["ok", "股" * chars]).status == 200
    over = client.predict(["ok", "股" * (chars + 1)])
    assert over.status == 413
    assert over.json["error"] == "inputs: text 1 has 301 characters; at most 300 are taken"


def padded(size: int) -> bytes:
    body = b'{"inputs": "a"}'
    return body + b" " * (size - len(body))


def chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


def test_body_over_the_limit_is_refused_with_and_without_a_length(client: Client) -> None:
    limit = LIMITS["max_body_bytes"]
    json_type = {"Content-Type": "application/json"}
    for size, status in ((limit, 200), (limit + 1, 413)):
        assert client.post(padded(size)).status == status
        chunked = client.send(
            "POST", "/predict", chunks(padded(size)), {**json_type, "Transfer-Encoding": "chunked"}
        )
        assert chunked.status == status
    assert "16384 bytes" in client.post(padded(limit + 1)).json["error"]


def test_an_endless_body_is_refused_before_it_ends(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        raw.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        )
        for _ in range(4):
            raw.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(("length", "status"), [(b"100000000", b"413"), (b"-1", b"400"), (b"ten", b"400")])
def test_a_declared_length_is_checked_before_the_body_comes(
    client: Client, length: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        raw.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + length + b"\r\n\r\n{}"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 " + status)


def test_a_poisoned_text_fails_alone_and_shows_no_insides(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        texts = [f"a {POISON}" if i % 4 == 0 else f"good text {i}" for i in range(32)]
        answers = list(pool.map(client.predict, texts))
    for text, answer in zip(texts, answers, strict=True):
        if POISON in text:
            assert answer.status == 500
            assert answer.json == {"error": "internal error", "request_id": answer.headers["x-request-id"]}
        else:
            assert (answer.status, len(answer.json)) == (200, len(LABELS))
    assert client.predict(["good", POISON]).status == 500
    assert client.predict("good").status == 200


def test_answers_are_utf8_json(client: Client) -> None:
    answer = client.predict("足球")
    assert answer.headers["content-type"] == "application/json"
    assert "体育".encode() in answer.body
    assert {entry["label"] for entry in json.loads(answer.body)} == set(LABELS)
