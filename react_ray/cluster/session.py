"""The connection to Ray: started when first needed, ended with the run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from react_ray.config import ClusterConfig
from react_ray.errors import ClusterError

__all__ = ["Session"]


class Session:
    """Ray for one run; nothing is started before :meth:`start`.

    Without an address (given, or in RAY_ADDRESS, as in a submitted job) small work
    stays in this process and Ray starts on this machine for large work only.
    """

    alone = False
    on_report: Callable[[dict[str, Any], Path], None] | None = None  # these two: see LocalWorker
    start_from: Path | None = None

    def __init__(self, cluster: ClusterConfig, verbose: bool = False):
        self.cluster = cluster
        self.verbose = verbose
        self.address = cluster.address or os.environ.get("RAY_ADDRESS")
        self._started = False

    @classmethod
    def of_trial(
        cls,
        cluster: ClusterConfig,
        on_report: Callable[[dict[str, Any], Path], None],
        start_from: Path | None = None,
    ) -> Session:
        """All work in this process, which is a Ray worker with resources of its own."""
        alone = cls(cluster.model_copy(update={"workers": 0}))
        alone.address, alone.alone = None, True
        alone.on_report, alone.start_from = on_report, start_from
        return alone

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            import ray

            ray.shutdown()

    def in_process(self, rows: int) -> bool:
        """Whether work on ``rows`` rows is too small to be worth Ray's start."""
        return self.alone or (self.address is None and rows <= self.cluster.local_rows)

    def start(self) -> None:
        """Connect to the cluster, or start Ray here; ClusterError when it cannot be reached."""
        import ray

        if ray.is_initialized():
            return
        if not self.verbose:  # the C++ part writes to standard error past Python's logging
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        level = logging.INFO if self.verbose else logging.ERROR
        try:
            ray.init(
                address=self.address or "local",  # not whatever cluster happens to run on this machine
                include_dashboard=None if self.address else False,
                log_to_driver=self.verbose,
                logging_level=level,
                configure_logging=True,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"no Ray cluster at {self.address!r}: {error}\n"
                "Check that it runs (ray status), the address (host:6379 or ray://host:10001), "
                "and, where the cluster asks for a token, RAY_AUTH_MODE=token with RAY_AUTH_TOKEN."
            ) from error
        self._started = True

    def use_gpu(self) -> bool:
        """Whether work should run on GPUs: as configured, else if there is one."""
        if self.cluster.use_gpu != "auto":
            return self.cluster.use_gpu
        return self.gpus() > 0

    def gpus(self) -> int:
        """GPUs in the cluster, or on this machine while Ray is not started."""
        if self.address is not None:
            self.start()
            import ray

            return int(ray.cluster_resources().get("GPU", 0))
        import torch

        return torch.cuda.device_count()

    def workers(self) -> tuple[int, int]:
        """Least and most training workers: as configured, else one for each GPU, else this process (0)."""
        asked = self.cluster.workers
        if isinstance(asked, tuple):
            return asked
        if isinstance(asked, int):
            return asked, asked
        gpus = self.gpus() if self.use_gpu() else 0
        count = max(gpus, 1) if gpus > 1 or self.address is not None else 0
        return count, count

    def check_resources(self) -> None:
        """Start Ray if training needs it; ClusterError when it lacks what training asks for."""
        workers, _ = self.workers()  # a range needs its least to start
        if workers == 0:
            return
        self.start()
        import ray

        there = ray.cluster_resources()
        asked = {"CPU": workers * self.cluster.cpus_per_worker, "GPU": workers if self.use_gpu() else 0}
        for resource, amount in asked.items():
            if amount > there.get(resource, 0):
                raise ClusterError(
                    f"the run asks for {amount} {resource} ({workers} workers), Ray has "
                    f"{there.get(resource, 0):.0f}; lower cluster.workers or cluster.cpus_per_worker"
                    + (", or set cluster.use_gpu=false" if resource == "GPU" else "")
                )
