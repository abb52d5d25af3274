"""Training on several ranks with gloo, without Ray: processes that a warm server forks off."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

WAIT_S = 60
"""A rank that waits longer for another fails: a hang is an error and not a wait."""
_START = multiprocessing.get_context("forkserver")


class GlooWorker(LocalWorker):
    """One of several ranks on this machine."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.rank, self.world_size = distributed.get_rank(), distributed.get_world_size()
        self.device = torch.device("cpu")

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        if self.rank == 0:
            super().report(metrics, save)
        distributed.barrier()

    def broadcast(self, value: Any) -> Any:
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]


def train_on(
    ranks: int, folder: Path, settings: dict[str, Any], dies_at: int | None = None, each: Any = None
) -> Path | None:
    """The last checkpoint of ``loop`` on so many ranks; with ``dies_at``, what a kill there leaves.

    ``each`` is called as ``each(worker)`` on every rank in place of the loop.
    """
    _START.set_forkserver_preload(["react_ray.training", "torch.distributed.fsdp", "ranks"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meet").unlink(missing_ok=True)
    started = [
        _START.Process(target=_run, args=(rank, ranks, folder, settings, dies_at, each))
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    ends = [process.exitcode for process in started]
    reasons = [path.read_text() for path in sorted(folder.glob("failed-*"))]
    assert dies_at is not None or ends == [0] * ranks, (ends, *reasons)
    return LocalWorker(folder / "checkpoints").checkpoint()


def _run(
    rank: int, ranks: int, folder: Path, settings: dict[str, Any], dies_at: int | None, each: Any
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meet'}",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=WAIT_S),
    )
    worker = GlooWorker(folder / "checkpoints")

    def progress(done: int, total: int, note: str = "") -> None:
        if done == dies_at:
            os._exit(9)

    worker.progress = progress  # type: ignore[method-assign]
    try:
        loop(worker, **settings) if each is None else each(worker)
    except BaseException:
        (folder / f"failed-{rank}").write_text(traceback.format_exc())
        os._exit(1)  # the other ranks would wait for this one at the door
    distributed.destroy_process_group()
