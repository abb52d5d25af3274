"""Which rows are trained on, for how long, and in which batches: functions of the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import InputError
from react_ray.tasks import Task

__all__ = ["MicroBatch", "draw_rows", "epoch_batches", "plan_epochs", "read_rows", "split_batch"]

MAX_EPOCHS = 10
"""A text seen more often than this is learnt by heart."""
MIN_STEPS = 40
"""For a handful of labels, whatever the number of epochs; twice as many changed nothing."""
CHUNK = 50
"""Batches among which rows are sorted by length: more saves padding, fewer mixes better."""


def read_rows(path: str, task: Task) -> pa.Table:
    """Inputs and target of the task and, if there, weight and origin of the rows that count.

    Raises InputError when no row has a weight above 0.
    """
    source = ds.dataset(path, format="parquet")
    wanted = [*(field.name for field in (*task.inputs, task.target)), "weight", "origin"]
    names = [name for name in wanted if name in source.schema.names]
    rows = source.to_table(columns=names)
    if "weight" in names:
        rows = rows.filter(pc.greater(rows["weight"], 0))
    if not len(rows):
        raise InputError(f"{path}: no row with a weight above 0, so there is nothing to train on")
    return rows


def plan_epochs(rows: int, tokens: float, config: FinetuneConfig) -> float:
    """Passes over ``rows`` texts of ``tokens`` tokens each: as set, or what the budget allows."""
    if config.epochs is not None:
        return config.epochs
    steps = math.ceil(rows / config.batch_size)
    return min(config.token_budget / (rows * tokens), max(MAX_EPOCHS, MIN_STEPS / steps))


def draw_rows(rows: pa.Table, epochs: float, seed: int) -> pa.Table:
    """All of ``rows``, or a share of ``epochs`` below 1 that holds every labelled one."""
    if epochs >= 1:
        return rows
    labeled = np.zeros(len(rows), dtype=bool)
    if "origin" in rows.column_names:
        labeled = pc.equal(rows["origin"], "labeled").to_numpy()
    others = np.flatnonzero(~labeled)
    count = max(0, round(len(rows) * epochs) - int(labeled.sum()))
    drawn = np.random.default_rng(seed).choice(others, min(count, len(others)), replace=False)
    return rows.take(np.sort(np.concatenate([np.flatnonzero(labeled), drawn])))


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Row indices of each batch of an epoch: like lengths together, order shuffled.

    Every row is in exactly one batch; at most one batch is smaller than the others.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    size = np.asarray(lengths)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * CHUNK):
        chunk = order[start : start + batch_size * CHUNK]
        chunk = chunk[np.argsort(-size[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


@dataclass(frozen=True)
class MicroBatch:
    """Row indices; rows that do not ``count`` only keep a rank in step with the others."""

    rows: NDArray[np.int64]
    counts: bool = True


def split_batch(batch: NDArray[np.int64], rank: int, world_size: int, parts: int) -> list[MicroBatch]:
    """Rows of a global batch that are this rank's, cut into at most ``parts`` micro-batches.

    The ranks together have every row once, and equally many micro-batches each: forward
    and backward passes may be collective calls, which every rank must join.
    """
    number = min(parts, math.ceil(len(batch) / world_size))
    cut = np.array_split(batch[rank::world_size], number)
    return [MicroBatch(rows) if len(rows) else MicroBatch(batch[:1], counts=False) for rows in cut]
