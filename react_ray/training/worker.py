"""Interface of training loops to their environment: rank, device, checkpoints, progress.

The loops in ``lgan`` and ``training`` are plain torch and use only a Worker. ``LocalWorker`` runs them in
this process, and ``cluster.trainer`` has the worker for Ray Train.
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
    "KEPT_CHECKPOINTS",
    "LocalWorker",
    "Worker",
    "average_gradients",
    "checkpoint_to_load",
    "save_checkpoint",
]

KEPT_CHECKPOINTS = 2
"""Number of checkpoints to keep; if the newest is damaged, training resumes from the one before."""
SIZES = "sizes.json"
"""Written last into a checkpoint, with the sizes of its other files."""

log = logging.getLogger(__name__)


class Worker(Protocol):
    """A process of a training run; all ranks must call ``report`` equally often."""

    rank: int
    world_size: int
    device: torch.device

    def checkpoint(self) -> Path | None:
        """Return the folder of the latest checkpoint to resume from, or None at the start."""

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        """Save a checkpoint by ``save(folder)``, called on rank 0 only; this is a barrier."""

    def broadcast(self, value: Any) -> Any:
        """Return the ``value`` of rank 0 (small, JSON-like) on every rank."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a step; only those of rank 0 are used."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Show the progress to the user; cheap enough to call in every step."""


class LocalWorker:
    """The only worker of a run in this process.

    ``folder`` has the latest checkpoints; each is created atomically, so that a kill while saving does not
    damage the previous one. ``on_report`` is called with the reported metrics and the checkpoint. ``start``
    is a checkpoint of another run to start from.
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
        """Return the newest checkpoint in ``folder``, or the one to start from."""
        checkpoints = sorted(self.folder.glob("checkpoint-*"))
        return checkpoints[-1] if checkpoints else self._start

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        """Write the next checkpoint, then delete old ones."""
        checkpoints = sorted(self.folder.glob("checkpoint-*"))
        number = int(checkpoints[-1].name.split("-")[1]) + 1 if checkpoints else 0
        temporary = self.folder / f"half-{number:06d}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_checkpoint(save, temporary)
        checkpoint = temporary.rename(self.folder / f"checkpoint-{number:06d}")
        for old in sorted(self.folder.glob("checkpoint-*"))[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old)
        if self._on_report:
            self._on_report(metrics, checkpoint)

    def broadcast(self, value: Any) -> Any:
        """Return the value itself, because there is one rank."""
        return value

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the metrics to the log of the constructor."""
        if self._log:
            self._log.add(step, values)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Call the callback of the constructor."""
        if self._progress:
            self._progress(done, total, note)


def save_checkpoint(save: Callable[[Path], None], folder: Path) -> None:
    """Write a checkpoint by ``save(folder)``, and record the sizes of its files."""
    save(folder)
    (folder / SIZES).write_text(json.dumps(_sizes(folder)), encoding="utf-8")


def checkpoint_to_load(worker: Worker) -> Path | None:
    """Return the worker's latest checkpoint that is complete; None if there is none.

    A failing disk can truncate the files of a complete checkpoint. Then training resumes from the one before,
    or starts again, with a warning. All ranks see the same files, so they choose the same checkpoint.
    """
    newest = worker.checkpoint()
    if newest is None:
        return None
    older = [folder for folder in newest.parent.glob("checkpoint*") if folder.name < newest.name]
    for folder in [newest, *sorted(older, reverse=True)]:
        if not (damaged := _damaged_files(folder)):
            return folder
        log.warning("the checkpoint %s cannot be used: %s truncated or missing", folder, ", ".join(damaged))
    log.warning("training starts again from the beginning")
    return None


def _damaged_files(checkpoint: Path) -> list[str]:
    """Return the files of a checkpoint whose size is not that of the saved file."""
    try:
        expected: dict[str, int] = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [SIZES]
    actual = _sizes(checkpoint)
    return [name for name, size in expected.items() if actual.get(name) != size]


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def average_gradients(parameters: Iterable[torch.nn.Parameter], worker: Worker) -> None:
    """Average gradients over all ranks in place, with one collective call.

    This is for networks of a few million parameters at most; the pretrained model uses
    DistributedDataParallel, which overlaps communication with the backward pass.
    """
    if worker.world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= worker.world_size
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
