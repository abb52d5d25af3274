"""Run training loops on Ray Train workers, or in this process."""

from __future__ import annotations

import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from react_ray.cluster.ray_private import COLLECTIVE_TIMEOUT, GROUP_START_TIMEOUT, remove_placement_group
from react_ray.cluster.session import Session, environment
from react_ray.config.settings import ClusterConfig
from react_ray.console.reporter import Progress
from react_ray.errors import ReactRayError, TrainingError
from react_ray.training.log import TrainingLog
from react_ray.training.worker import KEPT_CHECKPOINTS, LocalWorker, save_checkpoint

__all__ = ["fit", "lost_while_starting", "placement_groups", "remove_groups"]

Loop = Callable[..., None]
POLL_S = 0.5
ELASTIC_START_S = 30
"""Seconds that elastic training waits for resources: for 20 s Ray still counts those of a lost node."""
RESIZE_S = 900.0
"""Seconds between attempts of elastic training to use more workers, from the last checkpoint."""


def fit(
    loop: Loop,
    settings: dict[str, Any],
    *,
    name: str,
    folder: Path,
    session: Session,
    progress: Progress | None = None,
    log: Path | None = None,
) -> Path:
    """Run ``loop(worker, **settings)`` on every worker; return the folder of its last checkpoint.

    A run with the same ``name`` and ``folder`` resumes a killed one, so a name must stand for one set of
    settings. Runs in this process and on Ray do not resume each other.

    Parameters
    ----------
    folder
        Folder for checkpoints, visible to all workers.
    log
        Folder for the metrics that the loop logs, see :class:`TrainingLog`.

    Raises
    ------
    TrainingError
        A worker failed; the message has the first traceback.
    ClusterError
        The cluster lacks resources.
    """
    folder, cluster = folder.absolute(), session.cluster
    workers, use_gpu = session.workers(), session.use_gpu()
    training_log = TrainingLog(log.absolute()) if log else None
    if workers == (0, 0):
        local_folder = folder / f"{name}-here"
        return _fit_in_process(
            loop,
            settings,
            LocalWorker(local_folder, progress, use_gpu, session.on_report, session.start_from, training_log),
        )
    session.check_resources(cluster.timeout_s)
    start_s = cluster.timeout_s if workers[0] == workers[1] else ELASTIC_START_S
    with _timeouts(cluster.timeout_s, start_s), _monitor(progress) as monitor:
        work = partial(_on_worker, loop, settings, monitor, training_log, cluster.cpus_per_worker)
        return _fit_on_ray(work, name, folder, cluster, workers, use_gpu, monitor)


def _fit_in_process(loop: Loop, settings: dict[str, Any], worker: LocalWorker) -> Path:
    try:
        loop(worker, **settings)
    except ReactRayError:
        raise
    except Exception as error:
        raise TrainingError(f"training failed in this process:\n{traceback.format_exc()}") from error
    checkpoint = worker.checkpoint()
    if checkpoint is None:
        raise TrainingError("training ended without a checkpoint")
    return checkpoint


def _fit_on_ray(
    work: Callable[[], None],
    name: str,
    folder: Path,
    cluster: ClusterConfig,
    workers: tuple[int, int],
    use_gpu: bool,
    monitor: Any,
) -> Path:
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    trainer = TorchTrainer(
        work,
        torch_config=TorchConfig(timeout_s=cluster.timeout_s),
        scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]  # the older class is typed
            num_workers=workers if workers[0] < workers[1] else workers[0],  # type: ignore[arg-type]
            use_gpu=use_gpu,
            resources_per_worker=_resources(cluster, use_gpu),
            elastic_resize_monitor_interval_s=RESIZE_S,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(folder),
            # workers that never start are a failure of the controller, by default retried forever
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]  # the older class is typed
                max_failures=cluster.max_failures, controller_failure_limit=cluster.max_failures
            ),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
        ),
    )
    earlier_groups = placement_groups()
    for retries in range(cluster.max_failures, -1, -1):
        try:
            result = trainer.fit()
            break
        except ray.train.TrainingFailedError as error:
            if not retries or not lost_while_starting(error):
                raise TrainingError(_explain(ray.get(monitor.failures.remote()), error)) from None
            remove_groups(placement_groups() - earlier_groups)
    if result.checkpoint is None:
        raise TrainingError("training ended without a checkpoint")
    return Path(result.checkpoint.path)


def lost_while_starting(error: Exception) -> bool:
    """Whether a worker died before it began to work, which Ray Train does not retry."""
    import ray.exceptions
    import ray.train

    cause = error.controller_failure if isinstance(error, ray.train.ControllerError) else None
    return isinstance(cause, ray.exceptions.RayActorError)


def placement_groups() -> set[str]:
    """Return the ids of this driver's placement groups; they end in the id of its job."""
    import ray

    job = ray.get_runtime_context().get_job_id()
    groups = ray.util.placement_group_table()
    return {name for name, group in groups.items() if name.endswith(job) and group["state"] != "REMOVED"}


def remove_groups(groups: set[str]) -> None:
    """Remove placement groups.

    Ray Train keeps the resources of workers that were lost during their start until the job ends, and
    new workers would wait for them.
    """
    for name in groups:
        remove_placement_group(name)


def _resources(cluster: ClusterConfig, use_gpu: bool) -> dict[str, float]:
    return {"CPU": cluster.cpus_per_worker, **({"GPU": 1} if use_gpu else {})}


def _on_worker(
    loop: Loop, settings: dict[str, Any], monitor: Any, training_log: TrainingLog | None, threads: int
) -> None:
    """Run the loop on a Ray Train worker."""
    torch.set_num_threads(threads)
    worker = _RayWorker(monitor, training_log)
    try:
        loop(worker, **settings)
    except BaseException:
        import ray

        # Ray Train reports the exception without its traceback
        ray.get(monitor.failed.remote(worker.rank, traceback.format_exc()))
        raise


class _RayWorker:
    """Worker on Ray Train."""

    def __init__(self, monitor: Any, training_log: TrainingLog | None):
        import ray.train
        import ray.train.torch

        context = ray.train.get_context()
        self.rank = context.get_world_rank()
        self.world_size = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self._monitor = monitor
        self._log = training_log
        self._reported = 0.0

    def checkpoint(self) -> Path | None:
        import ray.train

        latest = ray.train.get_checkpoint()
        return Path(latest.path) if latest else None

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        import ray.train

        if self.rank != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(save, Path(folder))
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def broadcast(self, value: Any) -> Any:
        from ray.train.collective import broadcast_from_rank_zero

        return broadcast_from_rank_zero(value if self.rank == 0 else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if self.rank == 0 and self._log:
            self._log.add(step, values)

    def progress(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self.rank == 0 and (now - self._reported >= POLL_S or done == total):
            self._monitor.note.remote(done, total, note)
            self._reported = now


class _Monitor:
    """Actor that collects the progress and failures of workers."""

    def __init__(self) -> None:
        self._progress: tuple[int, int, str] | None = None
        self._failures: list[tuple[int, str]] = []

    def note(self, done: int, total: int, note: str) -> None:
        self._progress = (done, total, note)

    def latest(self) -> tuple[int, int, str] | None:
        return self._progress

    def failed(self, rank: int, trace: str) -> None:
        self._failures.append((rank, trace))

    def failures(self) -> list[tuple[int, str]]:
        return self._failures


@contextmanager
def _monitor(progress: Progress | None) -> Iterator[Any]:
    """Context manager: start a monitor and forward its progress."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # on the driver's node, so that it is not lost with another node
    this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    monitor: Any = ray.remote(_Monitor).options(num_cpus=0, scheduling_strategy=this_node).remote()
    finished = threading.Event()

    def forward() -> None:
        reported = None
        is_last = False
        while not is_last:
            is_last = finished.wait(POLL_S)
            latest = ray.get(monitor.latest.remote())
            if latest and latest != reported and progress:
                progress(*latest)
                reported = latest

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        finished.set()
        thread.join()
        ray.kill(monitor)


def _timeouts(late_s: int, start_s: int) -> AbstractContextManager[None]:
    """Set Ray Train's timeouts for late ranks (by default none) and for the start of workers (60 s)."""
    return environment({COLLECTIVE_TIMEOUT: str(late_s), GROUP_START_TIMEOUT: str(start_s)})


def _explain(failures: list[tuple[int, str]], error: Exception) -> str:
    """Format the first traceback of the last attempt, and where the logs are."""
    import ray

    context = ray.get_runtime_context()
    logs = f"logs, on each node: {Path(context.get_temp_dir(), context.get_session_name(), 'logs', 'train')}"
    attempt: dict[int, str] = {}
    for rank, trace in reversed(failures):
        if rank in attempt:  # a rank fails once per attempt
            break
        attempt[rank] = trace
    if not attempt:
        return f"no worker left a traceback (killed, out of memory, or never started):\n{error}\n{logs}"
    rank, trace = list(attempt.items())[-1]
    return f"worker {rank} failed:\n{trace.rstrip()}\n{logs}"
