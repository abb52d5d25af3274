"""The connection to Ray: started when first needed, ended with the run."""

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
from react_ray.cluster.resources import Demand, Node, lacking, room
from react_ray.cluster.token import check_token, ensure_token, token_in_use
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError

__all__ = ["Session", "check_lasting", "environment", "refuses"]

ANSWER_S = 5.0
"""Whatever takes longer to accept a connection is not there: Ray itself would try for minutes."""

OWN = "REACT_RAY_"
"""How the names of variables begin that this package sets for its own processes."""

RECOUNT_S = 5.0
"""Between two counts of the nodes, where some are missing."""

log = logging.getLogger(__name__)


def check_lasting(output: str) -> None:
    """Raise InputError in a submitted job whose ``output`` would be deleted with it."""
    if JOB_CONFIG in os.environ and not Path(output).expanduser().is_absolute():
        raise InputError(
            f"--output {output}: in a job this is a place that goes away with the job; give the whole path "
            "of one that every node of the cluster sees"
        )


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that Ray's processes read while the block runs.

    Ray's variables stay as a user has set them. Those named ``REACT_RAY_...`` are no settings of a user's
    but messages to our own processes: they are always set.
    """
    new = {name: value for name, value in values.items() if name.startswith(OWN) or name not in os.environ}
    before = {name: os.environ[name] for name in new if name in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def refuses(host: str, port: int) -> str | None:
    """Return why nothing can be reached at this address; None when something listens there."""
    try:
        socket.create_connection((host, port), ANSWER_S).close()
    except OSError as error:
        return str(error.strerror or error)
    return None


class Session:
    """Ray for one run; nothing is started before :meth:`start`.

    Without an address (given, or in RAY_ADDRESS, as in a submitted job) small work
    stays in this process and Ray starts on this machine for large work only.
    """

    alone = False
    on_report: Callable[[dict[str, Any], Path], None] | None = None  # these two: see LocalWorker
    start_from: Path | None = None

    def __init__(self, cluster: ClusterConfig, verbose: bool = False, object_store: int | None = None):
        self.cluster = cluster
        self.verbose = verbose
        self._object_store = object_store  # bytes, where Ray starts here
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
        """Make a session for all work in this process, a Ray worker with its own resources."""
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
        if self._local:
            self._local.end()

    @property
    def folder(self) -> Path:
        """Ray's folder while it runs on this machine; deleted after the run."""
        if self._local is None:
            self._local = LocalRay()
        return self._local.folder

    @property
    def guarded(self) -> bool:
        """Whether Ray was started on this machine with a cleanup process."""
        return self._started and self._local is not None and self._local.guarded

    def in_process(self, rows: int) -> bool:
        """Whether work on ``rows`` rows is too small for starting Ray."""
        return self.alone or (self.address is None and rows <= self.cluster.local_rows)

    def start(self) -> None:
        """Connect to the cluster, or start Ray here; ClusterError when it cannot be reached."""
        import ray

        if ray.is_initialized():
            return
        self._knock()
        if self.address is None:
            ensure_token()
        elif token_in_use():
            check_token()
        if not self.verbose:  # the C++ part writes to standard error past Python's logging
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        level = logging.INFO if self.verbose else logging.ERROR
        options: dict[str, Any] = {
            "log_to_driver": self.verbose,
            "logging_level": level,
            "configure_logging": True,
        }
        if self.address is None:  # not whatever cluster happens to run on this machine
            self._local = self._local or LocalRay()
            self._started = True
            self._local.start(self._object_store, include_dashboard=False, **options)
            return
        self._started = True
        try:
            context = ray.init(address=self.address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"no Ray cluster at {self.address!r}: {error}\nSomething answers there: check the "
                "address (host:6379 or ray://host:10001) and, where the cluster asks for a token, "
                "RAY_AUTH_MODE=token and the token in ~/.ray/auth_token or RAY_AUTH_TOKEN."
            ) from error
        self.dashboard = getattr(context, "dashboard_url", None)

    def _knock(self) -> None:
        """Raise ClusterError at once where nothing listens at the address."""
        kind, _, rest = ("//" + (self.address or "")).rpartition("//")
        if kind.startswith("//http"):
            raise ClusterError(
                f"{self.address} takes jobs: give it to react-ray submit --address. A driver connects to "
                "host:6379 or ray://host:10001"
            )
        host, _, port = rest.partition("?")[0].rpartition(":")
        reason = refuses(host.strip("[]"), int(port)) if host and port.isdigit() else None
        if reason:
            raise ClusterError(
                f"no Ray cluster at {self.address}: {reason}\nCheck that it runs (ray status, on its head "
                "node) and the address: host:6379, or ray://host:10001 from a machine outside the cluster."
            )

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
        """Return how many processes fit on the cluster, each with its CPUs and, optionally, a GPU."""
        each = Demand(0, "auto", self.cluster.cpus_per_worker, int(use_gpu))
        return max(room(self.nodes(), each), 1)

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

    def demand(self) -> Demand:
        """The processes that a run starts on Ray."""
        cluster = self.cluster
        encoders = 0 if self.address is None else cluster.encoders
        least, _ = self.workers()  # what a range needs to start
        return Demand(least, encoders, cluster.cpus_per_worker, 1 if self.use_gpu() else 0)

    def nodes(self) -> list[Node]:
        """The nodes that Ray has at present, by names that tell them apart."""
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
        """ClusterError where this machine cannot hold the workers asked for; Ray is not started for it."""
        import ray
        import torch

        if ray.is_initialized():  # with as many cores as its user said
            return
        missing = lacking(
            [Node("this machine", "", os.cpu_count() or 1, torch.cuda.device_count())], self.demand()
        )
        if missing:
            raise ClusterError(missing)

    def check_resources(self, wait_s: float = 0) -> None:
        """Start Ray if training needs it; ClusterError when it lacks what training asks for.

        On a cluster lost nodes have ``wait_s`` seconds to come back.
        """
        if self.workers() == (0, 0):
            return
        deadline, said = time.monotonic() + (wait_s if self.address else 0), ""
        while missing := lacking(self.nodes(), self.demand()):
            if time.monotonic() >= deadline:
                raise ClusterError(missing)
            if missing != said:
                log.warning("waiting %.0f s at most for room: %s", deadline - time.monotonic(), missing)
                said = missing
            time.sleep(RECOUNT_S)
