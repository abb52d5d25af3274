"""Training loops on Ray Train workers, or in this process where that is faster."""

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
from react_ray.training.worker import KEPT, LocalWorker, save_checkpoint

__all__ = ["fit", "lost_while_starting", "own_groups", "release"]

Loop = Callable[..., None]
POLL_S = 0.5
RESTART_S = 30
"""How long a range of workers waits for room that Ray says is there: for 20 s it counts a lost node's too."""
GROW_S = 900.0
"""How often a range of workers looks for room to grow; growing starts again from the last checkpoint."""


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

    ``folder`` must be seen by all workers. A run with the same ``name`` and ``folder``
    goes on where a killed one stopped, so a name stands for one set of settings; in this
    process and on Ray it is not the same run. ``log`` is the folder for what the loop
    logs, see ``training_log``. Raises TrainingError with the first
    traceback of a worker, ClusterError where the resources asked for are not there.
    """
    folder, cluster = folder.absolute(), session.cluster
    workers, use_gpu = session.workers(), session.use_gpu()
    figures = TrainingLog(log.absolute()) if log else None
    if workers == (0, 0):
        here = folder / f"{name}-here"
        return _fit_here(
            loop,
            settings,
            LocalWorker(here, progress, use_gpu, session.on_report, session.start_from, figures),
        )
    session.check_resources(cluster.timeout_s)  # what can never fit is reported when the run starts
    start = cluster.timeout_s if workers[0] == workers[1] else RESTART_S
    with _timeouts(cluster.timeout_s, start), _monitor(progress) as monitor:
        work = partial(_on_worker, loop, settings, monitor, figures, cluster.cpus_per_worker)
        return _fit_on_ray(work, name, folder, cluster, workers, use_gpu, monitor)


def _fit_here(loop: Loop, settings: dict[str, Any], worker: LocalWorker) -> Path:
    try:
        loop(worker, **settings)
    except ReactRayError:
        raise
    except Exception as error:
        raise TrainingError(f"training failed in this process:\n{traceback.format_exc()}") from error
    last = worker.checkpoint()
    if last is None:
        raise TrainingError("training ended without a checkpoint")
    return last


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
            elastic_resize_monitor_interval_s=GROW_S,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(folder),
            # a group that never starts is a failure of the controller: by default retried for ever
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]  # the older class is typed
                max_failures=cluster.max_failures, controller_failure_limit=cluster.max_failures
            ),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=KEPT),
        ),
    )
    earlier = own_groups()
    for left in range(cluster.max_failures, -1, -1):
        try:
            result = trainer.fit()
            break
        except ray.train.TrainingFailedError as error:
            if not left or not lost_while_starting(error):
                raise TrainingError(_explain(ray.get(monitor.failures.remote()), error)) from None
            release(own_groups() - earlier)
    if result.checkpoint is None:
        raise TrainingError("training ended without a checkpoint")
    return Path(result.checkpoint.path)


def lost_while_starting(error: Exception) -> bool:
    """Whether a worker died between its start and its work, which Ray Train does not retry."""
    import ray.exceptions
    import ray.train

    cause = error.controller_failure if isinstance(error, ray.train.ControllerError) else None
    return isinstance(cause, ray.exceptions.RayActorError)


def own_groups() -> set[str]:
    """Ids of the placement groups that hold room for this driver; they end in the number of its job."""
    import ray

    job = ray.get_runtime_context().get_job_id()
    groups = ray.util.placement_group_table()
    return {name for name, group in groups.items() if name.endswith(job) and group["state"] != "REMOVED"}


def release(groups: set[str]) -> None:
    """Free the room of placement groups.

    Ray Train leaves that of workers lost while they start to the end of the job, and the next
    workers would wait for it.
    """
    for name in groups:
        remove_placement_group(name)


def _resources(cluster: ClusterConfig, use_gpu: bool) -> dict[str, float]:
    return {"CPU": cluster.cpus_per_worker, **({"GPU": 1} if use_gpu else {})}


def _on_worker(
    loop: Loop, settings: dict[str, Any], monitor: Any, figures: TrainingLog | None, threads: int
) -> None:
    """Function that each Ray Train worker runs."""
    torch.set_num_threads(threads)
    worker = _RayWorker(monitor, figures)
    try:
        loop(worker, **settings)
    except BaseException:
        import ray

        # Ray Train hands on the exception without its traceback; this one is the user's
        ray.get(monitor.failed.remote(worker.rank, traceback.format_exc()))
        raise


class _RayWorker:
    """A Worker on Ray Train."""

    def __init__(self, monitor: Any, figures: TrainingLog | None):
        import ray.train
        import ray.train.torch

        context = ray.train.get_context()
        self.rank = context.get_world_rank()
        self.world_size = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self._monitor = monitor
        self._figures = figures
        self._reported = 0.0

    def checkpoint(self) -> Path | None:
        import ray.train

        kept = ray.train.get_checkpoint()
        return Path(kept.path) if kept else None

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
        if self.rank == 0 and self._figures:
            self._figures.add(step, values)

    def progress(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self.rank == 0 and (now - self._reported >= POLL_S or done == total):
            self._monitor.note.remote(done, total, note)
            self._reported = now


class _Monitor:
    """Actor beside a run: progress, and failures of workers."""

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
    """A monitor whose progress is handed on until the block ends."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # beside the driver: on another node it would be lost with that node
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    monitor: Any = ray.remote(_Monitor).options(num_cpus=0, scheduling_strategy=here).remote()
    over = threading.Event()

    def hand_on() -> None:
        reported = None
        ended = False
        while not ended:
            ended = over.wait(POLL_S)
            latest = ray.get(monitor.latest.remote())
            if latest and latest != reported and progress:
                progress(*latest)
                reported = latest

    thread = threading.Thread(target=hand_on, daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        over.set()
        thread.join()
        ray.kill(monitor)


def _timeouts(late: int, start: int) -> AbstractContextManager[None]:
    """By default Ray Train waits for ever on a rank that is ``late``, and 60 s for room to ``start``."""
    return environment({COLLECTIVE_TIMEOUT: str(late), GROUP_START_TIMEOUT: str(start)})


def _explain(failures: list[tuple[int, str]], error: Exception) -> str:
    """The first traceback of the last attempt, and where the logs are."""
    import ray

    here = ray.get_runtime_context()
    logs = f"logs, on each node: {Path(here.get_temp_dir(), here.get_session_name(), 'logs', 'train')}"
    attempt: dict[int, str] = {}
    for rank, trace in reversed(failures):
        if rank in attempt:  # a rank fails once an attempt
            break
        attempt[rank] = trace
    if not attempt:
        return f"no worker left a traceback (killed, out of memory, or never started):\n{error}\n{logs}"
    rank, trace = list(attempt.items())[-1]
    return f"worker {rank} failed:\n{trace.rstrip()}\n{logs}"
