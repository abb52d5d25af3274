"""Connection to Ray for one run: started when first needed, ended with the run."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from react_ray.cluster.local import LocalRay
from react_ray.cluster.ray_private import JOB_CONFIG
from react_ray.cluster.resources import Demand, Node, capacity, shortage
from react_ray.cluster.token import check_token, ensure_token, token_in_use
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError

__all__ = ["Session", "check_job_output", "connection_error", "environment"]

CONNECT_TIMEOUT_S = 5.0
"""Timeout for a connection to the cluster; Ray itself would try for minutes."""

OWN_PREFIX = "REACT_RAY_"
"""Prefix of environment variables that this package sets for its own processes."""

POLL_S = 5.0
"""Seconds between two checks of the nodes while resources are missing."""

log = logging.getLogger(__name__)


def check_job_output(output: str) -> None:
    """Raise InputError if this is a submitted job and ``output`` would be deleted with it."""
    if JOB_CONFIG in os.environ and not Path(output).expanduser().is_absolute():
        raise InputError(
            f"--output {output}: a relative path is deleted with the job; give an absolute path "
            "that every node of the cluster sees"
        )


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Context manager: set environment variables for Ray's processes.

    Variables that the user has set are kept, except those named ``REACT_RAY_...``: they are not user
    settings but messages to our own processes.
    """
    added = {
        name: value for name, value in values.items() if name.startswith(OWN_PREFIX) or name not in os.environ
    }
    previous = {name: os.environ[name] for name in added if name in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added.keys() - previous.keys():
            os.environ.pop(name, None)
        os.environ.update(previous)


def connection_error(host: str, port: int) -> str | None:
    """Return why no connection to this address is possible; None if something listens there."""
    try:
        socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return str(error.strerror or error)
    return None


class Session:
    """Ray for one run; nothing starts before :meth:`start`.

    Without an address (in the settings, or in RAY_ADDRESS, as in a submitted job), small work runs in
    this process, and Ray is started on this machine for large work only.
    """

    alone = False
    # passed on to LocalWorker
    on_report: Callable[[dict[str, Any], Path], None] | None = None
    start_from: Path | None = None

    def __init__(self, cluster: ClusterConfig, verbose: bool = False, object_store: int | None = None):
        self.cluster = cluster
        self.verbose = verbose
        self._object_store = object_store  # bytes, if Ray is started on this machine
        self._local: LocalRay | None = None
        self.address = cluster.address or os.environ.get("RAY_ADDRESS")
        self.dashboard: str | None = None
        self._started = False

    @classmethod
    def of_trial(
        cls,
        cluster: ClusterConfig,
        on_report: Callable[[dict[str, Any], Path], None],
        start_from: Path | None = None,
    ) -> Session:
        """Create a session for a trial: all work runs in this process, which is a Ray worker already."""
        session = cls(cluster.model_copy(update={"workers": 0}))
        session.address, session.alone = None, True
        session.on_report, session.start_from = on_report, start_from
        return session

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            import ray

            ray.shutdown()
        if self._local:
            self._local.end()

    @property
    def folder(self) -> Path:
        """Ray's folder if it runs on this machine; deleted after the run."""
        if self._local is None:
            self._local = LocalRay()
        return self._local.folder

    @property
    def guarded(self) -> bool:
        """Whether Ray was started on this machine with a cleanup process."""
        return self._started and self._local is not None and self._local.guarded

    def in_process(self, rows: int) -> bool:
        """Whether work on ``rows`` rows runs in this process, because starting Ray would take longer."""
        return self.alone or (self.address is None and rows <= self.cluster.local_rows)

    def start(self) -> None:
        """Connect to the cluster, or start Ray on this machine. Raises ClusterError."""
        import ray

        if ray.is_initialized():
            return
        self._check_address()
        if self.address is None:
            ensure_token()
        elif token_in_use():
            check_token()
        if not self.verbose:  # Ray's C++ code writes to standard error, not to Python's logging
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        level = logging.INFO if self.verbose else logging.ERROR
        options: dict[str, Any] = {
            "log_to_driver": self.verbose,
            "logging_level": level,
            "configure_logging": True,
        }
        if self.address is None:  # a new Ray, not a cluster that already runs on this machine
            self._local = self._local or LocalRay()
            self._started = True
            self._local.start(self._object_store, include_dashboard=False, **options)
            return
        self._started = True
        try:
            context = ray.init(address=self.address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"no Ray cluster at {self.address!r}: {error}\nThe address accepts connections: check "
                "it (host:6379 or ray://host:10001) and, if the cluster requires a token, "
                "RAY_AUTH_MODE=token and the token in ~/.ray/auth_token or RAY_AUTH_TOKEN."
            ) from error
        self.dashboard = getattr(context, "dashboard_url", None)

    def _check_address(self) -> None:
        """Raise ClusterError if the address is of the wrong kind, or nothing listens there."""
        kind, _, rest = ("//" + (self.address or "")).rpartition("//")
        if kind.startswith("//http"):
            raise ClusterError(
                f"{self.address} accepts jobs only: use it with react-ray submit --address. Otherwise "
                "give host:6379 or ray://host:10001"
            )
        host, _, port = rest.partition("?")[0].rpartition(":")
        reason = connection_error(host.strip("[]"), int(port)) if host and port.isdigit() else None
        if reason:
            raise ClusterError(
                f"no Ray cluster at {self.address}: {reason}\nCheck that it runs (ray status, on its head "
                "node) and the address: host:6379, or ray://host:10001 from a machine outside the cluster."
            )

    def use_gpu(self) -> bool:
        """Whether to use GPUs: as configured, else if there are any."""
        if self.cluster.use_gpu != "auto":
            return self.cluster.use_gpu
        return self.gpus() > 0

    def gpus(self) -> int:
        """Number of GPUs in the cluster, or on this machine if there is no cluster."""
        if self.address is not None:
            self.start()
            import ray

            return int(ray.cluster_resources().get("GPU", 0))
        import torch

        return torch.cuda.device_count()

    def slots(self, use_gpu: bool) -> int:
        """Return how many processes fit on the cluster, each with its CPUs and optionally a GPU."""
        demand = Demand(0, "auto", self.cluster.cpus_per_worker, int(use_gpu))
        return max(capacity(self.nodes(), demand), 1)

    def workers(self) -> tuple[int, int]:
        """Return the minimum and maximum of training workers; (0, 0) is this process.

        By default there is one worker for each GPU, at least one on a cluster, and without a cluster a
        single GPU is used by this process.
        """
        configured = self.cluster.workers
        if isinstance(configured, tuple):
            return configured
        if isinstance(configured, int):
            return configured, configured
        gpus = self.gpus() if self.use_gpu() else 0
        count = max(gpus, 1) if gpus > 1 or self.address is not None else 0
        return count, count

    def demand(self) -> Demand:
        """Return the resources of the processes that a run starts on Ray."""
        cluster = self.cluster
        encoders = 0 if self.address is None else cluster.encoders
        least, _ = self.workers()  # a range starts with the minimum
        return Demand(least, encoders, cluster.cpus_per_worker, 1 if self.use_gpu() else 0)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive, with unique names."""
        self.start()
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        hosts = [f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in alive]
        return [
            Node(
                name if hosts.count(name) == 1 else f"{name} {node['NodeID'][:8]}",
                node["NodeID"],
                node["Resources"].get("CPU", 0),
                node["Resources"].get("GPU", 0),
            )
            for name, node in zip(hosts, alive, strict=True)
        ]

    def check_cores(self) -> None:
        """Raise ClusterError if the workers do not fit on this machine, without starting Ray."""
        import ray
        import torch

        if ray.is_initialized():  # its resources are known only to Ray
            return
        missing = shortage(
            [Node("this machine", "", os.cpu_count() or 1, torch.cuda.device_count())], self.demand()
        )
        if missing:
            raise ClusterError(missing)

    def check_resources(self, wait_s: float = 0) -> None:
        """Start Ray if training needs it, and raise ClusterError if it lacks resources.

        On a cluster, lost nodes have ``wait_s`` seconds to come back.
        """
        if self.workers() == (0, 0):
            return
        deadline, warned = time.monotonic() + (wait_s if self.address else 0), ""
        while missing := shortage(self.nodes(), self.demand()):
            if time.monotonic() >= deadline:
                raise ClusterError(missing)
            if missing != warned:
                log.warning("waiting at most %.0f s for resources: %s", deadline - time.monotonic(), missing)
                warned = missing
            time.sleep(POLL_S)
