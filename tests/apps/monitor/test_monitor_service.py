"""The monitor over HTTP, in this process: items, trends, alerts, the webhook, metrics, forgetting."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tiny_opinions import make_items, write_jsonl

import react_ray
from react_ray.apps.monitor.days import expire
from react_ray.apps.monitor.outbox import deliver
from react_ray.apps.monitor.query import Selection, texts
from react_ray.apps.monitor.run import load_config, run
from react_ray.apps.monitor.settings import MonitorConfig, MonitorServeConfig
from react_ray.apps.monitor.store import Store, owner_of
from react_ray.cli import main
from react_ray.errors import InputError

LOAD, OWNER = "react_ray.apps.monitor.hosted:load", "react_ray.apps.monitor.hosted:open_service"


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "store"))


def open_monitor(folder: Path, **settings: Any) -> TestClient:
    app = react_ray.create_app(LOAD, folder, MonitorServeConfig(**settings), owner=OWNER)
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def http(folder: Path) -> Iterator[TestClient]:
    with open_monitor(folder, max_items=20) as client:
        yield client


def wait_for(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_items_are_stored_once_and_labelled(http: TestClient) -> None:
    items = [
        {"id": "a", "text": "bad", "source": "new", "time": "2024-03-02T10:00:00Z"},
        {"id": "b", "text": "good", "source": "new"},
        {"id": "c", "text": ""},
        {"id": "0-0", "text": "known"},
    ]
    found = http.post("/ingest", json={"items": items})
    assert found.status_code == 200
    assert found.json() == {
        "stored": 2,
        "known": 1,
        "rejected": [{"index": 2, "reason": "no text: the cell is blank"}],
    }
    assert http.post("/ingest", json={"items": items[:2]}).json()["stored"] == 0
    labelled = wait_for(lambda: len(got := http.get("/texts?source=new").json()) == 2 and got)
    assert {one["id"]: one["sentiment"] for one in labelled} == {"a": "negative", "b": "positive"}
    trend = http.get("/trends?source=new&end=2024-03-03").json()
    [bucket] = trend["buckets"]
    assert (bucket["start"], bucket["labels"]["negative"]["count"]) == ("2024-03-02T00:00:00Z", 1)
    hours = http.get("/trends?source=new&end=2024-03-03&bucket=hour").json()["buckets"]
    assert [one["start"] for one in hours] == ["2024-03-02T10:00:00Z"]


def test_a_row_that_cannot_be_used_leaves_the_others_of_its_request(http: TestClient) -> None:
    items = [{"id": "huge", "text": "bad", "time": 10**400}, {"id": "fine", "text": "bad"}]
    answer = http.post("/ingest", json={"items": items}).json()
    assert answer["stored"] == 1
    assert [(row["index"], row["reason"].partition(":")[0]) for row in answer["rejected"]] == [
        (0, "not a time")
    ]


def test_labelling_goes_on_after_an_error_of_the_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_ray.apps.monitor.service.RETRY_S", 0.1)
    store = Store(folder)
    with store.transaction() as base:
        base.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON items BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with open_monitor(folder) as client:
        client.post("/ingest", json={"items": [{"id": "waits", "text": "bad"}]})
        wait_for(lambda: client.get("/readyz").status_code == 503)
        with store.transaction() as base:
            base.execute("DROP TRIGGER full")
        wait_for(lambda: client.get("/texts?limit=1").json()[0]["id"] == "waits")
        wait_for(lambda: client.get("/readyz").status_code == 200)


def test_a_model_is_found_from_another_working_folder(
    opinions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(opinions.parent)
    path = write_jsonl(tmp_path / "in.jsonl", make_items(1))
    config = load_config((), {"sentiment": opinions.name})
    run(config, path, tmp_path / "store", until_end=True, quiet=True)
    monkeypatch.chdir(tmp_path)
    with open_monitor(tmp_path / "store") as client:
        client.post("/ingest", json={"items": [{"id": "new", "text": "bad"}]})
        wait_for(lambda: client.get("/texts?limit=1").json()[0]["id"] == "new")


def test_what_was_acknowledged_is_there_after_a_restart(folder: Path) -> None:
    with owner_of(folder), open_monitor(folder) as client:  # nobody labels
        assert client.post("/ingest", json={"items": [{"id": "kept", "text": "bad"}]}).json()["stored"] == 1
    with open_monitor(folder) as client:
        wait_for(lambda: client.get("/texts?limit=1").json()[0]["id"] == "kept")


def test_limits_and_mistakes_have_answers(http: TestClient) -> None:
    too_many = {"items": [{"id": str(number), "text": "good"} for number in range(21)]}
    assert http.post("/ingest", json=too_many).status_code == 413
    assert http.post("/ingest", json={"items": []}).status_code == 422
    assert http.post("/ingest", json={"items": ["text"]}).status_code == 422
    assert http.get("/trends?bucket=year").status_code == 422
    answer = http.get("/trends?start=yesterday")
    assert answer.status_code == 422
    assert "not a time" in answer.json()["error"]
    assert http.get("/alerts?limit=0").status_code == 422
    big = {"items": [{"id": "x", "text": "a" * (1 << 20)}]}
    assert http.post("/ingest", json=big).status_code == 413


def test_alerts_come_with_the_texts_behind_them(http: TestClient) -> None:
    found = http.get("/alerts").json()
    surges = [one for one in found if one["kind"] == "surge" and one["start"] >= "2024-02-24"]
    assert {one["source"] for one in surges} >= {"forum"}
    [surge] = [one for one in surges if one["source"] == "forum"]
    assert surge["start"] <= "2024-02-26T00:00:00Z"
    assert surge["count"] > surge["expected"]
    assert len(surge["texts"]) == 10
    assert all(one["source"] == "forum" and one["sentiment"] == "negative" for one in surge["texts"])
    assert http.get("/alerts?before=2024-02-01").json() == [
        one for one in found if one["start"] < "2024-02-01"
    ]


def test_metrics_readiness_keys_and_page(folder: Path, tmp_path: Path) -> None:
    with open_monitor(folder) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        client.post("/ingest", json={"items": [{"id": "m", "text": "good"}, {"id": "0-0", "text": "good"}]})
        text = client.get("/metrics").text
        assert 'react_ray_monitor_items_total{replica="local",result="known"} 1.0' in text
        assert "react_ray_monitor_items_stored" in text
        assert "<title>Opinion monitoring</title>" in client.get("/").text
    from react_ray.serve.limits.keys import add_key

    key = add_key("reader", tmp_path / "keys")
    with open_monitor(folder, api_keys=str(tmp_path / "keys")) as client:
        assert client.get("/alerts").status_code == 401
        assert client.get("/alerts", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_no_text_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with open_monitor(folder) as client:
        client.post("/ingest", json={"items": [{"id": "s", "text": "verysecret"}, {"text": "verysecret"}]})
        wait_for(lambda: client.get("/texts?limit=1").json()[0]["id"] == "s")
    assert "verysecret" not in caplog.text


class Receiver(HTTPServer):
    """A webhook that fails as often as it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.failures, self.got = 0, list[tuple[str, dict[str, Any]]]()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.headers["Idempotency-Key"], body))
        self.server.failures -= 1
        self.send_response(500 if self.server.failures >= 0 else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_alerts_are_sent_until_they_are_received(folder: Path, opinions: Path) -> None:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        store = Store(folder)
        count = store.rows("SELECT count(*) FROM alerts")[0][0]
        config = MonitorConfig(sentiment="x", webhook=f"http://127.0.0.1:{server.server_port}/hook")
        server.failures = 1
        assert deliver(store, config, "negative", now=0.0) == 0
        assert deliver(store, config, "negative", now=1.0) == min(count - 1, 5), "the first one waits"
        now = 5.0
        while deliver(store, config, "negative", now=now):
            now += 1
        ids = [identity for identity, _ in server.got]
        assert ids[0] in ids[1:], "sent again"
        assert sorted(set(ids)) == sorted(row["id"] for row in store.rows("SELECT id FROM alerts"))
        assert len(ids) == count + 1
        assert all(body["id"] == identity and body["texts"] for identity, body in server.got)
        assert deliver(store, config, "negative", now=1e9) == 0
    finally:
        server.shutdown()
        server.server_close()
    store.put("again", 1)
    with store.transaction() as base:
        base.execute("UPDATE alerts SET sent = 0, next_try = 0")
    assert deliver(store, config, "negative", now=0.0) == 0, "nobody listens"
    store.close()
    config = config.model_copy(update={"sentiment": str(opinions)})
    result = run(config, write_jsonl(folder / "none.jsonl", []), folder, until_end=True, quiet=True)
    assert f"not received by the webhook: {count}; the next run or serve sends them" in result.summary()


def test_what_is_forgotten_is_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_monitor(folder) as client:  # also while it is served
        client.post(
            "/ingest", json={"items": [{"id": "one", "text": "zebra bad", "time": "2024-02-27T12:30:00Z"}]}
        )
        wait_for(lambda: any(one["id"] == "one" for one in client.get("/texts?start=2024-02-27").json()))
        assert main(["monitor", "forget", str(folder), "--id", "one"]) == 0
        assert capsys.readouterr().out == "deleted items: 1\n"
        assert main(["monitor", "forget", str(folder), "--source", "forum"]) == 0
        assert client.get("/texts?source=forum").json() == []
        assert all(text["source"] != "forum" for one in client.get("/alerts").json() for text in one["texts"])
        assert client.post("/ingest", json={"items": [{"id": "one", "text": "zebra"}]}).json()["known"] == 1
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if b"zebra" in path.read_bytes()]
    assert main(["monitor", "forget", str(folder)]) == InputError.exit_code
    assert main(["monitor", "forget", str(folder / "nowhere"), "--id", "x"]) == InputError.exit_code


def test_texts_expire_by_their_time(folder: Path) -> None:
    store = Store(folder)
    everything = texts(store, Selection(), 10_000)
    deleted = expire(store, 1_706_745_600 + 43_200)  # noon of 1 February
    left = texts(store, Selection(), 10_000)
    assert deleted == len(everything) - len(left)
    assert min(one["time"] for one in left) == "2024-02-02T00:00:00Z"
    assert list(folder.glob("items/day=2024-01-*/*.parquet")) == []


def test_retention_rejects_what_is_too_old(opinions: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", make_items(2))
    config = load_config((), {"sentiment": str(opinions), "retention_days": 30})
    run(config, path, tmp_path / "store", until_end=True, quiet=True)
    store = Store(tmp_path / "store")
    assert texts(store, Selection()) == []
    assert {row["reason"].split(":")[0] for row in store.rows("SELECT reason FROM rejected")} == {"expired"}


def test_a_service_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store there; begin one with react-ray monitor run"):
        open_monitor(tmp_path)


def test_a_replica_needs_no_torch() -> None:
    code = "import sys, react_ray.apps.monitor.hosted; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
