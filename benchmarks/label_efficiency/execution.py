"""Where cells are computed: in this process, in processes of this machine, or on Ray.

Each cell has one thread. Results come back to the caller, who alone writes files.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

import benchmarks
from benchmarks.label_efficiency.cells import Cell, run_cell
from benchmarks.label_efficiency.features import FeatureStore, Stored
from benchmarks.label_efficiency.joint import JointStore
from benchmarks.label_efficiency.methods import METHODS

__all__ = ["Outcome", "in_processes", "on_ray"]

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Outcome:
    """A cell's record, or the traceback of its failure."""

    cell: Cell
    record: dict[str, Any] | None
    failure: str = ""


def in_processes(
    cells: Sequence[Cell], store: FeatureStore | JointStore, jobs: int, setfit_python: Path | None
) -> Iterator[Outcome]:
    """Compute ``cells`` in ``jobs`` processes, in any order; one job is this process."""
    if jobs == 1:
        _load.cache_clear()  # copies may have come since
        yield from (_from_store(cell, store, setfit_python) for cell in cells)
        return
    os.environ.update(THREADS)  # read when the processes import their libraries
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = {pool.submit(_from_store, cell, store, setfit_python): cell for cell in cells}
        try:
            for future in as_completed(waiting):
                error = future.exception()
                failure = "".join(traceback.format_exception(error)) if error else ""
                yield Outcome(waiting[future], None, failure) if error else future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def on_ray(
    cells: Sequence[Cell],
    store: FeatureStore | JointStore,
    address: str,
    gpus: float,
    setfit_python: Path | None,
) -> Iterator[Outcome]:
    """Compute ``cells`` on the Ray cluster at ``address``, a task each, in any order.

    Cells that fine-tune an encoder ask for ``gpus``, a number or a share of one. The workers
    need react_ray, not this folder: it travels with the tasks.
    """
    import ray

    [here] = benchmarks.__path__
    travels = {"py_modules": [here], "excludes": ["results"], "env_vars": THREADS}
    ray.init(address=address, runtime_env=travels, log_to_driver=False)
    try:
        compute = ray.remote(num_cpus=1)(_with_features)
        shared = {name: ray.put(store.load(name)) for name in dict.fromkeys(c.dataset for c in cells)}
        waiting = {
            compute.options(num_gpus=gpus if METHODS[cell.method].finetunes else 0).remote(
                cell, shared[cell.dataset], setfit_python
            ): cell
            for cell in cells
        }
        while waiting:
            [done], _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                yield ray.get(done)
            except ray.exceptions.RayError:
                yield Outcome(cell, None, traceback.format_exc())
    finally:
        ray.shutdown()


def _from_store(cell: Cell, store: FeatureStore | JointStore, setfit_python: Path | None) -> Outcome:
    return _with_features(cell, _load(store, cell.dataset), setfit_python)


@lru_cache(maxsize=1)
def _load(store: FeatureStore | JointStore, dataset: str) -> Stored:
    return store.load(dataset)


def _with_features(cell: Cell, stored: Stored, setfit_python: Path | None) -> Outcome:
    """Compute a cell with one thread; a failure is told, not raised."""
    os.environ.pop("RAY_ADDRESS", None)  # a cell is work for one process: it starts nothing on the cluster
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return Outcome(cell, run_cell(cell, stored, setfit_python))
    except Exception:
        return Outcome(cell, None, traceback.format_exc())
    finally:
        torch.set_num_threads(threads)
