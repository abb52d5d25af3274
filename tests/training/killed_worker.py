"""A worker that is killed once, for tests of runs that go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from react_ray.console.reporter import Progress
from react_ray.training.worker import Worker

__all__ = ["kill_once"]


def kill_once(worker: Worker, step: int, marker: str) -> None:
    """Kill the second worker when it reports ``step``, unless the file ``marker`` is there; then write it."""
    report: Progress = worker.progress

    def progress(done: int, total: int, note: str = "") -> None:
        report(done, total, note)
        if worker.rank == 1 and done == step and not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    worker.progress = progress  # type: ignore[method-assign]
