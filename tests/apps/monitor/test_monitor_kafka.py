"""A topic of Kafka as the input of the monitor: the broker is librdkafka's own, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from tiny_opinions import make_items, run_and_kill, write_jsonl

from react_ray.apps.monitor import kafka
from react_ray.apps.monitor.query import Selection, texts
from react_ray.apps.monitor.run import load_config, run
from react_ray.apps.monitor.store import Store
from react_ray.cli import main
from react_ray.errors import ConfigError, InputError, ReactRayError


@pytest.fixture(scope="module")
def broker() -> Iterator[Producer]:
    """A producer with a cluster of one broker."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0, "message.max.bytes": 4 << 20})
    yield producer
    producer.flush(10)


@pytest.fixture(scope="module")
def server(broker: Producer) -> str:
    [found] = broker.list_topics(timeout=10).brokers.values()
    return f"{found.host}:{found.port}"


def send(broker: Producer, topic: str, messages: Iterable[Any], partition: int | None = None) -> None:
    """Send messages, with the time of an item where it has one; without ``partition`` by turns to two."""
    for number, message in enumerate(messages):
        known = isinstance(message, Mapping) and "time" in message
        value = json.dumps(message) if isinstance(message, Mapping) else message
        stamp = {"timestamp": int(kafka_time(message["time"]) * 1000)} if known else {}
        broker.produce(topic, value, partition=number % 2 if partition is None else partition, **stamp)
    assert broker.flush(10) == 0


def kafka_time(text: str) -> float:
    from react_ray.apps.monitor.items import parse_time

    return parse_time(text)


def follow(model: Path, input: str | Path, folder: Path, **settings: Any) -> Store:
    run(load_config((), {"sentiment": str(model), **settings}), input, folder, until_end=True, quiet=True)
    return Store(folder)


def closed(store: Store) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.rows("SELECT bucket, source, total, negative FROM closed")]


def ids(store: Store) -> list[str]:
    return sorted(one["id"] for one in texts(store, Selection(), 10_000))


def test_a_topic_is_read_as_a_file_and_goes_on_where_it_was(
    opinions: Path, broker: Producer, server: str, tmp_path: Path
) -> None:
    items = make_items(30, per_day=20)
    send(broker, "opinions", items[:300], 0)  # the second partition is half as old: order by time matters
    send(broker, "opinions", items[150:], 1)
    words = ["monitor", "run", "--sentiment", opinions, "--input", f"kafka://{server}/opinions", "--quiet"]
    words += ["--store", tmp_path / "store", "--until-end", "batch=20", "lateness_hours=0"]
    assert main([str(word) for word in words]) == 0
    store = Store(tmp_path / "store")
    assert ids(store) == sorted(item["id"] for item in items)
    path = write_jsonl(tmp_path / "in.jsonl", items)
    assert closed(store) == closed(follow(opinions, path, tmp_path / "file", lateness_hours=0))
    assert store.rows("SELECT sum(rows) FROM offsets")[0][0] == 300 + 450
    more = [{**item, "id": f"more-{item['id']}"} for item in items[-3:]]
    send(broker, "opinions", more)
    assert main([str(word) for word in words]) == 0
    assert len(ids(store)) == len(items) + 3
    assert store.rows("SELECT sum(rows) FROM offsets")[0][0] == 300 + 450 + 3, "read on, not again"


def test_a_killed_run_loses_and_doubles_no_message(
    opinions: Path, broker: Producer, server: str, tmp_path: Path
) -> None:
    items = make_items(20, per_day=10)
    for item in items:
        del item["id"]  # those of Kafka are used
    send(broker, "killed", items)
    run_and_kill(opinions, f"kafka://{server}/killed", tmp_path / "store", len(items), kills=3)
    store = Store(tmp_path / "store")
    assert ids(store) == sorted(f"killed/{number % 2}/{number // 2}" for number in range(len(items)))
    rows = store.rows("SELECT file, position FROM offsets WHERE position ORDER BY file")
    assert [(row["file"].rpartition("/")[2], row["position"]) for row in rows] == [
        ("killed-0", 100),
        ("killed-1", 100),
    ]


def test_bad_messages_are_set_aside_and_kafka_knows_the_time(
    opinions: Path, broker: Producer, server: str, tmp_path: Path
) -> None:
    broker.produce("bad", json.dumps({"post": "good"}), partition=0, timestamp=1_704_067_200_000)
    messages = ["{secret", "[1]", None, {"id": "x", "post": ""}, "{" + " " * (1 << 20) + "}"]
    send(broker, "bad", [*messages, {"id": "y", "post": "bad"}], 0)
    columns = {"text": "post"}
    store = follow(opinions, f"kafka://{server}/bad", tmp_path / "store", columns=columns)
    found = {one["id"]: one["time"] for one in texts(store, Selection(), 10)}
    assert found.keys() == {"bad/0/0", "y"}
    assert found["bad/0/0"].startswith("2024-01-01T00:00:00")
    rejected = store.rows("SELECT * FROM rejected ORDER BY row")
    assert {row["file"].rpartition("/")[2] for row in rejected} == {"bad-0"}
    assert [(row["row"], row["reason"].split(":")[0]) for row in rejected] == [
        (1, "not JSON"),
        (2, "not an object"),
        (4, "no text"),
        (5, "too long"),
    ]
    assert not any("secret" in row["reason"] for row in rejected)


@pytest.mark.parametrize(
    ("address", "properties", "error", "said"),
    [
        ("kafka://{server}", None, InputError, "expected brokers and a topic"),
        ("kafka://{server}/missing", None, InputError, "missing: .*Unknown topic"),
        ("kafka://127.0.0.1:1/opinions", None, InputError, "no broker answers"),
        ("kafka://{server}/bad", "# mine\ngroup", InputError, "line 2: expected name=value"),
        ("kafka://{server}/bad", "enable.auto.commit = true", ConfigError, "is set by the monitor"),
        ("kafka://{server}/bad", "colour=red", ConfigError, "No such configuration property"),
        ("in.jsonl", "client.id=me", InputError, "--kafka-config is for an input of Kafka"),
    ],
)
def test_what_is_wrong_is_said(
    opinions: Path,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    properties: str | None,
    error: type[ReactRayError],
    said: str,
) -> None:
    monkeypatch.setattr(kafka, "REACH_S", 1.0)
    file = None if properties is None else tmp_path / "kafka.properties"
    if file is not None:
        file.write_text(properties or "")
    config = load_config((), {"sentiment": str(opinions)})
    with pytest.raises(error, match=said):
        run(config, address.format(server=server), tmp_path / "store", quiet=True, kafka_config=file)


def test_the_extra_is_named_where_it_is_missing(
    opinions: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(InputError, match=r"pip install 'react-ray\[kafka\]'"):
        follow(opinions, f"kafka://{server}/opinions", tmp_path / "store")
