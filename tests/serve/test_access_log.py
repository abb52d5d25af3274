"""The line that a request leaves in the log, and the number that leads to it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from service_client import POISON, Client
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

from react_ray.config.service import ServeConfig
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.watch.caller import begin, current
from react_ray.serve.watch.metrics import ReplicaMetrics
from react_ray.serve.watch.middleware import Watch

pytestmark = pytest.mark.ray


def logged(number: str) -> list[str]:
    """Our lines of all replicas about the request."""
    import ray

    folder = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"
    deadline = time.monotonic() + 10
    lines: list[str] = []
    while not lines and time.monotonic() < deadline:
        time.sleep(0.1)
        files = folder.glob("replica_*.log")
        lines = [
            line for file in files for line in file.read_text().splitlines() if f'"id": "{number}"' in line
        ]
    return lines


def entry(number: str) -> dict[str, object]:
    (line,) = logged(number)
    return json.loads(line[line.index("{") :])


def test_only_the_owner_can_read_the_logs_of_replicas(client: Client) -> None:
    import ray

    body = json.dumps({"inputs": "a text"}).encode()
    client.send("POST", "/predict", body, {"Content-Type": "application/json", "X-Request-Id": "whose-log"})
    assert logged("whose-log")
    folder = Path(ray._private.worker._global_node.get_logs_dir_path())
    logs = [path for path in folder.rglob("*.*") if path.suffix in (".log", ".err", ".out")]
    line = b'"id": "whose-log"'
    holding = {path.name: path.stat().st_mode & 0o777 for path in logs if line in path.read_bytes()}
    assert len(holding) == 2, "the log of Serve, and the standard error of the replica"
    assert set(holding.values()) == {0o600}


def test_a_request_leaves_one_line_without_its_texts(client: Client) -> None:
    body = json.dumps({"inputs": ["a private matter", "another"]}).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": "order-66.a"}
    answer = client.send("POST", "/predict", body, headers)
    assert answer.headers["x-request-id"] == "order-66.a"
    line = entry("order-66.a")
    assert (line["method"], line["route"], line["status"], line["key"]) == ("POST", "/predict", 200, None)
    assert (line["texts"], line["bytes"]) == (2, len(answer.body))
    assert 0 < float(str(line["ms"])) < 60_000
    assert "private" not in logged("order-66.a")[0]


def test_every_answer_has_a_number_that_is_in_the_log(client: Client) -> None:
    for answer, route in ((client.predict("a"), "/predict"), (client.get("/made/up/path"), "other")):
        line = entry(answer.headers["x-request-id"])
        assert (line["route"], line["status"]) == (route, answer.status)
        assert "made" not in str(line)


@pytest.mark.parametrize("number", ["\xff\xfe", "x" * 30_000, "two words", '7 {"status": 200}'])
@pytest.mark.parametrize("path", ["/healthz", "/model"])
def test_a_number_that_is_not_plain_is_replaced_before_ray_reads_it(
    client: Client, path: str, number: str
) -> None:
    answer = client.send("GET", path, headers={"X-Request-Id": number, "X-Session-Id": "\xff"})
    assert answer.status == 200
    assert re.fullmatch(r"[0-9a-f-]{32,36}", answer.headers["x-request-id"])
    assert entry(answer.headers["x-request-id"])["status"] == 200


def test_ray_tells_nobody_its_routes(client: Client) -> None:
    assert client.get("/-/routes").status == 404
    assert client.get("/-/healthz").status == 200


@pytest.fixture
def ask(client: Client) -> Iterator[Callable[..., tuple[str, str, str]]]:
    """Classifies over gRPC: the status, its details, and the number in the trailing metadata."""
    with grpc.insecure_channel(f"127.0.0.1:{client.grpc_port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=wire.ModelInferRequest.SerializeToString,
            response_deserializer=wire.ModelInferResponse.FromString,
        )

        def call(text: str, *metadata: tuple[str, str]) -> tuple[str, str, str]:
            message = wire.ModelInferRequest(model_name="classifier")
            tensor = message.inputs.add(name="text", datatype="BYTES", shape=[1])
            tensor.contents.bytes_contents.append(text.encode())
            told = infer.future(message, metadata=[("application", "served"), *metadata], timeout=30)
            told.exception()  # waits
            return told.code().name, told.details(), dict(told.trailing_metadata())["request_id"]

        yield call


def test_a_call_over_grpc_leaves_a_line_too(ask: Callable[..., tuple[str, str, str]]) -> None:
    assert ask("a private matter", ("request_id", "order-67.a")) == ("OK", "", "order-67.a")
    line = entry("order-67.a")
    assert (line["method"], line["route"]) == ("gRPC", "/inference.GRPCInferenceService/ModelInfer")
    assert (line["status"], line["key"], line["texts"]) == (200, None, 1)
    assert int(str(line["bytes"])) > 0
    assert "private" not in logged("order-67.a")[0]
    _, _, number = ask("a")
    assert entry(number)["status"] == 200


def test_a_call_that_fails_has_a_number_that_leads_to_the_reason(
    ask: Callable[..., tuple[str, str, str]],
) -> None:
    status, details, number = ask(POISON)
    assert (status, details) == ("INTERNAL", f"internal error, request_id {number}")
    assert entry(number)["status"] == 500
    _, details, _ = ask(POISON, ("request_id", "two words"))
    assert entry(details.rpartition(" ")[2])["status"] == 500  # one that is not plain was replaced


def test_a_number_that_is_not_short_and_plain_is_replaced() -> None:
    assert begin("a-b_c.9").id == current().id == "a-b_c.9"
    for given in ("", "x" * 65, "two words", "a\nb", "ä", None):
        assert begin(given).id not in (given, "a-b_c.9")


def test_texts_are_kept_only_when_asked_for() -> None:
    assert (ServeConfig().access_log, ServeConfig().log_texts) == (True, False)
    for keep in (False, True):
        asker = begin()
        asker.ask(["a", "b"], keep)
        assert (asker.texts, asker.said) == (2, ["a", "b"] if keep else [])


def lines_of(
    caplog: pytest.LogCaptureFixture, error: Exception | None = None, **settings: bool
) -> list[dict]:
    """What one request writes, to an application that notes a text and answers or fails."""
    config = ServeConfig(**settings)  # type: ignore[arg-type]

    async def application(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        current().ask(["a private matter"], config.log_texts)
        if error:
            raise error
        await PlainTextResponse("fine")(scope, receive, send)

    async def nothing(*_) -> None:  # type: ignore[no-untyped-def]
        return None

    caplog.clear()
    scope = {"type": "http", "method": "GET", "path": "/a", "headers": [(b"authorization", b"Bearer secret")]}
    with caplog.at_level(logging.INFO, "ray.serve"):
        inside = SimpleNamespace(config=config, metrics=ReplicaMetrics(), version="abc")
        asyncio.run(Watch(application, inside)(scope, nothing, nothing))
    assert "secret" not in caplog.text
    return [json.loads(record.message) for record in caplog.records if record.message.startswith("{")]


def test_the_line_is_as_long_as_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert lines_of(caplog, access_log=False) == []
    (line,) = lines_of(caplog)
    assert (line["status"], line["texts"], line["bytes"]) == (200, 1, 4)
    assert "private" not in caplog.text
    (line,) = lines_of(caplog, log_texts=True)
    assert line["said"] == ["a private matter"]


def test_failures_are_told_from_callers_who_left(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines_of(caplog, ClientDisconnect())
    assert (line["status"], "Traceback" in caplog.text) == (499, False)
    (line,) = lines_of(caplog, RuntimeError("broken"))
    assert (line["status"], f"request {line['id']} failed" in caplog.text) == (500, True)
