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
    target: str | Path,
    *,
    guard_formulas: bool = False,
    quiet: bool = False,
) -> str:
    """Write ``count`` unlabelled rows of the run in ``folder`` to ``target``; a summary in words.

    The file has the columns of the run's own labelled file, with an empty label, and
    ``likely`` and ``weight``: the label made for the row and how far it is believed. Fill
    in labels and give the file to a run: a row left empty counts as unlabelled. With
    ``guard_formulas`` no cell of a csv file can run in a spreadsheet. Stages of
    the run that are gone are done again. Raises InputError.
    """
    target, folder = checked_target(target), Path(folder).expanduser().absolute()
    if target.exists():  # it may hold labels that a person has filled in
        raise InputError(f"--output {target}: the file is there already; give another name")
    saved = folder / "config.yaml"
    if not saved.is_file():
        raise InputError(f"{folder}: no finished run found there (it has no config.yaml)")
    target.parent.mkdir(parents=True, exist_ok=True)
    config = load_config(saved, flags={"output": str(folder)})  # a run may have been moved
    done = run(config, until="generate", quiet=quiet).stages
    labels = LabelMap.load(done["prepare"] / "labels.json")
    made = Generation.load(done["generate"])
    if not len(made.weight):
        raise InputError(f"{folder}: the run had no unlabelled rows to choose from")
    rows = RunFeatures.load(done["prepare"], done["augment"], done["encode"]).of("unlabeled")
    chosen = choose(rows, made, count, config.seed)
    texts = pq.read_table(
        done["prepare"] / "rows.parquet", columns=["text"], filters=[("part", "=", "unlabeled")]
    )
    table = pa.table(
        {
            config.data.columns.text: texts["text"].take(pa.array(chosen)),
            config.data.columns.label: pa.array([""] * len(chosen)),
            "likely": [labels.names[i] for i in made.labels[chosen].argmax(1)],
            "weight": np.round(made.weight[chosen].astype(float), 4),
        }
    )
    write_table(table, target, guard_formulas)
    return (
        f"{target}: {len(chosen)} rows. Fill in the column {config.data.columns.label!r}, put the file into "
        "one folder with your labelled file, and run again with --labeled on that folder."
    )
