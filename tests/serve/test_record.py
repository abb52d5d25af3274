"""What was asked and answered, on disk; and what happens when the disk will not."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from service_client import Client
from tiny_service import talk
from word_costs import AllRelated

from react_ray.config.service import ServeConfig
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.service import Service
from react_ray.serve.watch import record
from react_ray.serve.watch.record import Recorder


def fill(recorder: Recorder, count: int) -> None:
    for number in range(count):
        recorder.add(f"id-{number}", [f"text {number} 股市"], "sport", 0.75, number)


def rows(folder: Path) -> list[dict]:
    return ds.dataset(folder, format="parquet", partitioning="hive").to_table().to_pylist()


def dropped(recorder: Recorder) -> float:
    return next(f.samples[0].value for f in recorder.collect() if f.name == "react_ray_record_dropped")


@pytest.mark.parametrize("with_text", [False, True])
def test_rows_are_written_by_day_and_texts_only_when_asked_for(tmp_path: Path, with_text: bool) -> None:
    recorder = Recorder(tmp_path, with_text)
    fill(recorder, 3)
    recorder.close()
    (file,) = tmp_path.glob("date=20??-??-??/part-*-0.parquet")
    written = pq.read_table(file, partitioning=None).to_pylist()
    columns = ["time", "request_id", "text_sha256", "label", "score", "tokens"]
    assert list(written[0]) == columns + ["text"] * with_text
    assert [row["request_id"] for row in written] == ["id-0", "id-1", "id-2"]
    assert (written[2]["label"], written[2]["score"], written[2]["tokens"]) == ("sport", 0.75, 2)
    assert written[2]["text_sha256"] == hashlib.sha256("text 2 股市".encode()).hexdigest()
    assert str(written[0]["time"].date()) == file.parent.name.removeprefix("date=")
    assert written[0]["time"].utcoffset().total_seconds() == 0
    assert (b"\xe8\x82\xa1" in b"".join(str(row).encode() for row in written)) == with_text
    assert dropped(recorder) == 0


def test_files_come_when_it_is_time_and_when_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Recorder(tmp_path / "quick", False, write_every_s=0.05)
    fill(quick, 2)
    monkeypatch.setattr(record, "FLUSH_ROWS", 10)
    many = Recorder(tmp_path / "many", False)
    fill(many, 10)
    deadline = time.monotonic() + 10
    while not all(list((tmp_path / name).rglob("*.parquet")) for name in ("quick", "many")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    fill(quick, 1)
    quick.close()
    many.close()
    assert len(rows(tmp_path / "quick")) == 3
    assert len(rows(tmp_path / "many")) == 10
    assert not list(tmp_path.rglob("*.half"))


def test_replicas_and_restarts_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for _ in range(3):
        recorder = Recorder(tmp_path, False)
        fill(recorder, 2)
        recorder.close()
    assert len(rows(tmp_path)) == 6


def test_a_disk_that_refuses_is_logged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file", False, write_every_s=0.02)
    fill(recorder, 3)
    deadline = time.monotonic() + 10
    while dropped(recorder) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert dropped(recorder) == 3
    assert "3 texts could not be recorded" in caplog.text
    (tmp_path / "file").unlink()
    fill(recorder, 2)
    recorder.close()
    assert len(rows(tmp_path / "file")) == 2


def test_a_slow_disk_costs_rows_and_not_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(record, "FLUSH_ROWS", 10)
    monkeypatch.setattr(record, "MOST_ROWS", 30)
    write = pq.write_table
    monkeypatch.setattr(record.pq, "write_table", lambda *a, **k: (gate.wait(10), write(*a, **k)))
    recorder = Recorder(tmp_path, False)
    fill(recorder, 100)
    time.sleep(0.1)
    assert dropped(recorder) == 70
    started = time.monotonic()
    recorder.close(within_s=0.1)
    assert time.monotonic() - started < 5
    gate.set()
    recorder.close()
    assert len(rows(tmp_path)) == 30


def test_pairs_of_entities_of_one_text_are_told_apart(tmp_path: Path) -> None:
    config = ServeConfig(record=str(tmp_path), record_texts=True)
    service = Service(Engine(AllRelated()), config, About("1", None, "none"))
    one, other = "<e1>Ada</e1> met <e2>Bob</e2> again", "Ada met <e2>Bob</e2> <e1>again</e1>"
    places = {"text": "Ada met Bob again", "e1": [0, 3], "e2": [8, 11]}
    talk(service, ("/predict", {"inputs": [one, other, places]}))
    service.close()
    first, second, third = rows(tmp_path)
    assert [row["text"] for row in (first, second, third)] == [one, other, one]
    assert first["text_sha256"] == third["text_sha256"] != second["text_sha256"]


def test_both_texts_of_a_pair_are_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, True, names=["text", "text_pair"])
    recorder.add("1", ["a\nb", "c"], "same", 0.9, 7)
    recorder.add("2", ["a", "b\nc"], "same", 0.9, 7)
    recorder.close()
    first, second = rows(tmp_path)
    assert (first["text"], first["text_pair"]) == ("a\nb", "c")
    assert first["text_sha256"] != second["text_sha256"]
    assert first["text_pair_sha256"] == hashlib.sha256(b"c").hexdigest()


@pytest.mark.ray
def test_the_service_records_what_it_answers_and_writes_the_rest_when_it_stops(
    client: Client, classifier_folder: Path, tmp_path: Path
) -> None:
    from ray import serve

    from react_ray.serve.app import build

    settings = {"model": str(classifier_folder), "record": str(tmp_path), "cpus_per_replica": 1}
    serve.run(build(settings), name="recorded", route_prefix="/recorded")
    try:
        answers = {}
        for number in range(5):
            body = json.dumps({"inputs": [f"text {number}", "again"]}).encode()
            headers = {"Content-Type": "application/json", "X-Request-Id": f"n{number}"}
            answers[f"n{number}"] = client.send("POST", "/recorded/predict", body, headers).json
    finally:
        serve.delete("recorded")
    found = rows(tmp_path)
    assert len(found) == 10
    assert "text" not in found[0]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.parquet")} == {0o600}
    for row in found:
        again = row["text_sha256"] == hashlib.sha256(b"again").hexdigest()
        best = answers[row["request_id"]][again][0]
        assert (row["label"], row["score"]) == (best["label"], pytest.approx(best["score"], abs=1e-6))
        assert row["tokens"] > 2
