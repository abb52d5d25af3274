"""Parallel map over items, by a loop in this process or by Ray Data.

The items are small dictionaries that name files. Inputs and outputs go through the file system, and each
output is written atomically, so that a killed pass resumes with the items that have no output yet.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from react_ray import errors
from react_ray.cluster.resources import Demand, shortage
from react_ray.cluster.session import Session
from react_ray.console.reporter import Progress
from react_ray.errors import ClusterError, ReactRayError, TrainingError

__all__ = ["map_items", "watch_results"]

CHECK_S = 30.0
"""Seconds without a result after which the nodes are checked: Ray Data waits silently and forever."""

log = logging.getLogger(__name__)

Item = dict[str, Any]
Make = Callable[[], Callable[[Item], int]]


def map_items(
    make: Make,
    items: Sequence[Item],
    *,
    rows: int,
    session: Session,
    progress: Progress | None = None,
    actors: int | None = None,
    use_gpu: bool = False,
) -> int:
    """Call ``make()(item)`` for each item, in any order; return the sum of the results.

    Parameters
    ----------
    make
        Called once in each process, for example to load a model.
    items
        Arguments of the function that ``make`` returns, which returns a number of rows.
    rows
        Total rows of the work: small work stays in this process, see :meth:`Session.in_process`.
    actors
        Maximum number of Ray processes; None: as many as fit.
    use_gpu
        Whether each Ray process has a GPU.

    Raises
    ------
    ReactRayError
        As raised by ``make()(item)``; other exceptions become TrainingError.
    ClusterError
        The nodes were lost and did not return within ``cluster.timeout_s``.
    """
    if not items:
        return 0
    results = (
        _in_process(make, items)
        if session.in_process(rows)
        else _on_ray(make, items, session, actors, use_gpu)
    )
    total_rows, started = 0, time.monotonic()
    for finished, row_count in enumerate(results, start=1):
        total_rows += row_count
        if progress:
            speed = total_rows / max(time.monotonic() - started, 1e-3)
            progress(finished, len(items), f"parts, {total_rows:,} rows, {speed:,.0f} a second,")
    return total_rows


def _in_process(make: Make, items: Sequence[Item]) -> Any:
    work = make()
    return (work(item) for item in items)


def _on_ray(make: Make, items: Sequence[Item], session: Session, actors: int | None, use_gpu: bool) -> Any:
    session.start()
    import ray
    import ray.data

    if not session.verbose:  # Ray Data sets its level when it is imported
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = session.verbose
    max_actors = min(actors or len(items), len(items))
    strategy = ray.data.ActorPoolStrategy(
        min_size=1, max_size=max_actors, initial_size=min(max_actors, session.slots(use_gpu))
    )
    results = ray.data.from_items(list(items), override_num_blocks=len(items)).map(
        _Actor,  # type: ignore[arg-type]  # actor pools take classes
        fn_constructor_args=(make,),
        compute=strategy,
        num_cpus=session.cluster.cpus_per_worker,
        num_gpus=1 if use_gpu else 0,
    )
    need = Demand(0, "auto", session.cluster.cpus_per_worker, int(use_gpu))
    return watch_results(_results(results.iter_rows()), session, need)


def _results(rows: Iterable[Item]) -> Iterator[int]:
    """Yield the result of each item; raises the errors of workers."""
    import ray.exceptions

    try:
        for row in rows:
            if row["error"]:
                raise getattr(errors, row["error"])(row["message"])
            yield row["rows"]
    except ray.exceptions.RayError as error:
        raise TrainingError(f"Ray Data failed:\n{error}") from None


def watch_results(
    results: Iterator[int], session: Session, need: Demand, check_s: float = CHECK_S
) -> Iterator[int]:
    """Yield ``results``, and warn with the reason when none arrives for a long time.

    Raises ClusterError if no node had room for a process of ``need`` for ``cluster.timeout_s``. If the
    caller stops early, the work stops after the items in progress.
    """
    queue: SimpleQueue[int | BaseException | None] = SimpleQueue()
    stopped = Event()
    Thread(target=_forward, args=(results, queue, stopped), daemon=True).start()
    watchdog = _Watchdog(session, need, check_s)
    try:
        while (result := _next_result(queue, watchdog)) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stopped.set()


def _forward(results: Iterator[int], queue: SimpleQueue[int | BaseException | None], stopped: Event) -> None:
    try:
        for result in results:
            queue.put(result)
            if stopped.is_set():
                return
        queue.put(None)
    except BaseException as error:
        queue.put(error)


def _next_result(
    queue: SimpleQueue[int | BaseException | None], watchdog: _Watchdog
) -> int | BaseException | None:
    watchdog.reset()
    while True:
        try:
            return queue.get(timeout=watchdog.check_s)
        except Empty:
            watchdog.check()


class _Watchdog:
    """Checks the nodes while no result arrives."""

    def __init__(self, session: Session, need: Demand, check_s: float):
        self.check_s = check_s
        self._session, self._need = session, need

    def reset(self) -> None:
        """Restart the clock: a result has arrived."""
        self._since, self._warn_after = time.monotonic(), self.check_s
        self._short_since: float | None = None

    def check(self) -> None:
        """Warn about what blocks the work; raises ClusterError if it lasts too long."""
        now = time.monotonic()
        missing = shortage(self._session.nodes(), self._need)
        self._short_since = (self._short_since or now) if missing else None
        if self._short_since and now - self._short_since > self._session.cluster.timeout_s:
            raise ClusterError(missing) from None
        waited = now - self._since
        if waited > 2 * self._warn_after:  # at growing intervals: long texts take long
            log.warning("no part done for %.0f s: %s", waited, missing or f"working, or {_free_cpus()}")
            self._warn_after = waited


def _free_cpus() -> str:
    import ray

    free, total = ray.available_resources().get("CPU", 0), ray.cluster_resources().get("CPU", 0)
    return f"waiting for resources ({free:g} of {total:g} CPUs are free)"


class _Actor:
    """A process of the actor pool."""

    def __init__(self, make: Make):
        self._make = make
        self._work: Callable[[Item], int] | None = None

    def __call__(self, item: Item) -> Item:
        try:  # Ray would wrap the error in a type of its own
            self._work = self._work or self._make()
            return {"rows": self._work(item), "error": "", "message": ""}
        except ReactRayError as error:
            return {"rows": 0, "error": type(error).__name__, "message": str(error)}
