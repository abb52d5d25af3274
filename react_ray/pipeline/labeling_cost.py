"""Estimated cost of the labels of the unlabelled pool, which depends on the labeler of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from react_ray.data.views import BLOCKS, VIEWS
from react_ray.labelers.candidates import FOLDS, ITERATIONS
from react_ray.lgan.probe import MANY_CLASSES, seconds_a_cell
from react_ray.tasks import Task
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.units import unit_task

__all__ = ["LabelingCost", "RunSize", "labeling_cost"]

PASSES = {False: 4000, True: 550}
"""Passes of fits over all rows and classes in a run (True: with many classes), of one view's width each."""
SOLVER_ROWS = 3.6
"""Overhead of an L-BFGS step, in rows for each feature of a row."""


@dataclass(frozen=True)
class RunSize:
    """Rows of a run, and sizes of its models, that the cost depends on."""

    rows: int
    """Rows of all parts; they have ``table_bytes`` in memory."""
    labeled: int
    unlabeled: int
    copies: int
    proposed: int
    """Rows of the pool that the fine-tuned model labels."""
    table_bytes: int
    encoders: int
    width: int
    """Features of a block of an encoder."""
    parameters: int

    @property
    def row_bytes(self) -> int:
        """Bytes of the features of a row, and of its views."""
        return 4 * self.width * self.encoders * (BLOCKS + sum(view.count for view in VIEWS))


class LabelingCost(NamedTuple):
    """Minutes on one core; memory in bytes, and in cells (rows x classes) and weights of classifiers."""

    minutes: float
    memory: int
    cells: int
    weights: int


def labeling_cost(task: Task, labels: LabelMap, sample: pa.Table, size: RunSize) -> LabelingCost:
    """Estimate the cost of the labels; ``sample`` has the inputs of some rows."""
    memory = 16 * size.parameters + size.table_bytes
    if task.labeler == "proposals":
        return LabelingCost(0.0, memory, 0, 0)
    if task.labeler == "candidates":
        units = (size.labeled + size.proposed) * _units_a_row(task, sample)
        options = len(task.output_names(labels.names))
        seconds = FOLDS * ITERATIONS * options * units * seconds_a_cell(size.width * size.encoders)
        return LabelingCost(
            seconds / 60, memory + int(units * size.row_bytes / BLOCKS), int(units * options), 0
        )
    rows, classes = size.labeled + size.unlabeled, len(labels.names)
    return LabelingCost(
        size.encoders * _label_gan_minutes(classes, rows, size.copies, size.width),
        memory + size.row_bytes * (size.rows + size.copies),
        classes * (rows + size.copies),
        classes * size.width * size.encoders,
    )


def _units_a_row(task: Task, rows: pa.Table) -> float:
    """Return the mean number of units (such as words) of a row for the labeler candidates."""
    units = unit_task(task).units(rows)
    return 1.0 if units is None or not units else sum(map(len, units)) / len(units)


def _label_gan_minutes(classes: int, rows: int, copies: int, width: int) -> float:
    """Estimate the minutes of the label GAN's fits on one core; with many classes they omit the copies."""
    many_classes = classes > MANY_CLASSES
    fitted = rows + (0 if many_classes else copies) + SOLVER_ROWS * width
    return PASSES[many_classes] * classes * fitted * seconds_a_cell(width) / 60
