"""Data sets of the tasks, and draws of a few labelled rows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.datasets import DATA, DatasetMissingError
from react_ray.config.settings import EMBEDDED, MULTILINGUAL, SCRATCH
from react_ray.tasks import get_task
from react_ray.tasks.answer_cells import parse_answers

__all__ = ["SETS", "DataSet", "Draw", "draw", "read"]


@dataclass(frozen=True)
class DataSet:
    """A data set in the data folder; ``sizes`` are shares of the rows, or rows a class where above 1.

    ``labels_from`` is a set whose training rows are labelled, and the pool is the training rows of this one.
    ``folder`` is that of the set, where it is not named like it.
    """

    name: str
    task: str
    target: str
    sizes: tuple[float, ...]
    pool: int = 4000
    test: int = 2000
    labels_from: str = ""
    model: str = EMBEDDED
    folder: str = ""


SETS = {
    found.name: found
    for found in (
        DataSet("trec", "text-classification", "label", (0.01, 0.05, 0.2)),
        DataSet("thucnews_titles", "text-classification", "label", (0.01, 0.05, 0.2), model=MULTILINGUAL),
        DataSet("wnut17", "token-classification", "tags", (0.01, 0.05, 0.2)),
        DataSet("resume_ner_zh", "token-classification", "tags", (0.01, 0.05, 0.2), model=MULTILINGUAL),
        DataSet("semeval2010_task8", "relation-extraction", "label", (0.01, 0.05, 0.2, 5, 20, 50)),
        DataSet("goemotions", "multi-label-classification", "labels", (0.01, 0.05, 0.2, 5, 20, 50)),
        DataSet("dialogsum", "extractive-summarization", "summary", (0.05, 0.2)),
        DataSet("csl_title_zh", "extractive-summarization", "summary", (0.05, 0.2), model=MULTILINGUAL),
        DataSet(
            "dialogsum_generated", "summarization", "summary", (0.2,), 400, 200, "", SCRATCH, "dialogsum"
        ),
        DataSet("squad2", "question-answering", "answers", (0.075, 0.25, 0.5), pool=400, test=200),
        DataSet("xquad_en", "question-answering", "answers", (0.15, 0.5), 400, 200, labels_from="squad2"),
        DataSet("xquad_zh", "question-answering", "answers", (0.15, 0.5), 400, 200, "squad2", MULTILINGUAL),
        DataSet("multi30k_en_de", "translation", "target", (0.05, 0.2), 8000, 200, model=SCRATCH),
        DataSet("tatoeba_en_zh", "translation", "target", (0.05, 0.2), 8000, 200, model=SCRATCH),
        DataSet("afqmc", "text-pair-classification", "label", (0.01, 0.05, 0.2), model=MULTILINGUAL),
    )
}


@dataclass(frozen=True)
class Draw:
    """Files of one draw: labelled rows, the pool with its truth aside, test rows, and all labelled rows."""

    labeled: Path
    pool: Path
    test: Path
    whole: Path


def read(data_set: DataSet, data: Path = DATA) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows. Raises DatasetMissingError."""
    folder = data / (data_set.folder or data_set.name)
    if not (folder / "train.parquet").exists():
        raise DatasetMissingError(f"{data_set.name}: no train.parquet in {folder} (--data names the folder)")
    parts = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    if get_task(data_set.task).answers == "span":
        parts = map(questions, parts)  # type: ignore[assignment]
    return tuple(parts)  # type: ignore[return-value]


def questions(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns context, question and answers, the characters of all right ones."""
    cells = [
        {name: cell.tolist() if isinstance(cell, np.ndarray) else cell for name, cell in row.items()}
        for row in rows.to_dict("records")
    ]
    spans = [parse_answers(one["context"], one) for one in cells]
    return rows[["context", "question"]].assign(answers=spans)


def draw(data_set: DataSet, size: float, seed: int, folder: Path, data: Path = DATA) -> Draw:
    """Write the files of a draw into ``folder``; the same size and seed always give the same rows."""
    own, test = read(data_set, data)
    train = _labels_of(data_set, data) if data_set.labels_from else own
    random = np.random.default_rng(seed)
    order = random.permutation(len(train))
    targets = train[data_set.target].tolist()
    chosen = (
        order[: max(1, round(size * len(train)))] if size < 1 else _of_each_class(targets, order, int(size))
    )
    pool = own.iloc[random.permutation(len(own)) if data_set.labels_from else order[~np.isin(order, chosen)]]
    folder.mkdir(parents=True, exist_ok=True)
    files = Draw(*(folder / f"{name}.parquet" for name in ("labeled", "pool", "test", "whole")))
    train.iloc[chosen].to_parquet(files.labeled)
    pool[: data_set.pool].rename(columns={data_set.target: "truth"}).to_parquet(files.pool)
    test.iloc[random.permutation(len(test))[: data_set.test]].to_parquet(files.test)
    train.to_parquet(files.whole)
    return files


def _labels_of(data_set: DataSet, data: Path) -> pd.DataFrame:
    """Training rows of another set; without unanswerable questions, which the test rows do not have."""
    train, _ = read(SETS[data_set.labels_from], data)
    return train[train["answers"].map(len) > 0]


def _of_each_class(targets: Sequence[object], order: np.ndarray, count: int) -> np.ndarray:
    """Rows in ``order`` that are taken while one of their classes has fewer than ``count``."""
    taken: Counter[str] = Counter()
    chosen = []
    for row in order.tolist():
        target = targets[row]
        names = [target] if isinstance(target, str) else list(target)  # type: ignore[call-overload]
        if any(taken[name] < count for name in names):
            taken.update(names)
            chosen.append(row)
    return np.array(chosen)
