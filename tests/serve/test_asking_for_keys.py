"""A service with keys, rates and an access log, over real HTTP."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_client import Answer, Guarded

from react_ray.serve.limits.keys import add_key

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic Zmlyc3Q6", "Bearer \xe9"])
def test_without_a_good_key_nothing_is_told(guarded: Guarded, given: str) -> None:
    paths = guarded.ask("GET", "/openapi.json").json["paths"]
    closed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    closed -= {("GET", "/healthz"), ("GET", "/readyz")}
    assert {("POST", "/predict"), ("POST", "/bulk"), ("POST", "/explain"), ("GET", "/metrics")} <= closed
    for method, path in [*closed, ("GET", "/x")]:
        answer = guarded.ask(method, path, body=b'{"inputs": "a"}', Authorization=given)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert list(answer.json) == ["error"]


def test_a_good_key_opens_and_probes_need_none(guarded: Guarded) -> None:
    assert guarded.predict().status == 200
    assert guarded.predict(Authorization=f"bearer {guarded.key}").status == 200
    assert guarded.ask("GET", "/metrics").status == 200
    for path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json"):
        assert guarded.ask("GET", path, Authorization="").status == 200


def test_keys_are_added_and_removed_without_a_restart(guarded: Guarded) -> None:
    second = add_key("second", guarded.file)
    whole = guarded.file.read_text()
    wait_for(lambda: guarded.predict(Authorization=f"Bearer {second}").status == 200)
    guarded.file.write_text(whole.splitlines()[0] + "\n")
    wait_for(lambda: guarded.predict(Authorization=f"Bearer {second}").status == 401)
    assert guarded.predict().status == 200


def test_a_caller_who_is_too_fast_is_told_when_to_come_again(guarded: Guarded) -> None:
    quick = add_key("quick", guarded.file)
    wait_for(lambda: guarded.ask("GET", "/model", Authorization=f"Bearer {quick}").status == 200)

    def ask(_: int) -> Answer:
        return guarded.ask("GET", "/x", Authorization=f"Bearer {quick}")

    deadline, answers = time.monotonic() + 60, []
    with ThreadPoolExecutor(16) as callers:  # one alone is slower than the rate on a busy machine
        while not (too_fast := [answer for answer in answers if answer.status == 429]):
            assert time.monotonic() < deadline, "never too fast"
            answers = list(callers.map(ask, range(100)))
    answer = too_fast[0]
    assert answer.headers["retry-after"] == "1"
    assert "too many requests" in answer.json["error"]
    assert guarded.predict().status == 200  # another key has a bucket of its own
    wait_for(lambda: guarded.ask("GET", "/x", Authorization=f"Bearer {quick}").status == 404)


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
