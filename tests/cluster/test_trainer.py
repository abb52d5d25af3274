from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from react_ray.cluster.session import Session
from react_ray.cluster.trainer import fit, lost_while_starting, placement_groups, remove_groups
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError, TrainingError
from react_ray.training.worker import Worker

TWO = ClusterConfig(workers=2, use_gpu=False, max_failures=0)
HERE = ClusterConfig(workers=0)
STEPS = 6


def sum_up(worker: Worker, *, start: float) -> None:
    """Adds rank + 1 of every worker in each step."""
    kept = worker.checkpoint()
    step, total = torch.load(kept / "state.pt") if kept else (0, start)
    while step < STEPS:
        part = torch.tensor(float(worker.rank + 1))
        if worker.world_size > 1:
            torch.distributed.all_reduce(part)
        total = worker.broadcast(total + float(part))
        step += 1
        worker.progress(step, STEPS, f"total {total}")
        worker.report({"total": total}, lambda folder: torch.save((step, total), folder / "state.pt"))  # noqa: B023


def fails(worker: Worker, *, message: str) -> None:
    if worker.rank == worker.world_size - 1:
        raise ValueError(message)
    worker.broadcast(None)


def stuck(worker: Worker) -> None:
    if worker.rank == 1:
        time.sleep(500)
    torch.distributed.all_reduce(torch.zeros(1))


def refuses(worker: Worker) -> None:
    raise InputError("the column 'text' is missing")


def result(checkpoint: Path) -> tuple[int, float]:
    return torch.load(checkpoint / "state.pt")


def test_in_this_process_without_ray(tmp_path: Path):
    import ray

    seen: list[Any] = []
    started = ray.is_initialized()
    last = fit(
        sum_up,
        {"start": 0.5},
        name="a",
        folder=tmp_path,
        session=Session(HERE),
        progress=lambda *p: seen.append(p),
    )
    assert result(last) == (STEPS, 0.5 + STEPS)
    assert seen[-1] == (STEPS, STEPS, "total 6.5")
    assert ray.is_initialized() == started


def test_names_are_runs_of_their_own(tmp_path: Path):
    fit(sum_up, {"start": 0.0}, name="a", folder=tmp_path, session=Session(HERE))
    again = fit(sum_up, {"start": 100.0}, name="a", folder=tmp_path, session=Session(HERE))
    other = fit(sum_up, {"start": 100.0}, name="b", folder=tmp_path, session=Session(HERE))
    assert (result(again)[1], result(other)[1]) == (6.0, 106.0)


def test_a_failure_in_this_process_shows_its_traceback(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"(?s)in fails.*ValueError: too warm") as caught:
        fit(fails, {"message": "too warm"}, name="a", folder=tmp_path, session=Session(HERE))
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match="the column 'text' is missing"):
        fit(refuses, {}, name="b", folder=tmp_path, session=Session(HERE))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_and_their_progress(tmp_path: Path):
    seen: list[Any] = []
    last = fit(
        sum_up,
        {"start": 0.5},
        name="a",
        folder=tmp_path,
        session=Session(TWO),
        progress=lambda *p: seen.append(p),
    )
    assert result(last) == (STEPS, 0.5 + 3 * STEPS)
    here = fit(sum_up, {"start": 0.5}, name="a", folder=tmp_path, session=Session(HERE))
    assert result(here) == (STEPS, 0.5 + STEPS), "a run of its own, not the one on Ray gone on with"
    assert seen[-1] == (STEPS, STEPS, f"total {0.5 + 3 * STEPS}")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_failing_worker_is_quoted(tmp_path: Path):
    with pytest.raises(TrainingError) as caught:
        fit(fails, {"message": "数据 too warm"}, name="a", folder=tmp_path, session=Session(TWO))
    text = str(caught.value)
    assert "worker 1 failed:\nTraceback" in text
    assert "in fails" in text
    assert "ValueError: 数据 too warm" in text
    assert "ray.exceptions" not in text
    logs = Path(text.rsplit("logs, on each node: ")[1])
    assert logs.is_dir()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_that_never_comes_ends_the_run(tmp_path: Path):
    cluster = ClusterConfig(workers=2, use_gpu=False, max_failures=0, timeout_s=10)
    with pytest.raises(TrainingError, match=r"(?si)worker 0 failed:.*timed out"):
        fit(stuck, {}, name="a", folder=tmp_path, session=Session(cluster))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("asked", "words"), [({"workers": 64}, "64 CPU"), ({"use_gpu": True}, "GPU")])
def test_resources_that_are_not_there_are_an_error_and_not_a_wait(
    tmp_path: Path, asked: dict[str, Any], words: str
):
    cluster = ClusterConfig(**{"workers": 2, "use_gpu": False, **asked})
    with pytest.raises(ClusterError, match=words):
        fit(sum_up, {"start": 0.0}, name="a", folder=tmp_path, session=Session(cluster))


def test_a_worker_lost_while_it_starts_is_told_from_other_ends(ray_cluster):
    import ray.exceptions
    import ray.train

    @ray.remote(num_cpus=0)
    class Dies:
        def now(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.RayActorError) as lost:
        ray.get(Dies.remote().now.remote())
    assert lost_while_starting(ray.train.ControllerError(lost.value))
    assert not lost_while_starting(ray.train.ControllerError(ValueError("no room")))
    assert not lost_while_starting(ray.train.WorkerGroupError("failed", {0: lost.value}))


def test_room_that_lost_workers_held_is_freed_and_that_of_others_is_not(ray_cluster):
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    other = placement_group([{"CPU": 1}])
    ray.get(other.ready())
    before = placement_groups()
    lost = placement_group([{"CPU": 1}])
    ray.get(lost.ready())
    assert placement_groups() - before == {lost.id.hex()}
    remove_groups(placement_groups() - before)
    assert placement_groups() == before == {other.id.hex()}
    remove_placement_group(other)
