"""Active learning: the unlabelled rows of a run whose labels would help most, as a file to fill in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from react_ray.data.columns import labelled_columns
from react_ray.data.tables import checked_target, write_table
from react_ray.data.views import BLOCKS
from react_ray.errors import InputError
from react_ray.labelers.encoded_rows import EncodedRows
from react_ray.lgan import SENTENCE, Generation
from react_ray.lgan.inputs import Features, Indices
from react_ray.lgan.suggest import most_useful
from react_ray.pipeline.run import run
from react_ray.pipeline.stages.candidates import load_proposals
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap

__all__ = ["choose", "suggest"]


def choose(rows: Features, generation: Generation, count: int, seed: int) -> Indices:
    """Return the indices of the ``count`` unlabelled ``rows`` (m x 3d) whose label would help most."""
    return most_useful(SENTENCE.of(rows, BLOCKS), doubt_of(generation), count, seed)


def doubt_of(generation: Generation) -> NDArray[np.float32]:
    """Return the probability that the generated label of each row is wrong.

    It is 0 for rows that are out of scope, so that they come last: no class fits them.
    """
    doubt = 1 - np.maximum(generation.weight, 1 / generation.labels.shape[1])  # a rejected label has weight 0
    doubt[generation.foreign] = 0
    result: NDArray[np.float32] = doubt.astype(np.float32)
    return result


@dataclass(frozen=True)
class _Pool:
    """Unlabelled rows of a run to choose from.

    ``rows`` are their inputs, ``features`` (m x d) their features, ``doubt`` (m) the probability that the
    generated label is wrong, ``likely`` the generated label as text, ``weight`` (m) its weight.
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
    """Write ``count`` unlabelled rows of the run in ``folder`` to ``output``; return a summary.

    The file has the columns of the run's labelled file, with an empty target, and
    ``likely`` and ``weight``: the generated label of the row and its weight. Fill in
    labels and use the file in the next run; rows left empty count as unlabelled.
    ``guard_formulas`` escapes cells that a spreadsheet would run as formulas. Stages that
    are no longer in the cache are run again. Raises InputError.
    """
    file, folder = checked_target(output), Path(folder).expanduser().absolute()
    if file.exists():  # it may hold labels that a person has filled in
        raise InputError(f"--output {file}: the file exists; choose another name")
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise InputError(f"{folder}: not a finished run (it has no config.yaml)")
    file.parent.mkdir(parents=True, exist_ok=True)
    config = load_config(saved, flags={"output": str(folder)})  # a run may have been moved
    stages, task = run(config, until="generate", quiet=quiet).stages, get_task(config.task)
    pool = POOLS[task.labeler](task, stages, config.data.separator)
    if not len(pool.rows):
        raise InputError(f"{folder}: the run had no unlabelled rows to choose from")
    chosen = most_useful(pool.features, pool.doubt, count, config.seed)
    written, targets = _to_fill_in(config, task, pool.rows.take(pa.array(chosen)))
    added = {
        "likely": pa.array([pool.likely[i] for i in chosen]),
        "weight": pa.array(np.round(pool.weight[chosen].astype(float), 4)),
    }
    for name, column in added.items():
        written = written.append_column(name, column)
    write_table(written, file, guard_formulas)
    columns = " and ".join(repr(name) for name in targets)
    return (
        f"{file}: {len(chosen)} rows. Fill in the column{'s' * (len(targets) > 1)} {columns}, put the file "
        "into one folder with your labelled file, and run again with --labeled on that folder."
    )


def _of_label_gan(task: Task, stages: Mapping[str, Path], separator: str | None) -> _Pool:
    labels, generation = LabelMap.load(stages["prepare"] / "labels.json"), Generation.load(stages["generate"])
    features = EncodedRows.load(stages["prepare"], stages["augment"], stages["encode"])
    rows = pq.read_table(
        stages["prepare"] / "rows.parquet",
        columns=[field.name for field in task.inputs],
        filters=[("part", "=", "unlabeled")],
    )
    likely = [labels.names[i] for i in generation.labels.argmax(1)] if len(rows) else []
    sentences = SENTENCE.of(features.of("unlabeled"), features.blocks)
    return _Pool(rows, sentences, doubt_of(generation), likely, generation.weight)


def written_labels(labels: Sequence[str], separator: str | None) -> str:
    """Write a label set as a cell that is read back: with the file's separator, or as a list in JSON.

    Example
    -------
    >>> written_labels(["joy", "love"], None), written_labels(["joy", "love"], "|"), written_labels([], "|")
    ('["joy", "love"]', 'joy|love', '[]')
    """
    if separator is None or not labels or any(separator in name for name in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return separator.join(labels)


def _of_candidates(task: Task, stages: Mapping[str, Path], separator: str | None) -> _Pool:
    """Return the sampled rows of the pool; the features of a row are the mean of its units."""
    rows = pq.read_table(stages["propose"] / "pool.parquet", columns=[field.name for field in task.inputs])
    labels = LabelMap.load(stages["prepare"] / "labels.json").names
    proposals = load_proposals(stages["propose"] / "pool", len(task.output_names(labels)))
    units = np.split(proposals["features"], np.cumsum(proposals["sizes"])[:-1]) if len(rows) else []
    features = [of_row.mean(0) if len(of_row) else np.zeros(of_row.shape[1], np.float32) for of_row in units]
    certainty = load_file(stages["generate"] / "labels.safetensors")["certainty"]
    answers = load_answers(stages["generate"] / "answers.jsonl")
    if task.answers == "labels":
        likely = [written_labels(answer.value, separator) for answer in answers]
    else:
        likely = [task.shown(a.value, row) for a, row in zip(answers, rows.to_pylist(), strict=True)]
    return _Pool(rows, np.array(features, np.float32), 1 - certainty, likely, certainty)


def _of_proposals(task: Task, stages: Mapping[str, Path], separator: str | None) -> _Pool:
    """Return the sampled rows of the pool, without features: by the doubt about their answers alone."""
    rows = pq.read_table(stages["propose"] / "pool.parquet", columns=[field.name for field in task.inputs])
    certainty = load_file(stages["generate"] / "labels.safetensors")["certainty"]
    answers = load_answers(stages["generate"] / "answers.jsonl")
    likely = [task.shown(a.value, row) for a, row in zip(answers, rows.to_pylist(), strict=True)]
    return _Pool(rows, np.zeros((len(rows), 1), np.float32), 1 - certainty, likely, certainty)


POOLS = {"label_gan": _of_label_gan, "candidates": _of_candidates, "proposals": _of_proposals}
"""The pool of a run, by the labeler of its task."""


def _to_fill_in(config: Config, task: Task, rows: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return rows in the format of the run's labelled file, and the names of their empty target columns."""
    data, columns = config.data, labelled_columns(config.data, task)
    target_names = {column.name for column in task.columns if column.target}
    written, targets = [], []
    for row in rows.to_pylist():
        cells = task.cells_of(row, columns)
        blank = data.label_columns or tuple(data.columns.of(name) for name in cells if name in target_names)
        targets = list(blank)
        inputs = {data.columns.of(name): cell for name, cell in cells.items() if name not in target_names}
        written.append(inputs | dict.fromkeys(blank, ""))
    return pa.Table.from_pylist(written), targets
