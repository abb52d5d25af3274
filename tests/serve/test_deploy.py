"""The file for ``serve deploy``: taken by Serve itself, and a threshold that changes while it serves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray import serve
from ray.serve.schema import ServeDeploySchema
from service_client import Client

from react_ray.cli import main
from react_ray.config import ServeConfig
from react_ray.serve.deploy import serve_config


def test_the_file_is_what_serve_takes(classifier_folder: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "serve.yaml"
    given = [
        "serve",
        str(classifier_folder.parent),
        "--write-config",
        str(file),
        "--replicas",
        "2",
        "max_replicas=4",
    ]
    assert main([*given, "threshold=0.4"]) == 0
    assert f"serve deploy {file}" in capsys.readouterr().out
    schema = ServeDeploySchema.model_validate(yaml.safe_load(file.read_text()))
    (application,) = schema.applications
    assert application.args == {"model": str(classifier_folder), "replicas": 2, "max_replicas": 4}
    assert application.deployments[0].user_config == {"threshold": 0.4}
    assert schema.http_options.host == "127.0.0.1"


def test_the_manifest_says_what_the_file_would() -> None:
    manifest = Path(__file__).parents[2] / "deploy" / "kuberay" / "rayservice.yaml"
    given = yaml.safe_load(yaml.safe_load(manifest.read_text())["spec"]["serveConfigV2"])
    config = ServeConfig(host="0.0.0.0", replicas=2, max_replicas=4)
    assert given == serve_config({"": Path("/mnt/data/run")}, config)


@pytest.fixture
def thrifty(client: Client, classifier_folder: Path) -> Iterator[Any]:
    """Deploys a service under /thrifty with a threshold; again with another."""
    from ray.serve.context import _get_global_client

    def deploy(threshold: float) -> None:
        config = serve_config({"thrifty": classifier_folder}, ServeConfig(threshold=threshold))
        schema = ServeDeploySchema.model_validate(config | {"http_options": {}})
        _get_global_client().deploy_apps(schema, _blocking=True)  # as the dashboard does for `serve deploy`

    yield deploy
    serve.delete("thrifty")


@pytest.mark.ray
def test_a_threshold_changes_without_a_new_replica(client: Client, thrifty: Any) -> None:
    def replicas() -> list[str]:
        (deployment,) = serve.status().applications["thrifty"].deployments.values()
        return list(deployment.replica_states)

    def labels() -> int:
        body = b'{"inputs": "ball"}'
        answer = client.send("POST", "/thrifty/predict", body, {"Content-Type": "application/json"})
        return len(answer.json)

    thrifty(0.0)
    everything, version = labels(), process(client)
    thrifty(1.0)
    deadline = time.monotonic() + 30
    while labels() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert everything == 5
    assert labels() == 0
    assert process(client) == version
    assert replicas() == ["RUNNING"]


def process(client: Client) -> str:
    """Which process answers: when it started, as its metrics say."""
    (line,) = [
        line
        for line in client.get("/thrifty/metrics").body.decode().splitlines()
        if line.startswith("process_start_time_seconds")
    ]
    return line
