from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event

from react_ray.training.log import TrainingLog


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder: Path, count: int) -> list[Event]:
    """What TensorBoard would read: records of length, checksum, content, checksum.

    A thread writes them: they are there a moment later.
    """
    deadline = time.monotonic() + 60
    while len(found := read_events(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def read_events(folder: Path) -> list[Event]:
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content, at = file.read_bytes(), 0
        while at + 8 <= len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            if at + 12 + length + 4 > len(content):
                break
            found.append(Event.FromString(content[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return found


def test_figures_are_kept_as_json_and_for_tensorboard(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path)
    log.add(10, {"loss": 0.5, "lr": 1e-4})
    log.add(20, {"loss": float("nan")})
    assert lines(tmp_path) == [{"step": 10, "loss": 0.5, "lr": 1e-4}, {"step": 20, "loss": None}]
    told = [(event.step, value.tag) for event in events(tmp_path, 4) for value in event.summary.value]
    assert told == [(10, "loss"), (10, "lr"), (20, "loss")]


def test_a_run_that_goes_on_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    killed = TrainingLog(tmp_path)
    for step in (10, 20, 30):
        killed.add(step, {"loss": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    again = TrainingLog(tmp_path)
    again.add(20, {"loss": 2})
    assert lines(tmp_path) == [{"step": 10, "loss": 10}, {"step": 20, "loss": 2}]
    # TensorBoard drops what stands at and after the step of such a mark
    told = events(tmp_path, 7)  # a file's first event is its version
    marks = [event.step for event in told if event.session_log.status == event.session_log.START]
    assert marks == [20]


def test_a_run_that_starts_anew_starts_its_figures_anew(tmp_path: Path) -> None:
    TrainingLog(tmp_path).add(10, {"loss": 1.0})
    TrainingLog(tmp_path).add(10, {"loss": 2.0})
    assert lines(tmp_path) == [{"step": 10, "loss": 2.0}]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
