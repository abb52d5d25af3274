"""Bodies that nobody means: every one is answered, and never with a failure of ours."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_client import LIMITS, Client

from react_ray.config.service import ServeConfig
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.messages import parse_request
from react_ray.tasks import get_task

CONFIG = ServeConfig(max_texts=4, max_chars=50)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=60)
    | st.sampled_from([10**400, -(10**400), 1e308, "\x00", "\ud800", "\U0010ffff"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
requests = st.fixed_dictionaries({"inputs": anything}, optional={"top_k": anything, "more": anything})
bodies = st.one_of(
    st.binary(max_size=200),
    anything.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.tuples(requests, st.binary(min_size=1, max_size=3), st.integers(0, 80)).map(
        lambda parts: (lambda body: body[: parts[2]] + parts[1] + body[parts[2] :])(
            json.dumps(parts[0]).encode()
        )
    ),
)
EXTREMES = [
    b'{"inputs": ' + b"[" * 8000 + b"]" * 8000 + b"}",
    b'{"a": ' * 2500 + b"1" + b"}" * 2500,
    b'{"inputs": "a", "top_k": ' + b"9" * 10_000 + b"}",
    b'{"inputs": "a", "top_k": 1e999}',
    b'{"inputs": "a", "top_k": NaN}',
    b'{"inputs": "a", "inputs": 7}',
    b'{"inputs": "a\x00b"}',
    b'{"inputs": "\\u0000"}',
    b'{"inputs": "\xed\xa0\x80"}',
    b"\x00" * 1000,
    b"\xef\xbb\xbf" + b'{"inputs": "a"}',
]
TAKEN = [b'{"inputs": "\\u0000"}', b"\xef\xbb\xbf" + b'{"inputs": "a"}']


def taken(body: bytes) -> bool:
    try:
        _, rows = parse_request(body, CONFIG, get_task("text-classification"))
    except RefusalError as error:
        return error.status not in (400, 413, 422)
    assert 1 <= len(rows) <= CONFIG.max_texts
    assert all(isinstance(row["text"], str) and len(row["text"]) <= CONFIG.max_chars for row in rows)
    return True


@settings(max_examples=400)
@given(bodies)
def test_any_body_is_a_request_within_the_limits_or_refused(body: bytes) -> None:
    taken(body)


@pytest.mark.parametrize("body", EXTREMES, ids=range(len(EXTREMES)))
def test_extremes_are_taken_or_refused(body: bytes) -> None:
    assert taken(body) == (body in TAKEN)


@pytest.mark.ray
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies)
def test_any_body_is_answered(client: Client, body: bytes) -> None:
    answer = client.post(body)
    assert answer.status in (200, 400, 413, 422)
    assert answer.json


@pytest.mark.ray
def test_extremes_are_answered(client: Client) -> None:
    for body in EXTREMES:
        assert client.post(body).status in (200, 400, 413, 422)
    for kind in ("", "a" * 5000, "application/json; charset=\xff", ";;;"):
        assert client.post(b'{"inputs": "a"}', kind).status in (200, 415)
    assert client.predict("still there").status == 200


@pytest.mark.ray
@pytest.mark.parametrize("declared", [True, False])
def test_50_megabytes_are_refused_before_they_are_sent(client: Client, declared: bool) -> None:
    how = b"Content-Length: 52428800" if declared else b"Transfer-Encoding: chunked"
    piece = b" " * 16_384
    sent = 0
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as raw:
        raw.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + how + b"\r\n\r\n"
        )
        raw.settimeout(0.05)
        answer = b""
        while not answer and sent < 50 << 20:
            try:
                raw.sendall(piece if declared else b"4000\r\n" + piece + b"\r\n")
                sent += len(piece)
                answer = raw.recv(64)
            except TimeoutError:
                continue
            except ConnectionError:  # closed while we were sending
                break
    assert answer.startswith(b"HTTP/1.1 413") or not answer
    assert sent < 64 * LIMITS["max_body_bytes"]
    assert client.predict("still there").status == 200
