"""The connection to Ray: started when first needed, ended with the run."""

from __future__ import annotations

import logging
import os
from types import TracebackType

from react_ray.config import ClusterConfig
from react_ray.errors import ClusterError

__all__ = ["Session"]


class Session:
    """Ray for one run; nothing is started before :meth:`start`.

    Without an address (given, or in RAY_ADDRESS, as in a submitted job) small work
    stays in this process and Ray starts on this machine for large work only.
    """

    def __init__(self, cluster: ClusterConfig, verbose: bool = False):
        self.cluster = cluster
        self.verbose = verbose
        self.address = cluster.address or os.environ.get("RAY_ADDRESS")
        self._started = False

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
        return self.address is None and rows <= self.cluster.local_rows

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

    def slots(self, use_gpu: bool) -> int:
        """Processes that fit into the cluster as it is, each with its CPUs and, if asked, a GPU."""
        self.start()
        import ray

        there = ray.cluster_resources()
        room = [
            there.get("CPU", 0) / self.cluster.cpus_per_worker,
            *([there.get("GPU", 0)] if use_gpu else []),
        ]
        return max(int(min(room)), 1)

    def workers(self) -> int:
        """Training workers: as configured, else one for each GPU, else this process (0)."""
        if self.cluster.workers != "auto":
            return self.cluster.workers
        gpus = self.gpus() if self.use_gpu() else 0
        if gpus > 1 or self.address is not None:
            return max(gpus, 1)
        return 0

    def check_resources(self) -> None:
        """Start Ray if training needs it; ClusterError when it lacks what training asks for."""
        if self.workers() == 0:
            return
        self.start()
        import ray

        there = ray.cluster_resources()
        workers = self.workers()
        asked = {"CPU": workers * self.cluster.cpus_per_worker, "GPU": workers if self.use_gpu() else 0}
        for resource, amount in asked.items():
            if amount > there.get(resource, 0):
                raise ClusterError(
                    f"the run asks for {amount} {resource} ({workers} workers), Ray has "
                    f"{there.get(resource, 0):.0f}; lower cluster.workers or cluster.cpus_per_worker"
                    + (", or set cluster.use_gpu=false" if resource == "GPU" else "")
                )
