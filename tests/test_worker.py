from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from react_ray.worker import LocalWorker, checkpoint_to_load, pick_device


def write(text: str):
    return lambda folder: (folder / "state").write_text(text)


def test_only_the_latest_checkpoint_is_kept(tmp_path: Path):
    worker = LocalWorker(tmp_path / "run")
    assert worker.checkpoint() is None
    for number in range(12):
        worker.report({}, write(str(number)))
    kept = worker.checkpoint()
    assert kept is not None
    assert (kept / "state").read_text() == "11"
    assert list((tmp_path / "run").iterdir()) == [kept]


def test_a_checkpoint_cut_short_is_never_seen(tmp_path: Path):
    worker = LocalWorker(tmp_path)
    worker.report({}, write("whole"))

    def dies(folder: Path) -> None:
        write("half")(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.report({}, dies)
    again = LocalWorker(tmp_path)
    kept = again.checkpoint()
    assert kept is not None
    assert (kept / "state").read_text() == "whole"
    again.report({}, write("next"))
    assert [(f / "state").read_text() for f in tmp_path.iterdir()] == ["next"]


def test_leftovers_of_a_kill_between_saving_and_deleting_go(tmp_path: Path):
    worker = LocalWorker(tmp_path)
    worker.report({}, write("old"))
    (tmp_path / "checkpoint-000001").mkdir()  # saved, but the older one was not yet deleted
    worker.report({}, write("new"))
    assert [f.name for f in tmp_path.iterdir()] == ["checkpoint-000002"]


@pytest.mark.parametrize("cut", ["weights.safetensors", "state.json"])
def test_a_checkpoint_that_a_disk_cut_short_is_passed_over_and_named(
    cut: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def save(folder: Path) -> None:
        save_file({"weights": torch.ones(100)}, folder / "weights.safetensors")
        (folder / "state.json").write_text('{"step": 3}')

    worker = LocalWorker(tmp_path)
    assert checkpoint_to_load(worker) is None
    worker.report({}, save)
    whole = checkpoint_to_load(worker)
    assert whole == worker.checkpoint()
    assert whole is not None
    assert not caplog.records
    path = whole / cut
    path.write_bytes(path.read_bytes()[:-3])
    assert checkpoint_to_load(worker) is None
    assert str(path) in caplog.text


def test_without_a_gpu_asked_for_it_is_the_cpu():
    assert pick_device(use_gpu=False) == torch.device("cpu")
