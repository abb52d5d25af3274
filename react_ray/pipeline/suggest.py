"""What to label next: the rows of a run whose labels would help most, as a file to fill in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.config.file import load_config
from react_ray.data.features import Features as RunFeatures
from react_ray.data.tables import checked_target, write_table
from react_ray.data.views import BLOCKS
from react_ray.errors import InputError
from react_ray.lgan import SENTENCE, Generation
from react_ray.lgan.inputs import Features, Indices
from react_ray.lgan.suggest import most_useful
from react_ray.pipeline.run import run
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap

__all__ = ["choose", "suggest"]


def choose(rows: Features, made: Generation, count: int, seed: int) -> Indices:
    """Indices of the ``count`` unlabelled ``rows`` (m x 3d) whose label would help most.

    Rows of none of the classes come last: a label for them cannot be given.
    """
    doubt = 1 - np.maximum(made.weight, 1 / made.labels.shape[1])  # a rejected label has weight 0
    doubt[made.foreign] = 0
    return most_useful(SENTENCE.of(rows, BLOCKS), doubt.astype(np.float32), count, seed)


def suggest(
    folder: str | Path,
    count: int,
    output: str | Path,
    *,
    guard_formulas: bool = False,
    quiet: bool = False,
) -> str:
    """Write ``count`` unlabelled rows of the run in ``folder`` to ``output``; a summary in words.

    The file has the columns of the run's own labelled file, with an empty label, and
    ``likely`` and ``weight``: the label made for the row and how far it is believed. Fill
    in labels and give the file to a run: a row left empty counts as unlabelled. With
    ``guard_formulas`` no cell of a csv file can run in a spreadsheet. Stages of
    the run that are gone are done again. Raises InputError.
    """
    file, folder = checked_target(output), Path(folder).expanduser().absolute()
    if file.exists():  # it may hold labels that a person has filled in
        raise InputError(f"--output {file}: the file is there already; give another name")
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise InputError(f"{folder}: no finished run found there (it has no config.yaml)")
    file.parent.mkdir(parents=True, exist_ok=True)
    config = load_config(saved, flags={"output": str(folder)})  # a run may have been moved
    done = run(config, until="generate", quiet=quiet).stages
    labels = LabelMap.load(done["prepare"] / "labels.json")
    made = Generation.load(done["generate"])
    if not len(made.weight):
        raise InputError(f"{folder}: the run had no unlabelled rows to choose from")
    rows = RunFeatures.load(done["prepare"], done["augment"], done["encode"]).of("unlabeled")
    chosen = choose(rows, made, count, config.seed)
    task, columns = get_task(config.task), config.data.columns
    inputs = [field.name for field in task.inputs if _is_column(task, field.name)]
    target = columns.of(next(column.name for column in task.columns if column.target))
    pool = pq.read_table(
        done["prepare"] / "rows.parquet", columns=inputs, filters=[("part", "=", "unlabeled")]
    )
    table = pa.table(
        {
            **{columns.of(name): pool[name].take(pa.array(chosen)) for name in inputs},
            target: pa.array([""] * len(chosen)),
            "likely": [labels.names[i] for i in made.labels[chosen].argmax(1)],
            "weight": np.round(made.weight[chosen].astype(float), 4),
        }
    )
    write_table(table, file, guard_formulas)
    return (
        f"{file}: {len(chosen)} rows. Fill in the column {target!r}, put the file into "
        "one folder with your labelled file, and run again with --labeled on that folder."
    )


def _is_column(task: Task, name: str) -> bool:
    """Whether an input of the task stands in a column of files by the same name."""
    return any(column.name == name and not column.target for column in task.columns)
