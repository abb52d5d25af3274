from __future__ import annotations

from pathlib import Path

import pytest
import torch

from react_ray.worker import LocalWorker, pick_device


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


def test_without_a_gpu_asked_for_it_is_the_cpu():
    assert pick_device(use_gpu=False) == torch.device("cpu")
