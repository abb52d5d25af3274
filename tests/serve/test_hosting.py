"""Applications of one's own behind the frame of the service: in this process, and on Ray Serve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from greetings import GreetingConfig
from ports import free_port
from ray.serve.schema import ServeDeploySchema
from service_client import Client
from starlette.testclient import TestClient

import react_ray
from react_ray import InputError
from react_ray.serve.limits.keys import add_key

LOAD, OWNER = "greetings:load", "greetings:open_store"
START = """
import sys, react_ray
from greetings import GreetingConfig
react_ray.serve_app(
    "greetings:load", sys.argv[1], GreetingConfig(port=int(sys.argv[2]), replicas=2, word="hi"),
    owner="greetings:open_store", name="greetings", example="curl {url}/greet"
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "version.txt").write_text("v7")
    return tmp_path


@pytest.fixture
def http(folder: Path) -> Iterator[TestClient]:
    config = GreetingConfig(max_body_bytes=2000)
    with TestClient(
        react_ray.create_app(LOAD, folder, config, owner=OWNER), base_url="http://localhost"
    ) as it:
        yield it


def test_routes_answer_with_what_the_owner_knows(http: TestClient, folder: Path) -> None:
    answers = [http.post("/greet", json={"name": name}) for name in ("Ada", "Bob", "Ada")]
    assert [(one.json()["said"], one.json()["count"]) for one in answers] == [
        ("hello Ada", 1),
        ("hello Bob", 1),
        ("hello Ada", 2),
    ]
    assert answers[0].headers["x-model-version"] == "v7"


def test_the_frame_has_health_metrics_page_and_documentation(http: TestClient) -> None:
    http.post("/greet", json={"name": "Ada"})
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ready", "version": "v7"}
    assert (
        'react_ray_requests_total{replica="local",route="/greet",status="200"} 1.0'
        in http.get("/metrics").text
    )
    assert "Greetings" in http.get("/").text
    assert "default-src 'none'" in http.get("/").headers["content-security-policy"]
    assert http.get("/docs").status_code == 200
    described = http.get("/openapi.json").json()
    assert described["info"]["title"] == "Greetings"
    assert {"200", "400", "401", "413", "415", "422", "429"} <= described["paths"]["/greet"]["post"][
        "responses"
    ].keys()


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b'{"name": "Ada"}', "text/plain", 415, "expected application/json"),
        (b"{", "application/json", 400, "not JSON"),
        (b'{"name": 1}', "application/json", 422, "name: input should be a valid string"),
        (b'{"name": "a", "more": 1}', "application/json", 422, "more: extra inputs are not permitted"),
        (b'{"name": "%s"}' % (b"a" * 30), "application/json", 422, "name: string should have at most 20"),
        (b" " * 3000, "application/json", 413, "over 2000 bytes"),
        (b'{"name": "nobody"}', "application/json", 404, "nobody is not here"),
        (b'{"name": "bad"}', "application/json", 422, "the name 'bad' is not taken"),
    ],
)
def test_a_bad_request_is_answered_with_the_reason(
    http: TestClient, body: bytes, kind: str, status: int, said: str
) -> None:
    answer = http.post("/greet", content=body, headers={"content-type": kind})
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text


def test_an_error_of_the_application_tells_its_caller_nothing(http: TestClient) -> None:
    answer = http.get("/fail")
    assert answer.status_code == 500
    assert answer.json()["error"] == "internal error"
    assert "secret" not in answer.text


def test_other_sites_cannot_reach_it_by_their_name(http: TestClient) -> None:
    assert http.get("/readyz", headers={"host": "evil.example"}).status_code == 421


def test_a_key_is_asked_for_where_there_is_a_file_of_keys(folder: Path) -> None:
    key = add_key("one", folder / "keys.txt")
    config = GreetingConfig(api_keys=str(folder / "keys.txt"))
    with TestClient(
        react_ray.create_app(LOAD, folder, config, owner=OWNER), base_url="http://localhost"
    ) as http:
        assert http.post("/greet", json={"name": "Ada"}).status_code == 401
        granted = http.post("/greet", json={"name": "Ada"}, headers={"authorization": f"Bearer {key}"})
        assert granted.status_code == 200
        assert http.get("/readyz").status_code == 200
    assert (folder / "names.txt").read_text() == "Ada\nclosed\n"


def test_a_wrong_path_or_folder_is_an_error_at_once(folder: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere:load: expected package\.module:function"):
        react_ray.serve_app("nowhere:load", folder)
    with pytest.raises(InputError, match="no such folder"):
        react_ray.serve_app(LOAD, folder / "missing")
    with pytest.raises(InputError, match=r"expected a react_ray\.HostedApp, got bool"):
        react_ray.create_app("operator:is_", folder)


def test_the_file_for_a_cluster_builds_the_application(folder: Path) -> None:
    file = folder / "serve.yaml"
    config = GreetingConfig(host="0.0.0.0", port=8001, replicas=2, word="hi")
    said = react_ray.serve_app(LOAD, folder, config, owner=OWNER, name="greetings", write_config=file)
    assert f"serve deploy {file}" in str(said)
    schema = ServeDeploySchema.model_validate(yaml.safe_load(file.read_text()))
    (application,) = schema.applications
    assert application.args["settings"] == {"replicas": 2, "word": "hi"}
    from react_ray.serve.application_deployment import build

    built: Any = build(application.args)
    assert built._bound_deployment.num_replicas == 2


@pytest.mark.ray
def test_replicas_share_the_owner_until_a_signal(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", START, str(folder), str(port)]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with (
        (tmp_path / "err.txt").open("w") as err,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=err, text=True, env=environment | {"PYTHONPATH": path}
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith(f"Ready: http://127.0.0.1:{port}"), (tmp_path / "err.txt").read_text()
            assert process.stdout.readline().strip() == f"curl http://127.0.0.1:{port}/greet"
            client = Client(port)
            answers = [greet(client, "Ada") for _ in range(20)]
            assert [one["count"] for one in answers] == list(range(1, 21))
            assert {one["said"] for one in answers} == {"hi Ada"}
            (owner,) = {one["owner"] for one in answers}
            assert owner not in {one["replica"] for one in answers}
            assert client.send("POST", "/greet", b'{"name": "bad"}', JSON).json == {
                "error": "the name 'bad' is not taken"
            }
            os.kill(owner, signal.SIGKILL)
            wait_until(lambda: "count" in greet(client, "Bob"))
            assert greet(client, "Ada")["count"] == 21, "what was acknowledged is there after a crash"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert (folder / "names.txt").read_text().endswith("closed\n")


JSON = {"Content-Type": "application/json"}


def greet(client: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.send("POST", "/greet", json.dumps({"name": name}).encode(), JSON).json
    return found


def wait_until(true: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
