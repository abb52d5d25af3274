"""Rows with the same inputs and several targets that are all correct, such as other answers of a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.data.shards import Shard
from react_ray.data.targets import Targets
from react_ray.tasks import Task
from react_ray.tasks.open_task import OpenTask

__all__ = ["merged_keys", "with_targets"]


def merged_keys(
    rows: pd.DataFrame, shards: Sequence[Shard], starts: NDArray[np.int64], targets: Targets
) -> pd.Series:
    """Return the key of the merged target of each row that has one; the index is a part of that of ``rows``.

    ``rows`` has, by place, part, id and key of the labelled rows; those of shard n have places from
    ``starts[n]`` on. Targets are merged by :meth:`OpenTask.merge`, for each part on its own.
    """
    task = targets.task
    unit = ["part", "id"]
    if not isinstance(task, OpenTask):
        return pd.Series([], pd.Index([], dtype="int64"), dtype="str")
    labelled = rows.dropna(subset="key")
    pairs = labelled.drop_duplicates([*unit, "key"])
    differ = pairs[pairs.duplicated(unit, keep=False)]
    targets_at = dict(_rows_at(sorted(differ.index), shards, starts, task))
    keys = {}
    for _, places in differ.groupby(unit, observed=True).groups.items():
        merged = task.merge([targets_at[place] for place in places])
        if merged is not None:
            keys[tuple(differ.loc[places[0], unit])] = targets.key(merged)
    units = [*labelled[unit].itertuples(index=False, name=None)]
    chosen = [keys.get(unit_id) for unit_id in units]
    return pd.Series(chosen, labelled.index, "str").dropna()


def with_targets(table: pa.Table, place: int, keys: pd.Series, targets: Targets) -> pa.Table:
    """Replace the targets of rows by those with ``keys``; the first row of ``table`` is at ``place``."""
    replaced = keys.iloc[slice(*keys.index.searchsorted([place, place + len(table)]))]
    if replaced.empty:
        return table
    field = targets.task.target
    values = table[field.name].to_pylist()
    for position, key in replaced.items():
        values[int(str(position)) - place] = targets.of(key)
    column = table.column_names.index(field.name)
    return table.set_column(column, field, pa.array(values, field.type))


def _rows_at(
    places: Sequence[int], shards: Sequence[Shard], starts: NDArray[np.int64], task: Task
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the inputs and the target of the rows at ``places``, in order."""
    names = [field.name for field in (*task.inputs, task.target)]
    requested = np.array(places, np.int64)
    for number, shard in enumerate(shards):
        start, end = starts[number : number + 2].tolist()
        if not ((start <= requested) & (requested < end)).any():
            continue
        for table in shard.batches(names):
            inside = requested[(start <= requested) & (requested < start + len(table))]
            yield from zip(inside.tolist(), table.take(pa.array(inside - start)).to_pylist(), strict=True)
            start += len(table)
