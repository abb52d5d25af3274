"""SetFit with several labels a text, in an environment of its own, on the draws of this benchmark."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.label_efficiency.methods.finetuned import PEER
from benchmarks.tasks.draws import Draw
from react_ray.answer import Answer
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options

__all__ = ["setfit_figures"]

TASK = get_task("multi-label-classification")
THRESHOLD = 0.5
"""Of SetFit's own ``predict``."""


def setfit_figures(files: Draw, folder: Path, model: str, seed: int, python: Path) -> dict[str, float]:
    """Train SetFit on the labelled rows and return its test metrics.

    ``python`` is the interpreter of its environment, see :mod:`benchmarks.label_efficiency.setfit_peer`.
    """
    labeled, test = (pd.read_parquet(path) for path in (files.labeled, files.test))
    names = sorted({name for labels in labeled["labels"] for name in labels})
    test = test[[set(labels) <= set(names) for labels in test["labels"]]]  # the others are rejected in a run
    truths = [[int(name in set(labels)) for name in names] for labels in labeled["labels"]]
    folder.mkdir(parents=True)
    pd.DataFrame({"text": labeled["text"], "label": truths}).to_parquet(folder / "train.parquet", index=False)
    test[["text"]].to_parquet(folder / "test.parquet", index=False)
    path = load_tokenizer(model).name_or_path
    options = ["--folder", folder, "--model", path, "--seed", seed]
    subprocess.run([str(python), "-I", str(PEER), *map(str, options)], check=True, stdout=subprocess.DEVNULL)
    scores = np.load(folder / "probabilities.npy")
    answers = [
        Answer([name for name, score in zip(names, row, strict=True) if score >= THRESHOLD], 1.0, ())
        for row in scores.tolist()
    ]
    rows = [TASK.parse({**row, "labels": list(row["labels"])}, Options()) for _, row in test.iterrows()]
    return TASK.measure(answers, pa.Table.from_pylist(rows), names)
