"""The grid's cells: which there are, what one computes, and the file it is kept in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from benchmarks.datasets import NONE, LabelsPerClass
from benchmarks.label_efficiency.draws import Draw, Truth, cut
from benchmarks.label_efficiency.features import Stored
from benchmarks.label_efficiency.methods import METHODS, Answer, find_method
from benchmarks.label_efficiency.signals import judge, judge_balance, judge_foreign
from react_ray import __version__
from react_ray.evaluate.metrics import label_quality

__all__ = ["Cell", "Results", "grid", "run_cell"]

FINETUNED_POOL, FINETUNED_TEST = 1_500, 1_000
"""The most rows for methods that fine-tune an encoder: they take minutes a cell as it is."""
QUALITY = ("accuracy", "kept_accuracy", "auroc_weight", "auroc_score", "ece_weight")
DIGITS = 6


@dataclass(frozen=True)
class Cell:
    """One result of the grid. ``pool`` and ``test`` are the most rows of each (None: all)."""

    dataset: str
    labels_per_class: LabelsPerClass
    seed: int
    method: str
    encoder: str
    pool: int
    test: int | None

    def __str__(self) -> str:
        return f"{self.dataset}, {self.labels_per_class} a class, draw {self.seed}, {self.method}"

    @classmethod
    def of(cls, record: dict[str, Any]) -> Cell:
        """The cell that a kept record is of."""
        return cls(**{key: record[key] for key in cls.__dataclass_fields__})


def grid(
    datasets: Sequence[str],
    labels_per_class: Sequence[LabelsPerClass],
    draws: int,
    methods: Sequence[str],
    *,
    encoder: str,
    pool: int,
    test: int | None,
) -> list[Cell]:
    """All cells that a method can do, a data set after the other.

    With all labels there is one draw; so there is for a method that runs ``once``.
    """
    cells = []
    for dataset in datasets:
        for count in labels_per_class:
            for seed in range(1 if count == "all" else draws):
                for name in methods:
                    if not METHODS[name].once and _enough(count, METHODS[name].least):
                        cells.append(_cell(dataset, count, seed, name, encoder, pool, test))
        for name in methods:
            if METHODS[name].once:
                cells.append(_cell(dataset, "all", 0, name, encoder, pool, test))
    return cells


def _enough(count: LabelsPerClass, least: int) -> bool:
    return count == "all" or count >= least


def _cell(
    dataset: str, count: LabelsPerClass, seed: int, name: str, encoder: str, pool: int, test: int | None
) -> Cell:
    if METHODS[name].finetunes:
        pool = min(pool, FINETUNED_POOL)
        test = FINETUNED_TEST if test is None else min(test, FINETUNED_TEST)
    return Cell(dataset, count, seed, name, _public_name(encoder), pool, test)


def _public_name(encoder: str) -> str:
    """The encoder without the place where this machine keeps it."""
    return Path(encoder).name if Path(encoder).is_dir() else encoder


def run_cell(cell: Cell, stored: Stored, setfit_python: Path | None = None) -> dict[str, Any]:
    """Compute one cell: the record that is kept."""
    draw, truth = cut(stored, cell.labels_per_class, cell.seed, cell.pool, cell.test)
    method = find_method(cell.method, setfit_python)
    started = time.perf_counter()
    found = method.answer(draw)
    seconds = time.perf_counter() - started
    answer = found if isinstance(found, Answer) else Answer(found)
    return {
        **asdict(cell),
        **_score(answer, truth),
        "seconds": round(seconds, 3),
        "rows": {"labeled": len(draw.labeled), "pool": len(draw.pool), "test": len(draw.test)},
        "details": {**answer.details, **_judge(answer, draw, truth)},
        "version": __version__,
    }


def _score(answer: Answer, truth: Truth) -> dict[str, float]:
    """Figures on the test rows; a collapsed method's numbers that are none count as 0."""
    predicted = np.nan_to_num(answer.probabilities).argmax(1)
    if len(predicted) != len(truth.test):
        raise ValueError(f"{len(predicted)} answers for {len(truth.test)} test rows")
    macro = f1_score(truth.test, predicted, average="macro", zero_division=0)
    return {
        "macro_f1": round(float(macro), DIGITS),
        "accuracy": round(float((predicted == truth.test).mean()), DIGITS),
    }


def _judge(answer: Answer, draw: Draw, truth: Truth) -> dict[str, Any]:
    """How right the labels made for the pool are."""
    if answer.made is None:
        return {}
    names, made = draw.classes.names, answer.made
    true = [(*names, NONE)[label] for label in truth.pool]  # -1 is the last
    quality = label_quality(made.labels, made.weight, made.score, names, true)
    if quality is None:
        return {}
    figures = {key: quality[key] for key in QUALITY}  # type: ignore[literal-required]
    rounded = {key: None if v is None else round(v, DIGITS) for key, v in figures.items()}
    return {
        "made": rounded,
        "signals": judge(answer.signals, made.labels.argmax(1) == truth.pool),
        "foreign": judge_foreign(answer.signals, made.kept, truth.pool < 0),
        "balance": judge_balance(answer.balance, truth.pool, draw.labels),
    }


class Results:
    """The records of a folder: a JSON line a cell, a file a data set."""

    def __init__(self, folder: Path):
        self.folder = folder

    def records(self) -> list[dict[str, Any]]:
        """All that is kept, in the order of the files' names."""
        return [record for file in sorted(self.folder.glob("*.jsonl")) for record in _read(file)]

    def missing(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells that are not kept yet."""
        kept = {Cell.of(record) for record in self.records()}
        return [cell for cell in cells if cell not in kept]

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; a line that a kill left half written goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{record['dataset']}.jsonl").open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def _read(file: Path) -> list[dict[str, Any]]:
    whole, _, _ = file.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
