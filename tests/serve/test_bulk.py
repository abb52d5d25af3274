"""POST /bulk over real HTTP: every line gets its answer, whatever stands on the others."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from service_client import LIMITS, POISON, Answer, Client

pytestmark = pytest.mark.ray

TEXTS = ["goal in the last minute", "股市上涨", "מזג האוויר", "مرحبا بالعالم", "नमस्ते 🚀", ""]
NDJSON = {"Content-Type": "application/x-ndjson"}


def encoded(lines: list[Any]) -> bytes:
    """Strings of bytes go as they are, all else as JSON."""
    rows = []
    for line in lines:
        rows.append(line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode())
    return b"".join(row + b"\n" for row in rows)


def bulk(client: Client, body: bytes, query: str = "") -> Answer:
    return client.send("POST", f"/bulk{query}", body, NDJSON)


def answers(client: Client, lines: list[Any], query: str = "") -> list[dict]:
    answer = bulk(client, encoded(lines), query)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.body.splitlines()]


def test_each_line_is_answered_as_predict_would(client: Client) -> None:
    *given, end = answers(client, [*TEXTS, *({"text": text, "id": text} for text in TEXTS)])
    assert end == {"done": True, "lines": 2 * len(TEXTS)}
    assert [answer["line"] for answer in given] == list(range(2 * len(TEXTS)))
    assert [answer.get("id") for answer in given] == [None] * len(TEXTS) + TEXTS
    for answer, (best, *_) in zip(given, 2 * client.predict(TEXTS).json, strict=True):
        assert answer["label"] == best["label"]
        assert answer["score"] == pytest.approx(best["score"], abs=1e-6)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (7, 'is a number; expected a string or {"text": "a text"}'),
        (["a"], "is a list"),
        (None, "is null"),
        ({}, "text is missing"),
        ({"text": 7}, "text is a number; expected a string"),
        ({"text": "a", "label": "b"}, "label is not known; known are: text"),
        ({"text": "a", "id": [1]}, "id is a list"),
        ({"text": "a", "id": True}, "id is a boolean"),
        (b'"\\ud800"', "half of a surrogate pair"),
        ("股" * 301, "text has 301 characters; at most 300 are taken"),
        (f"a {POISON}", "the model failed on this text"),
    ],
)
def test_a_bad_line_does_not_stop_the_others(client: Client, line: Any, says: str) -> None:
    first, bad, last, end = answers(client, ["股市", line, "ball"])
    assert set(bad) == {"line", "error"}
    assert says in bad["error"]
    assert (first["line"], bad["line"], last["line"]) == (0, 1, 2)
    (best, *_), (second, *_) = client.predict(["股市", "ball"]).json
    assert [first["label"], last["label"]] == [best["label"], second["label"]]
    assert [first["score"], last["score"]] == pytest.approx([best["score"], second["score"]], abs=1e-6)
    assert end == {"done": True, "lines": 3}


def test_a_bad_line_keeps_its_id(client: Client) -> None:
    assert answers(client, [{"id": "行 7", "text": None}])[0]["id"] == "行 7"


def test_blank_lines_count_and_are_not_answered(client: Client) -> None:
    *given, end = answers(client, [b"", "a", b"  \r", "b", b""])
    assert [answer["line"] for answer in given] == [1, 3]
    assert end == {"done": True, "lines": 5}
    assert answers(client, []) == [{"done": True, "lines": 0}]
    assert [json.loads(line)["line"] for line in bulk(client, b'"a"\n"b"').body.splitlines()[:-1]] == [0, 1]


def test_the_rest_of_a_file_goes_on_from_its_offset(client: Client) -> None:
    lines = [f"text {i} 股" for i in range(1000)]
    whole = answers(client, lines)
    rest = answers(client, lines[300:], "?offset=300")
    assert [(a["line"], a["label"]) for a in rest[:-1]] == [(a["line"], a["label"]) for a in whole[300:-1]]
    scores = [a["score"] for a in whole[300:-1]]
    assert [a["score"] for a in rest[:-1]] == pytest.approx(scores, abs=1e-6)
    assert len({round(score, 5) for score in scores}) > len(scores) / 2  # so no text has another's answer
    assert rest[-1] == whole[-1] == {"done": True, "lines": 1000}


def computed(client: Client) -> float:
    """Texts in the model calls of all replicas so far."""
    lines = client.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("react_ray_batch_texts_sum"))


LONG = "a long text " * 12


def test_the_first_answers_come_before_the_work_is_done_which_ends_when_the_caller_leaves(
    client: Client,
) -> None:
    before, lines = computed(client), 10_000
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("POST", "/bulk", encoded([LONG] * lines), NDJSON)
    response = connection.getresponse()
    assert json.loads(response.readline())["line"] == 0
    at_first = computed(client) - before
    connection.sock.close()  # the caller goes away
    response.close()
    assert at_first < lines / 2
    done = 0.0
    while (now := computed(client) - before) != done:
        done = now
        time.sleep(0.5)
    assert done < lines
    assert client.predict("ball").status == 200


def test_callers_of_predict_are_not_held_up(client: Client) -> None:
    def read_all() -> tuple[list[bytes], float]:
        answer = bulk(client, encoded([LONG] * 10_000))
        return answer.body.splitlines(), time.monotonic()

    before = computed(client)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all)
        while computed(client) < before + 100:
            assert not reading.done()
        for _ in range(4):  # both replicas
            assert client.predict("ball").status == 200
        answered = time.monotonic()
        lines, ended = reading.result()
    assert json.loads(lines[-1]) == {"done": True, "lines": 10_000}
    assert answered < ended


@pytest.mark.parametrize("offset", ["-1", "ten", "1.5"])
def test_an_offset_is_a_number_of_lines(client: Client, offset: str) -> None:
    refused = bulk(client, b'"a"', f"?offset={offset}")
    assert (refused.status, list(refused.json)) == (422, ["error"])
    assert refused.json["error"].startswith("offset: input should be")


def test_body_and_type_are_checked_before_the_first_answer(client: Client) -> None:
    refused = client.send("POST", "/bulk", b'"a"', {"Content-Type": "application/json"})
    assert (refused.status, "expected application/x-ndjson" in refused.json["error"]) == (415, True)
    limit = LIMITS["max_bulk_bytes"]
    assert bulk(client, b" " * limit).status == 200
    over = bulk(client, b" " * (limit + 1))
    assert (over.status, over.json["error"]) == (413, f"the body is over {limit} bytes")


def test_lines_are_counted_before_the_first_answer(client: Client) -> None:
    limit = LIMITS["max_bulk_lines"]
    for body in (b"\n" * limit, b"\n" * (limit - 1) + b" "):
        assert json.loads(bulk(client, body).body.splitlines()[-1]) == {"done": True, "lines": limit}
    for body in (b"\n" * (limit + 1), b"\n" * limit + b" "):
        over = bulk(client, body)
        said = f"{limit + 1} lines were sent; at most {limit} are taken at a time"
        assert (over.status, over.json["error"]) == (413, said)


def test_openapi_describes_bulk(client: Client) -> None:
    route = client.get("/openapi.json").json["paths"]["/bulk"]["post"]
    assert [parameter["name"] for parameter in route["parameters"]] == ["offset"]
    assert {"200", "413", "415", "422"} <= set(route["responses"])
    assert route["responses"]["200"]["content"]["application/x-ndjson"]["example"].endswith('"lines":1}\n')
    example = route["requestBody"]["content"]["application/x-ndjson"]["example"]
    first, second, end = bulk(client, example.encode()).body.splitlines()
    assert json.loads(first)["id"] == 7
    assert "label" in json.loads(second)
    assert json.loads(end) == {"done": True, "lines": 2}
