"""Parallel map over items: a loop in this process, or Ray Data on the cluster.

The items are small dictionaries that name files; what is read and written goes
through the file system, each output in one step. So a killed pass goes on with
the items that have no output yet, wherever it ran before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from react_ray import errors
from react_ray.cluster.resources import Demand, lacking
from react_ray.cluster.session import Session
from react_ray.console.reporter import Progress
from react_ray.errors import ClusterError, ReactRayError, TrainingError

__all__ = ["map_items", "watched"]

LOOK_S = 30.0
"""How long nothing is done before the nodes are looked at: Ray Data itself waits silently and for ever."""

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

    ``make`` is called once in each process (it loads a model, say). ``rows`` is the
    size of the whole work: small work stays in this process, see ``Session``. On Ray there are
    as many processes as fit, or ``actors``; each has a GPU with ``use_gpu``. Raises
    what ``make()(item)`` raises if it is a ReactRayError, else TrainingError; ClusterError where
    the nodes for it are lost and do not come back for ``cluster.timeout_s``.
    """
    if not items:
        return 0
    done, total = 0, len(items)
    results = (
        _in_process(make, items)
        if session.in_process(rows)
        else _on_ray(make, items, session, actors, use_gpu)
    )
    handled, started = 0, time.monotonic()
    for number, result in enumerate(results, start=1):
        handled += result
        done = number
        if progress:
            speed = handled / max(time.monotonic() - started, 1e-3)
            progress(done, total, f"parts, {handled:,} rows, {speed:,.0f} a second,")
    return handled


def _in_process(make: Make, items: Sequence[Item]) -> Any:
    work = make()
    return (work(item) for item in items)


def _on_ray(make: Make, items: Sequence[Item], session: Session, actors: int | None, use_gpu: bool) -> Any:
    session.start()
    import ray
    import ray.data

    if not session.verbose:  # Ray Data sets its own level when it is imported
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = session.verbose
    most = min(actors or len(items), len(items))
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=most, initial_size=min(most, session.slots(use_gpu))
    )
    results = ray.data.from_items(list(items), override_num_blocks=len(items)).map(
        _Actor,  # type: ignore[arg-type]  # a class is what an actor pool takes
        fn_constructor_args=(make,),
        compute=pool,
        num_cpus=session.cluster.cpus_per_worker,
        num_gpus=1 if use_gpu else 0,
    )
    need = Demand(0, "auto", session.cluster.cpus_per_worker, int(use_gpu))
    return watched(_results(results.iter_rows()), session, need)


def _results(rows: Iterable[Item]) -> Iterator[int]:
    """Yield the result of each item; errors of workers are raised here."""
    import ray.exceptions

    try:
        for row in rows:
            if row["error"]:
                raise getattr(errors, row["error"])(row["message"])
            yield row["rows"]
    except ray.exceptions.RayError as error:
        raise TrainingError(f"work on Ray Data failed:\n{error}") from None


def watched(results: Iterator[int], session: Session, need: Demand, look_s: float = LOOK_S) -> Iterator[int]:
    """Yield the same results; warn when none arrives for long, with the reason.

    Raises ClusterError where for ``cluster.timeout_s`` no node was there that holds a process of
    ``need``. Where its reader stops early, so does the work, after the parts that are under way.
    """
    found: SimpleQueue[int | BaseException | None] = SimpleQueue()
    over = Event()
    Thread(target=_hand_on, args=(results, found, over), daemon=True).start()
    waits = _Waits(session, need, look_s)
    try:
        while (result := _next(found, waits)) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        over.set()


def _hand_on(results: Iterator[int], found: SimpleQueue[int | BaseException | None], over: Event) -> None:
    try:
        for result in results:
            found.put(result)
            if over.is_set():
                return
        found.put(None)
    except BaseException as error:
        found.put(error)


def _next(found: SimpleQueue[int | BaseException | None], waits: _Waits) -> int | BaseException | None:
    waits.begin()
    while True:
        try:
            return found.get(timeout=waits.look_s)
        except Empty:
            waits.look()


class _Waits:
    """Check of the nodes while no result arrives."""

    def __init__(self, session: Session, need: Demand, look_s: float):
        self.look_s = look_s
        self._session, self._need = session, need

    def begin(self) -> None:
        """Something was done now."""
        self._since, self._said = time.monotonic(), self.look_s
        self._lost: float | None = None

    def look(self) -> None:
        """Warn of what blocks the work; ClusterError when it lasts too long."""
        now = time.monotonic()
        missing = lacking(self._session.nodes(), self._need)
        self._lost = (self._lost or now) if missing else None
        if self._lost and now - self._lost > self._session.cluster.timeout_s:
            raise ClusterError(missing) from None
        waited = now - self._since
        if waited > 2 * self._said:  # a part of long texts takes its time: said less and less often
            log.warning("no part done for %.0f s: %s", waited, missing or f"at work, or {_room()}")
            self._said = waited


def _room() -> str:
    import ray

    free, there = ray.available_resources().get("CPU", 0), ray.cluster_resources().get("CPU", 0)
    return f"waiting for room ({free:g} of {there:g} CPUs are free)"


class _Actor:
    """One process of the pool."""

    def __init__(self, make: Make):
        self._make = make
        self._work: Callable[[Item], int] | None = None

    def __call__(self, item: Item) -> Item:
        try:  # Ray would wrap the error so that it is not known again
            self._work = self._work or self._make()
            return {"rows": self._work(item), "error": "", "message": ""}
        except ReactRayError as error:
            return {"rows": 0, "error": type(error).__name__, "message": str(error)}
