"""What to label next: the rows of a run whose labels would help most, as a file to fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file

from react_ray.answer import load_answers
from react_ray.config.file import load_config
from react_ray.config.settings import Config
from react_ray.data.columns import FileColumns, options_of
from react_ray.data.features import Features as RunFeatures
from react_ray.data.records import Rows
from react_ray.data.row import Broken
from react_ray.data.sources import find_files
from react_ray.data.tables import checked_target, write_table
from react_ray.data.views import BLOCKS
from react_ray.errors import InputError
from react_ray.lgan import SENTENCE, Generation
from react_ray.lgan.inputs import Features, Indices
from react_ray.lgan.suggest import most_useful
from react_ray.pipeline.run import run
from react_ray.pipeline.stages.candidates import load_proposals
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap

__all__ = ["choose", "suggest"]


def choose(rows: Features, made: Generation, count: int, seed: int) -> Indices:
    """Indices of the ``count`` unlabelled ``rows`` (m x 3d) whose label would help most."""
    return most_useful(SENTENCE.of(rows, BLOCKS), doubt_of(made), count, seed)


def doubt_of(made: Generation) -> NDArray[np.float32]:
    """How likely the label made for each row is wrong.

    0 for rows of none of the classes, so that they come last: a label for them cannot be given.
    """
    doubt = 1 - np.maximum(made.weight, 1 / made.labels.shape[1])  # a rejected label has weight 0
    doubt[made.foreign] = 0
    found: NDArray[np.float32] = doubt.astype(np.float32)
    return found


@dataclass(frozen=True)
class _Pool:
    """Unlabelled rows of a run to choose from.

    ``rows`` are their inputs, ``features`` (m x d) what they are like, ``doubt`` (m) how likely the label
    made for them is wrong, ``likely`` that label in words, ``weight`` (m) how far it is believed.
    """

    rows: pa.Table
    features: Features
    doubt: NDArray[np.float32]
    likely: list[str]
    weight: NDArray[np.float32]


def suggest(
    folder: str | Path,
    count: int,
    output: str | Path,
    *,
    guard_formulas: bool = False,
    quiet: bool = False,
) -> str:
    """Write ``count`` unlabelled rows of the run in ``folder`` to ``output``; a summary in words.

    The file has the columns of the run's own labelled file, with an empty target, and
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
    done, task = run(config, until="generate", quiet=quiet).stages, get_task(config.task)
    pool = (_of_candidates if task.labeler == "candidates" else _of_label_gan)(task, done)
    if not len(pool.rows):
        raise InputError(f"{folder}: the run had no unlabelled rows to choose from")
    chosen = most_useful(pool.features, pool.doubt, count, config.seed)
    written, targets = _to_fill_in(config, task, pool.rows.take(pa.array(chosen)))
    told = {
        "likely": pa.array([pool.likely[i] for i in chosen]),
        "weight": pa.array(np.round(pool.weight[chosen].astype(float), 4)),
    }
    for name, column in told.items():
        written = written.append_column(name, column)
    write_table(written, file, guard_formulas)
    columns = " and ".join(repr(name) for name in targets)
    return (
        f"{file}: {len(chosen)} rows. Fill in the column{'s' * (len(targets) > 1)} {columns}, put the file "
        "into one folder with your labelled file, and run again with --labeled on that folder."
    )


def _of_label_gan(task: Task, done: Mapping[str, Path]) -> _Pool:
    labels, made = LabelMap.load(done["prepare"] / "labels.json"), Generation.load(done["generate"])
    features = RunFeatures.load(done["prepare"], done["augment"], done["encode"])
    rows = pq.read_table(
        done["prepare"] / "rows.parquet",
        columns=[field.name for field in task.inputs],
        filters=[("part", "=", "unlabeled")],
    )
    likely = [labels.names[i] for i in made.labels.argmax(1)] if len(rows) else []
    sentences = SENTENCE.of(features.of("unlabeled"), features.blocks)
    return _Pool(rows, sentences, doubt_of(made), likely, made.weight)


def _of_candidates(task: Task, done: Mapping[str, Path]) -> _Pool:
    """The rows that were drawn from the pool; a row is like the mean of its units."""
    rows = pq.read_table(done["propose"] / "pool.parquet", columns=[field.name for field in task.inputs])
    labels = LabelMap.load(done["prepare"] / "labels.json").names
    proposals = load_proposals(done["propose"] / "pool", len(task.output_names(labels)))
    units = np.split(proposals["features"], np.cumsum(proposals["sizes"])[:-1]) if len(rows) else []
    features = [own.mean(0) if len(own) else np.zeros(own.shape[1], np.float32) for own in units]
    sure = load_file(done["generate"] / "labels.safetensors")["certainty"]
    answers = load_answers(done["generate"] / "answers.jsonl")
    likely = [task.shown(a.value, row) for a, row in zip(answers, rows.to_pylist(), strict=True)]
    return _Pool(rows, np.array(features, np.float32), 1 - sure, likely, sure)


def _to_fill_in(config: Config, task: Task, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Rows as the run's own labelled file has them, with empty targets; the columns of these."""
    data, given = config.data, _columns_given(config, task)
    own = {column.name for column in task.columns if column.target}
    written, targets = [], []
    for row in rows.to_pylist():
        cells = task.cells_of(row, given)
        blank = data.label_columns or tuple(data.columns.of(name) for name in cells if name in own)
        targets = list(blank)
        inputs = {data.columns.of(name): cell for name, cell in cells.items() if name not in own}
        written.append(inputs | dict.fromkeys(blank, ""))
    return pa.Table.from_pylist(written), targets


def _columns_given(config: Config, task: Task) -> set[str]:
    """The columns of the task that the first labelled file has, as its first row shows."""
    data = config.data
    for source in find_files(data.labeled)[:1] if data.labeled else []:
        layout = FileColumns(task, data.columns, options_of(data), source, labeled=True)
        for _, found, _ in Rows(source, layout.wanted):
            if not isinstance(found, Broken):
                return set(layout.cells(found))
    return set()
