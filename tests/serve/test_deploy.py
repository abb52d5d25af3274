"""The file for ``serve deploy``: taken by Serve itself, and a threshold that changes while it serves."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray import serve
from ray.serve.schema import ServeDeploySchema
from service_client import LABELS, Client

from react_ray.cli import main
from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.folders import model_version
from react_ray.serve.app import build_application
from react_ray.serve.deploy import serve_config, write_config
from react_ray.serve.replicas import problem_of
from react_ray.serve.service import Service


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
    assert application.args == {
        "model": str(classifier_folder),
        "version": model_version(classifier_folder),
        "replicas": 2,
        "max_replicas": 4,
    }
    assert application.deployments[0].user_config == {"threshold": 0.4}
    assert schema.http_options.host == "127.0.0.1"


def test_the_manifest_says_what_the_file_would() -> None:
    manifest = Path(__file__).parents[2] / "deploy" / "kuberay" / "rayservice.yaml"
    given = yaml.safe_load(yaml.safe_load(manifest.read_text())["spec"]["serveConfigV2"])
    config = ServeConfig(host="0.0.0.0", replicas=2, max_replicas=4, api_keys="/etc/react-ray/keys.txt")
    expected = serve_config({"": Path("/mnt/data/run")}, config)
    expected["applications"][0]["args"].pop("version")  # of a model that nobody knows yet
    assert given == expected


def test_a_version_that_looks_like_a_number_is_a_string_to_every_reader(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.serve.deploy.model_version", lambda folder: "12345e678901")
    write_config(str(classifier_folder), ServeConfig(), tmp_path / "serve.yaml")
    assert "version: '12345e678901'\n" in (tmp_path / "serve.yaml").read_text()


def trained_again(folder: Path) -> None:
    """Other labels than before."""
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {number: f"new {label}" for number, label in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))


def test_a_version_that_is_not_in_the_folder_is_not_served(classifier_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    version = model_version(folder)
    assert Service.load(str(folder), ServeConfig(), 1, version=version).about.version == version
    trained_again(folder)
    said = f"model holds version {model_version(folder)}, but version {version} is to be used.*write the"
    with pytest.raises(InputError, match=said):
        Service.load(str(folder), ServeConfig(), 1, version=version)
    assert Service.load(str(folder), ServeConfig(), 1).about.version != version


@pytest.fixture
def thrifty(client: Client, classifier_folder: Path) -> Iterator[Any]:
    """Deploys a service under /thrifty with a threshold; again with another, or another model."""
    from ray.serve.context import _get_global_client

    def deploy(threshold: float, folder: Path = classifier_folder, surge: int = 0) -> None:
        config = serve_config({"thrifty": folder}, ServeConfig(threshold=threshold))
        options = {"max_surge_percent": surge, "ray_actor_options": {"num_cpus": 0.1}}  # room for two
        config["applications"][0]["deployments"][0] |= options
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


@pytest.mark.ray
def test_a_model_that_was_trained_again_takes_the_place_of_the_first(
    client: Client, thrifty: Any, classifier_folder: Path, tmp_path: Path
) -> None:
    def labels_after(before: list[str]) -> list[str]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = client.get("/thrifty/model")  # 503 between the two
            if answer.status == 200 and answer.json["labels"] != before:
                return answer.json["labels"]
            time.sleep(0.1)
        return before

    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    thrifty(0.0, folder)
    assert labels_after([]) == LABELS
    trained_again(folder)
    thrifty(0.0, folder)
    assert labels_after(LABELS) == [f"new {label}" for label in LABELS]


@pytest.mark.ray
def test_with_a_surge_one_replica_is_replaced_without_a_gap(
    client: Client, thrifty: Any, classifier_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    thrifty(0.0, folder, surge=100)
    trained_again(folder)
    running = set()
    with ThreadPoolExecutor(1) as pool:
        deployed = pool.submit(thrifty, 0.0, folder, surge=100)
        while not deployed.done():
            for deployment in serve.status().applications["thrifty"].deployments.values():
                running.add(deployment.replica_states.get("RUNNING", 0))
            time.sleep(0.05)
    deployed.result()
    assert client.get("/thrifty/model").json["labels"] != LABELS
    assert 0 not in running


def process(client: Client) -> str:
    """Which process answers: when it started, as its metrics say."""
    (line,) = [
        line
        for line in client.get("/thrifty/metrics").body.decode().splitlines()
        if line.startswith("process_start_time_seconds")
    ]
    return line


@pytest.mark.ray
def test_a_replica_never_loads_another_model_than_the_one_that_is_served(
    client: Client, classifier_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    version = model_version(folder)
    config = ServeConfig()
    serve.run(build_application(str(folder), config, 0.1, version), name="pinned", route_prefix="/pinned")
    try:
        trained_again(folder)
        kill_replica("pinned")
        answers, reason = labels_and_reason(client)
        assert answers <= {frozenset(LABELS)}
        assert f"holds version {model_version(folder)}, but version {version} is to be used" in reason
        again = build_application(str(folder), config, 0.1, model_version(folder))
        with suppress(RuntimeError):  # Serve may still report the failure of the replica before
            serve.run(again, name="pinned", route_prefix="/pinned")
        wanted, deadline = [f"new {label}" for label in LABELS], time.monotonic() + 60
        while (labels := labels_now(client)) != wanted and time.monotonic() < deadline:
            time.sleep(0.5)
        assert labels == wanted
    finally:
        serve.delete("pinned")


def labels_now(client: Client) -> list[str]:
    """The labels of the model that answers; none where no replica does in time."""
    with suppress(TimeoutError):
        answer = replace(client, timeout=5).get("/pinned/model")
        return list(answer.json["labels"]) if answer.status == 200 else []
    return []


def kill_replica(application: str) -> None:
    everyone = ray.util.list_named_actors(all_namespaces=True)
    (actor,) = [actor for actor in everyone if f"{application}#classifier" in actor["name"]]
    ray.kill(ray.get_actor(**actor))


def labels_and_reason(client: Client) -> tuple[set[frozenset[str]], str]:
    """All sets of labels that were answered until Serve says why no replica starts."""
    answers, deadline = set(), time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(TimeoutError):  # without a replica a request waits for one
            answer = replace(client, timeout=2).get("/pinned/model")
            if answer.status == 200:
                answers.add(frozenset(answer.json["labels"]))
        if reason := problem_of("pinned"):
            return answers, reason
        time.sleep(0.2)
    return answers, ""
