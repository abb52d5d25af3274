"""Augmentation of labelled rows by small changes that keep their target (S3).

The task decides which changes keep a target, see :meth:`react_ray.tasks.Task.augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.config.settings import AugmentConfig
from react_ray.data.encode import write_whole
from react_ray.data.shards import row_id
from react_ray.tasks import Task, get_task

__all__ = ["AugmentTask", "augment_items", "augment_table", "copy_schema", "join_parts", "labelled_rows"]

BATCH_ROWS = 1000


def copy_schema(task: Task) -> pa.Schema:
    """Return the schema of the copies: id, copy_of (id of the source row), input columns and target."""
    return pa.schema([("id", pa.string()), ("copy_of", pa.string()), *task.inputs, task.target])


def labelled_rows(table: pa.Table, task: Task) -> Iterator[dict[str, Any]]:
    """Yield the input columns and the target of each row, converted a batch at a time."""
    for batch in table.select(_columns(task)).to_batches(BATCH_ROWS):
        yield from batch.to_pylist()


def augment_table(
    table: pa.Table, config: AugmentConfig, seed: int, task: Task, collected: Any = None
) -> pa.Table:
    """Return copies of the rows in ``table`` (id, the input columns, the target), see :func:`copy_schema`.

    ``collected`` is the result of :meth:`react_ray.tasks.Task.collect` for all labelled rows. Apart from it,
    rows do not depend on each other, so a large table may be augmented batch by batch.
    """
    ids, rows = table["id"].to_pylist(), table.select(_columns(task)).to_pylist()
    copies = [
        {"id": row_id(task, copy), "copy_of": of, **copy}
        for of, row in zip(ids, rows, strict=True)
        for copy in task.augment(row, config, seed, collected)
    ]
    return pa.Table.from_pylist(copies, schema=copy_schema(task))


def _columns(task: Task) -> list[str]:
    return [field.name for field in (*task.inputs, task.target)]


@dataclass(frozen=True)
class AugmentTask:
    """Worker task: augment one item of :func:`augment_items`; ``collected`` is that of ``Task.collect``."""

    config: AugmentConfig
    seed: int
    task: str
    collected: Any = None

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Return a function that augments an item and returns the number of copies."""
        task = get_task(self.task)

        def make(item: dict[str, Any]) -> int:
            copies = augment_table(
                pq.read_table(item["source"]), self.config, self.seed, task, self.collected
            )
            write_whole(copies, Path(item["target"]))
            return copies.num_rows

        return make


def augment_items(labeled: pa.Table, folder: Path, size: int) -> list[dict[str, Any]]:
    """Split ``labeled`` into files of ``size`` rows in ``folder``; return those not yet augmented."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number, start in enumerate(range(0, labeled.num_rows, size)):
        source, target = folder / f"{number:06d}.rows", folder / f"{number:06d}.parquet"
        if not target.exists():
            write_whole(labeled.slice(start, size), source)
            items.append({"source": str(source), "target": str(target)})
    return items


def join_parts(folder: Path, target: Path, group_rows: int, task: Task) -> None:
    """Concatenate all copies in ``folder`` into the file ``target``, in the order of the source rows."""
    parts = [pq.read_table(part) for part in sorted(folder.glob("*.parquet"))]
    pq.write_table(
        pa.concat_tables([copy_schema(task).empty_table(), *parts]), target, row_group_size=group_rows
    )
