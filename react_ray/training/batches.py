"""Selection of rows, number of epochs, and batches, as deterministic functions of the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import InputError
from react_ray.tasks import Task

__all__ = [
    "MAX_VALIDATION",
    "MIN_VALIDATION",
    "MicroBatch",
    "draw_rows",
    "epoch_batches",
    "plan_epochs",
    "read_rows",
    "read_validation",
    "share_budget",
    "split_batch",
    "validation_sample_size",
]

MIN_STEPS = 40
"""Minimum steps for a handful of labels, regardless of epochs; twice as many made no difference."""
MIN_VALIDATION = 30
"""Minimum validation rows: with fewer, scores are decided by chance (10 rows: standard error 0.14)."""
MAX_VALIDATION = 1000
"""Maximum validation rows: standard error of at most 0.015; more rows would take longer than training."""
CHUNK_BATCHES = 50
"""Batches in a chunk that is sorted by length: more reduce padding, fewer shuffle better."""


def read_rows(path: str, task: Task) -> pa.Table:
    """Read the inputs, target and optional weight and origin of the rows with a weight above 0.

    Raises InputError if there are none.
    """
    source = ds.dataset(path, format="parquet")
    columns = [*(field.name for field in (*task.inputs, task.target)), "weight", "origin"]
    names = [name for name in columns if name in source.schema.names]
    rows = source.to_table(columns=names)
    if "weight" in names:
        rows = rows.filter(pc.greater(rows["weight"], 0))
    if not len(rows):
        raise InputError(f"{path}: there are no rows with a weight above 0 to train on")
    return rows


def read_validation(task: Task, path: str, seed: int) -> pa.Table | None:
    """Read the validation rows to use: at most MAX_VALIDATION; None if there are too few."""
    rows = pq.read_table(path, columns=[field.name for field in (*task.inputs, task.target)])
    evidence = task.evidence(rows[task.target.name].to_pylist())
    count = validation_sample_size(len(rows), task.validation_rows) if evidence >= MIN_VALIDATION else 0
    return rows.take(np.random.default_rng(seed).permutation(len(rows))[:count]) if count else None


def validation_sample_size(validation: int, most: int | None = None) -> int:
    """Return the number of validation rows that are used in each evaluation."""
    return min(validation, most or MAX_VALIDATION) if validation >= MIN_VALIDATION else 0


def plan_epochs(rows: int, tokens: float, config: FinetuneConfig) -> float:
    """Return the epochs for ``rows`` texts of ``tokens`` tokens each: as configured, or by the budget."""
    if config.epochs is not None:
        return config.epochs
    steps = math.ceil(rows / config.batch_size)
    return min(config.token_budget / (rows * tokens), max(config.max_epochs, MIN_STEPS / steps))


def share_budget(config: FinetuneConfig, models: int) -> FinetuneConfig:
    """Return the settings of each of the ``models`` of a run, which divide the tokens equally.

    Example
    -------
    >>> share_budget(FinetuneConfig(token_budget=90_000), models=2).token_budget
    45000
    """
    return config.model_copy(update={"token_budget": max(1, config.token_budget // models)})


def draw_rows(rows: pa.Table, epochs: float, seed: int) -> pa.Table:
    """Return all ``rows``, or for ``epochs`` below 1 a random sample with all labelled rows."""
    if epochs >= 1:
        return rows
    labeled = np.zeros(len(rows), dtype=bool)
    if "origin" in rows.column_names:
        labeled = pc.equal(rows["origin"], "labeled").to_numpy()
    extra = np.flatnonzero(~labeled)
    count = max(0, round(len(rows) * epochs) - int(labeled.sum()))
    drawn = np.random.default_rng(seed).choice(extra, min(count, len(extra)), replace=False)
    return rows.take(np.sort(np.concatenate([np.flatnonzero(labeled), drawn])))


def epoch_batches(
    lengths: Sequence[int] | NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Return the row indices of each batch of an epoch: batches of similar lengths, in random order.

    Every row is in exactly one batch; at most one batch is smaller than the others.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    length_array = np.asarray(lengths)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * CHUNK_BATCHES):
        chunk = order[start : start + batch_size * CHUNK_BATCHES]
        chunk = chunk[np.argsort(-length_array[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


@dataclass(frozen=True)
class MicroBatch:
    """Row indices; if ``counts`` is False, the batch only keeps a rank in step with the others."""

    rows: NDArray[np.int64]
    counts: bool = True


def split_batch(batch: NDArray[np.int64], rank: int, world_size: int, parts: int) -> list[MicroBatch]:
    """Return this rank's rows of a global batch, split into at most ``parts`` micro-batches.

    Each row is on exactly one rank, and all ranks have the same number of micro-batches, because forward and
    backward passes may be collective calls.
    """
    count = min(parts, math.ceil(len(batch) / world_size))
    parts_of_rank = np.array_split(batch[rank::world_size], count)
    return [MicroBatch(rows) if len(rows) else MicroBatch(batch[:1], counts=False) for rows in parts_of_rank]
