"""The service of a recommender, in this process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shop_of_topics import SMALL, write_files
from starlette.testclient import TestClient

from benchmarks.serving.victims import Victims
from react_ray import InputError, create_app, encode
from react_ray.apps.recommend.build import build, load_config
from react_ray.apps.recommend.evaluate import evaluate
from react_ray.apps.recommend.folder import forget, load, save
from react_ray.apps.recommend.read import as_column
from react_ray.apps.recommend.settings import RecommendServeConfig
from react_ray.cli import main

LOAD = "react_ray.apps.recommend.service:load_service"
OFTEN = 60


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def http(folder: Path) -> Iterator[TestClient]:
    config = RecommendServeConfig(max_history=5, max_text=100, max_filter=3)
    with TestClient(create_app(LOAD, folder, config), base_url="http://localhost") as client:
        yield client


def ask(http: TestClient, path: str, **wanted: Any) -> list[dict[str, Any]]:
    answer = http.post(path, json=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def taken_by(user: str, folder: Path) -> set[str]:
    log = pd.read_csv(folder / "log.csv")
    return set(log[log.user == user].item)


def test_a_known_user_gets_unseen_items_of_the_same_topic_and_why(http: TestClient, built: Path) -> None:
    found = ask(http, "/recommend", user="u0", count=8)
    items = [one["item"] for one in found]
    assert len(set(items)) == 8
    assert not set(items) & taken_by("u0", built.parent)
    assert sum(item.startswith("space") for item in items) >= 7
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    for one in found:
        for reason in one["reasons"]:
            if reason["kind"] in ("users", "text"):
                assert set(reason["items"]) <= taken_by("u0", built.parent)
    assert any(reason["kind"] == "users" for one in found for reason in one["reasons"])


def test_a_new_user_is_known_by_history_or_text_or_not_at_all(http: TestClient) -> None:
    history = ["sport-1", "sport-2", "sport-3"]
    found = ask(http, "/recommend", history=history, count=8)
    assert sum(one["item"].startswith("sport") for one in found) >= 7
    assert not {one["item"] for one in found} & set(history)
    (first, *_) = ask(http, "/recommend", user="nobody yet", count=3)
    assert first["reasons"][0]["kind"] == "popular"
    assert first["reasons"][0]["users"] > 0
    asked = ask(http, "/recommend", text="rocket planet star", count=3)
    assert all(one["reasons"][0]["kind"] == "asked" for one in asked)
    assert "rocket" in {word for one in asked for word in one["reasons"][0]["words"]}


def test_similar_items_share_topic_and_words(http: TestClient) -> None:
    found = ask(http, "/similar", item="kitchen-4", count=6)
    assert all(one["item"].startswith("kitchen") for one in found)
    assert "kitchen-4" not in {one["item"] for one in found}
    by_text = ask(http, "/similar", text="goal team ball", count=3)
    assert [one["reasons"][0]["kind"] for one in by_text] == ["asked"] * 3


@pytest.mark.parametrize(
    ("filter", "allowed"),
    [
        ({"topic": "sport"}, lambda item: item.startswith("sport")),
        ({"topic": ["sport", "kitchen"], "price": {"max": 4}}, lambda item: not item.startswith("space")),
        ({"price": {"min": 5, "max": 6}}, lambda item: item.endswith(("-5", "-6"))),
    ],
)
def test_a_filter_holds_for_every_answer(http: TestClient, filter: Any, allowed: Any) -> None:
    for path, wanted in (
        ("/recommend", {"user": "u0"}),
        ("/recommend", {}),
        ("/similar", {"item": "space-3"}),
    ):
        found = ask(http, path, **wanted, filter=filter, count=50)
        assert found
        assert all(allowed(one["item"]) for one in found)


@pytest.mark.parametrize(
    ("path", "wanted", "status", "said"),
    [
        ("/recommend", {"history": ["nothing"]}, 422, "unknown item 'nothing'"),
        ("/recommend", {"history": ["space-1"] * 6}, 413, "history: 6; at most 5"),
        ("/recommend", {"count": 101}, 413, "count: 101; at most 100"),
        ("/recommend", {"count": 0}, 422, "count"),
        ("/recommend", {"text": "a" * 101}, 413, "text: 101; at most 100"),
        ("/recommend", {"filter": {"colour": "red"}}, 422, "unknown column 'colour'.*price, topic"),
        ("/recommend", {"filter": {"topic": {"min": 1}}}, 422, "column of numbers"),
        ("/recommend", {"filter": {"topic": ["a"] * 4}}, 413, "filter: 4; at most 3"),
        ("/recommend", {"filter": {"price": "high"}}, 422, "'high' is no value of price, which has numbers"),
        ("/recommend", {"filter": {"price": ["007"]}}, 422, "'007' is no value of price"),
        ("/recommend", {"filter": {"topic": True}}, 422, "'True' is no value of topic, which has texts"),
        ("/recommend", {"users": "u1"}, 422, "users: extra inputs"),
        ("/similar", {}, 422, "either item or text"),
        ("/similar", {"item": "nothing"}, 422, "unknown item"),
    ],
)
def test_requests_that_cannot_be_answered_say_why(
    http: TestClient, path: str, wanted: dict[str, Any], status: int, said: str
) -> None:
    answer = http.post(path, json=wanted)
    assert answer.status_code == status, answer.text
    assert re.search(said, answer.json()["error"]), answer.text


def test_a_filter_has_the_type_of_its_column(folder: Path) -> None:
    built = load(folder)
    count = len(built.catalogue.ids)
    cells = {
        "stocked": ["True", "false", None],
        "code": ["007", "12", "0.5x"],
        "barcode": ["9007199254740993", "9007199254740992", ""],
        "year": [2001, "2002", 2003.0],
    }
    columns = {name: as_column((values * count)[:count]) for name, values in cells.items()}
    config = built.config.model_copy(update={"filters": tuple(cells)})
    save(replace(built, config=config, catalogue=replace(built.catalogue, columns=columns)), folder)
    with TestClient(create_app(LOAD, folder, RecommendServeConfig()), base_url="http://localhost") as http:
        for filter, places in (
            ({"stocked": True}, {0}),
            ({"stocked": "False"}, {1}),
            ({"code": "007"}, {0}),
            ({"code": 12}, {1}),
            ({"barcode": "9007199254740993"}, {0}),
            ({"year": "2001"}, {0}),
            ({"year": [2002, "2003"]}, {1, 2}),
        ):
            found = ask(http, "/recommend", filter=filter, count=100)
            assert {built.catalogue.ids.index(one["item"]) % 3 for one in found} == places
            assert len(found) == 30 * len(places)
        for name in ("stocked", "code"):
            assert http.post("/recommend", json={"filter": {name: {"min": 1}}}).status_code == 422


def test_a_text_is_read_by_the_encoder_of_the_latest_build(http: TestClient, folder: Path) -> None:
    assert len(ask(http, "/similar", text="goal team ball")) == 10
    built = load(folder)
    embeddings = encode(built.catalogue.texts, "embedded")
    assert embeddings.shape != built.embeddings.shape
    config = built.config.model_copy(update={"encoder": "embedded"})
    text_map = np.eye(embeddings.shape[1], dtype=np.float32)
    save(replace(built, config=config, embeddings=embeddings, text_map=text_map), folder)
    found = ask(http, "/similar", text="goal team ball", count=5)
    assert all(one["item"].startswith("sport") for one in found)
    without = replace(built.catalogue, texts=[""] * len(built.catalogue.ids))
    nothing = np.zeros((len(without.ids), 1), np.float32)
    config = config.model_copy(update={"encoder": "auto"})
    save(replace(built, config=config, catalogue=without, embeddings=nothing, text_map=nothing[:1]), folder)
    answer = http.post("/similar", json={"text": "goal team ball"})
    assert answer.status_code == 422
    assert "no item of this recommender has one" in answer.json()["error"]


def test_a_forgotten_user_is_new_to_the_running_service(http: TestClient, folder: Path) -> None:
    before = http.post("/recommend", json={"user": "u0", "count": 90})
    assert len(before.json()) == 78
    assert main(["recommend", "forget", str(folder), "u0"]) == 0
    after = http.post("/recommend", json={"user": "u0", "count": 90})
    assert len(after.json()) == 90
    assert after.headers["x-model-version"] != before.headers["x-model-version"]
    users = pd.read_parquet(folder / "interactions.parquet").user
    assert "u0" not in set(users) | set(users.cat.categories if hasattr(users, "cat") else ())
    assert users.nunique() == 89
    with pytest.raises(InputError, match="no interactions of a user 'u0'"):
        forget(folder, "u0")
    with pytest.raises(InputError, match="users were forgotten since the build"):
        evaluate(folder, quiet=True)


def test_while_the_folder_is_written_the_last_state_answers(http: TestClient, folder: Path) -> None:
    before = ask(http, "/recommend", user="u3")
    config = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    assert ask(http, "/recommend", user="u3") == before
    (folder / "config.json").write_text(config)
    assert ask(http, "/recommend", user="u3") == before


def test_old_interactions_are_left_out(tmp_path: Path, tiny_model: Path) -> None:
    items, log = write_files(tmp_path)
    frame = pd.read_csv(log)
    now = time.time()
    frame["time"] = [now - (100 if place % 12 == 0 else 1) * 86_400 - place for place in range(len(frame))]
    frame.to_csv(log, index=False)
    flags = {"items": items, "interactions": log, "output": str(tmp_path / "out"), "encoder": str(tiny_model)}
    record = build(load_config(["keep_days=30"], flags | SMALL), quiet=True).record
    assert record["counts"]["interactions"] == 90 * 11
    assert record["rejected"]["interactions"] == {"old": 90}
    frame["time"] *= 1000
    frame.to_csv(log, index=False)
    with pytest.raises(InputError, match="needs dates, or seconds since 1970"):
        build(load_config(["keep_days=30"], flags | SMALL), quiet=True)


def test_a_folder_without_a_recommender_is_not_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", "serve", str(tmp_path)]) == InputError.exit_code
    assert "no complete recommender" in capsys.readouterr().err


def test_the_file_for_a_cluster_has_the_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.parent / "serve.yaml"
    given = ["recommend", "serve", str(folder), "--replicas", "2", "max_count=7", "--write-config", str(file)]
    assert main(given) == 0
    assert "serve deploy" in capsys.readouterr().out
    assert json.dumps("react_ray.apps.recommend.service:load_service")[1:-1] in file.read_text()
    assert "max_count: 7" in file.read_text()


@pytest.mark.ray
def test_all_replicas_forget_a_user_at_once_and_one_that_is_killed_is_replaced(
    folder: Path, tmp_path: Path
) -> None:
    victims = Victims()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "react_ray.cli", "recommend", "serve", str(folder), "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)} | victims.environment
    with (
        (tmp_path / "err.txt").open("w") as err,
        subprocess.Popen(
            [*command, "--replicas", "2"], stdout=subprocess.PIPE, stderr=err, text=True, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Ready"), (tmp_path / "err.txt").read_text()
            url = f"http://127.0.0.1:{port}/recommend"
            assert {len(send(url, {"user": "u0", "count": 90})) for _ in range(10)} == {78}
            assert main(["recommend", "forget", str(folder), "u0"]) == 0
            assert {len(send(url, {"user": "u0", "count": 90})) for _ in range(10)} == {90}
            before = {user: send(url, {"user": user}) for user in ("u0", "u1", "u2")}
            with ThreadPoolExecutor(len(before)) as pool:
                asked = [pool.submit(send_often, url, user) for user in before]
                kill_replica(victims)
                for user, answers in zip(before, asked, strict=True):
                    assert answers.result() == [before[user]] * OFTEN, "an answer is missing or another one"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def kill_replica(victims: Victims) -> None:
    """Kill the first of the replicas, once they are at work."""
    time.sleep(0.3)
    replicas = [one for one in victims.of("replica") if ":application" in " ".join(one.cmdline())]
    assert len(replicas) == 2
    replicas[0].kill()


def send_often(url: str, user: str) -> list[list[dict[str, Any]]]:
    """Return the answers to the same request, each sent again until it is answered."""
    answers: list[list[dict[str, Any]]] = []
    deadline = time.monotonic() + 60
    while len(answers) < OFTEN and time.monotonic() < deadline:
        try:
            answers.append(send(url, {"user": user}))
        except (OSError, HTTPException) as error:
            if getattr(error, "code", 503) < 500:
                raise
            time.sleep(0.05)
    return answers


def send(url: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(wanted).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recommend", "mend"], "recommend mend cannot be submitted: expected one of build, evaluate"),
        (["recommend"], "recommend nothing cannot be submitted"),
        (["recommend", "build", "--items", "a", "--interactions", "b"], "--output (none): a relative path"),
        (["recommend", "evaluate", "out"], "out: a relative path is deleted with the job"),
        (["recommend", "build", "--output", "/a", "--address", "auto"], "a job uses its own cluster"),
    ],
)
def test_a_job_that_would_lose_its_result_is_not_submitted(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", *words]) == InputError.exit_code
    assert said in " ".join(capsys.readouterr().err.split())
