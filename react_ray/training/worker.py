"""What a training loop sees of the world: its rank, its device, its checkpoints.

The loops in ``lgan`` and ``finetune`` are plain torch and talk to a Worker only.
``LocalWorker`` runs them in this process; ``cluster.trainer`` gives the Ray Train one.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from react_ray.console.reporter import Progress
from react_ray.models.device import pick_device
from react_ray.training.log import TrainingLog

__all__ = [
    "KEPT",
    "LocalWorker",
    "Worker",
    "average_gradients",
    "checkpoint_to_load",
    "save_checkpoint",
]

KEPT = 2
"""Checkpoints: where a file of the newest is cut short, training goes on from the one before."""
SIZES = "sizes.json"
"""Written last into a checkpoint: the bytes of each of its other files."""

log = logging.getLogger(__name__)


class Worker(Protocol):
    """One process of a training run; every rank must call ``report`` equally often."""

    rank: int
    world_size: int
    device: torch.device

    def checkpoint(self) -> Path | None:
        """Folder of the latest checkpoint to go on from, or None at the start."""

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        """Keep a checkpoint: ``save(folder)`` is called on rank 0 only. A barrier."""

    def broadcast(self, value: Any) -> Any:
        """Rank 0's ``value`` (small, JSON-like) on every rank."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keep figures of a step for charts; only rank 0's are kept."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Tell the user how far this is; cheap enough to call every step."""


class LocalWorker:
    """The only worker of a run in this process.

    ``folder`` keeps the latest KEPT checkpoints; a new one is there in one step, so a
    process killed while saving leaves the previous one whole. ``on_report`` gets what
    the loop reports, and the checkpoint; ``start`` is one of another run to go on from.
    """

    rank = 0
    world_size = 1

    def __init__(
        self,
        folder: Path,
        progress: Progress | None = None,
        use_gpu: bool = False,
        on_report: Callable[[dict[str, Any], Path], None] | None = None,
        start: Path | None = None,
        log: TrainingLog | None = None,
    ):
        self.folder = folder
        self.device = pick_device(use_gpu)
        self._progress = progress
        self._on_report, self._start = on_report, start
        self._log = log

    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint in ``folder``, or the one to start from."""
        kept = sorted(self.folder.glob("checkpoint-*"))
        return kept[-1] if kept else self._start

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        """Write the next checkpoint, then drop the oldest."""
        kept = sorted(self.folder.glob("checkpoint-*"))
        number = int(kept[-1].name.split("-")[1]) + 1 if kept else 0
        half = self.folder / f"half-{number:06d}"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        save_checkpoint(save, half)
        new = half.rename(self.folder / f"checkpoint-{number:06d}")
        for other in sorted(self.folder.glob("checkpoint-*"))[:-KEPT]:
            shutil.rmtree(other)
        if self._on_report:
            self._on_report(metrics, new)

    def broadcast(self, value: Any) -> Any:
        """The value itself: there is one rank."""
        return value

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Into the log given at construction."""
        if self._log:
            self._log.add(step, values)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Hand on to the callback given at construction."""
        if self._progress:
            self._progress(done, total, note)


def save_checkpoint(save: Callable[[Path], None], folder: Path) -> None:
    """Have ``save`` fill ``folder``, and note how large the files are."""
    save(folder)
    (folder / SIZES).write_text(json.dumps(_sizes(folder)), encoding="utf-8")


def checkpoint_to_load(worker: Worker) -> Path | None:
    """The worker's latest checkpoint whose files are all there in full length; None where there is none.

    A disk that failed can cut files of a checkpoint that once was whole. Training then goes on from
    the one before, or starts again, which is logged. All ranks see the same files, so they choose the same.
    """
    newest = worker.checkpoint()
    if newest is None:
        return None
    older = [folder for folder in newest.parent.glob("checkpoint*") if folder.name < newest.name]
    for folder in [newest, *sorted(older, reverse=True)]:
        if not (lost := _lost(folder)):
            return folder
        log.warning("the checkpoint %s cannot be read: %s cut short or missing", folder, ", ".join(lost))
    log.warning("training starts again from the beginning")
    return None


def _lost(checkpoint: Path) -> list[str]:
    """Files of a checkpoint that are not what was saved."""
    try:
        noted: dict[str, int] = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [SIZES]
    there = _sizes(checkpoint)
    return [name for name, size in noted.items() if there.get(name) != size]


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def average_gradients(parameters: Iterable[torch.nn.Parameter], worker: Worker) -> None:
    """Average gradients over all ranks with one collective call, in place.

    For networks of a few million parameters at most; the pretrained model goes
    through DistributedDataParallel, which overlaps this with the backward pass.
    """
    if worker.world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= worker.world_size
    start = 0
    for g in gradients:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()
