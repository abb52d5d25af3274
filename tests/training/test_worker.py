from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from react_ray.models.device import pick_device
from react_ray.training.worker import LocalWorker, checkpoint_to_load


def write(text: str):
    return lambda folder: (folder / "state").write_text(text)


def states(folder: Path) -> list[str]:
    """What the checkpoints in a folder hold, oldest first."""
    return [(kept / "state").read_text() for kept in sorted(folder.iterdir())]


def test_the_latest_two_checkpoints_are_kept(tmp_path: Path):
    worker = LocalWorker(tmp_path)
    assert worker.checkpoint() is None
    for number in range(12):
        worker.report({}, write(str(number)))
    kept = worker.checkpoint()
    assert kept is not None
    assert (kept / "state").read_text() == "11"
    assert states(tmp_path) == ["10", "11"]


def test_a_checkpoint_that_a_kill_cut_short_is_never_seen(tmp_path: Path):
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
    assert states(tmp_path) == ["whole", "next"]


def test_leftovers_of_a_kill_between_saving_and_deleting_go(tmp_path: Path):
    worker = LocalWorker(tmp_path)
    for content in ("old", "older than one", "new"):
        worker.report({}, write(content))
    (tmp_path / "checkpoint-000000").mkdir()  # not yet deleted when the kill came
    worker.report({}, write("newest"))
    assert states(tmp_path) == ["new", "newest"]


@pytest.mark.parametrize("cut", ["weights.safetensors", "state.json", "state.pt", "sizes.json"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_checkpoint_that_a_disk_cut_short_is_passed_over_for_the_one_before(
    cut: str, gone: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def save(folder: Path) -> None:
        save_file({"weights": torch.ones(100)}, folder / "weights.safetensors")
        (folder / "state.json").write_text('{"step": 3}')
        torch.save({"step": 3}, folder / "state.pt")

    worker = LocalWorker(tmp_path)
    assert checkpoint_to_load(worker) is None
    worker.report({}, save)
    first = checkpoint_to_load(worker)
    worker.report({}, save)
    newest = checkpoint_to_load(worker)
    assert newest == worker.checkpoint() != first
    assert not caplog.records
    for checkpoint, left in ((newest, first), (first, None)):
        assert checkpoint is not None
        damage(checkpoint / cut, gone)
        assert checkpoint_to_load(worker) == left
        assert str(checkpoint) in caplog.text
        assert cut in caplog.text
    assert "starts again from the beginning" in caplog.text


def damage(path: Path, gone: bool) -> None:
    """Cut a file short, or delete it."""
    if gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])


def test_without_a_gpu_asked_for_it_is_the_cpu():
    assert pick_device(use_gpu=False) == torch.device("cpu")
