"""Texts whose letters tell the class, and a training run on them in this process."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.config.settings import FinetuneConfig
from react_ray.inference.classifier import load
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

LETTERS = {"zeta": "abcdefg", "alpha": "hijklmn", "中": "opqrstu"}
LABELS = sorted(LETTERS)


def make_rows(count: int, seed: int = 0) -> pa.Table:
    """Texts of 2 to 9 words, one class after the other."""
    pick = random.Random(seed)
    labels = [list(LETTERS)[i % 3] for i in range(count)]

    def word(label: str) -> str:
        return "".join(pick.choice(LETTERS[label]) for _ in range(pick.randint(1, 4)))

    texts = [" ".join(word(label) for _ in range(pick.randint(2, 9))) for label in labels]
    return pa.table({"text": texts, "label": labels})


def relabel(rows: pa.Table, change: Callable[[int, str], str]) -> pa.Table:
    labels = [change(i, label) for i, label in enumerate(rows["label"].to_pylist())]
    return rows.set_column(1, "label", pa.array(labels))


def mislabel(rows: pa.Table) -> pa.Table:
    """Every label is the next class's."""
    return relabel(rows, lambda i, label: LABELS[(LABELS.index(label) + 1) % 3])


def write_settings(
    folder: Path, model: Path, rows: pa.Table, validation: pa.Table | None = None, **finetune: Any
) -> dict[str, Any]:
    """Settings of ``loop`` for rows that are written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / "train.parquet")
    if validation is not None:
        pq.write_table(validation, folder / "validation.parquet")
    return {
        "model": str(model),
        "labels": LABELS,
        "train": str(folder / "train.parquet"),
        "validation": str(folder / "validation.parquet") if validation is not None else None,
        "config": FinetuneConfig(**{"lr": 3e-3, "epochs": 3, **finetune}).model_dump(),
        "seed": 1,
    }


def train(
    folder: Path, model: Path, rows: pa.Table, validation: pa.Table | None = None, **finetune: Any
) -> Path:
    """The folder of the last checkpoint."""
    worker = LocalWorker(folder / "checkpoints")
    loop(worker, **write_settings(folder, model, rows, validation, **finetune))
    last = worker.checkpoint()
    assert last is not None
    return last


def probabilities(checkpoint: Path, rows: pa.Table) -> np.ndarray:
    return load(checkpoint / "model", use_gpu=False).predict_proba(rows["text"].to_pylist())


def accuracy(checkpoint: Path, rows: pa.Table) -> float:
    predicted = load(checkpoint / "model", use_gpu=False).predict(rows["text"].to_pylist())
    right = [p.label == label for p, label in zip(predicted, rows["label"].to_pylist(), strict=True)]
    return float(np.mean(right))
