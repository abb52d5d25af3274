"""A fine-tuned intent classifier: a run with the questions of known intent as labels, all others as pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray import load, run
from react_ray import load_config as load_run_config
from react_ray.apps.assist.folder import RUN
from react_ray.apps.assist.intents import folds
from react_ray.apps.assist.read import Entry
from react_ray.apps.assist.settings import AssistConfig
from react_ray.apps.assist.tuning import lowest_sure
from react_ray.folders import make_private_folder, remove_folder

__all__ = ["train_classifier"]


def train_classifier(
    entries: Sequence[Entry], config: AssistConfig, folder: Path, *, verbose: bool, quiet: bool
) -> float:
    """Train on four fifths of the questions of known intent; return the threshold on the others.

    Of the run only the model stays: the other files have texts, which ``forget`` could not delete there.

    An intent with one question cannot be held out: it is trained on, and the threshold knows nothing of it.
    Raises InputError and TrainingError as :func:`react_ray.run`.
    """
    labelled = [entry for entry in entries if entry.question and entry.intent]
    intents = [str(entry.intent) for entry in labelled]
    parts = list(folds(intents, config.seed))
    held = parts[0][1] if parts else np.zeros(0, np.int64)
    train = np.setdiff1d(np.arange(len(labelled)), held)
    place = folder / RUN
    make_private_folder(place)
    pool = [entry.question for entry in entries if entry.question and not entry.intent]
    files = {
        "labeled": ([labelled[i].question for i in train], [intents[i] for i in train]),
        "validation": ([labelled[i].question for i in held], [intents[i] for i in held]),
        "unlabeled": (pool, None),
    }
    names = {"model": config.encoder, "encoder": config.encoder, "output": str(place)}
    flags: dict[str, object] = {**names, "seed": config.seed, "onnx": False}
    for name, (texts, labels) in files.items():
        if texts:
            columns = {"text": texts} | ({} if labels is None else {"label": labels})
            pq.write_table(pa.table(columns), place / f"{name}.parquet")
            flags[f"data.{name}"] = str(place / f"{name}.parquet")
    run_config = load_run_config(flags=flags).model_copy(update={"cluster": config.cluster})
    run(run_config, verbose=verbose, quiet=quiet)
    for path in place.iterdir():
        if path.is_file():
            path.unlink()
        elif path.name != "model":
            remove_folder(path)
    if not len(held):
        return 2.0
    classifier = load(place)
    probabilities = classifier.predict_proba([labelled[i].question for i in held])
    best = np.array(classifier.labels, object)[probabilities.argmax(1)]
    return lowest_sure(
        probabilities.max(1).astype(np.float64),
        best == np.array([intents[i] for i in held], object),
        config.precision,
    )
