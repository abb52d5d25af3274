"""The data sets of the benchmarks: a few labels, a pool and a test set from each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from react_ray.pipeline.demo import TEST_ROWS, read_bbc_news
from react_ray.tasks.labels import LabelMap

DATA = Path(__file__).parents[2] / "shared" / "data"
FOLDER = {"trec_fine": "trec"}
"""Sets that are another reading of a folder of another name."""
LABEL_COLUMN = {"trec": "coarse"}
NAMES = (
    "bbc",
    "agnews",
    "trec",
    "trec_fine",
    "sst2",
    "financial_phrasebank",
    "gold_news",
    "banking77",
    "clinc150",
)

CHINESE = ("thucnews_titles", "chnsenticorp_hotel")

NONE = "(none of the classes)"
"""Label of training rows from elsewhere; no labelled and no test row has it."""

HALF = "~half"
"""Ending of a set where every second class has no labelled row."""

LabelsPerClass = int | Literal["all"]


class DatasetMissingError(Exception):
    """The data folder does not hold the set; the message says where it was looked for."""


@dataclass(frozen=True)
class Rows:
    """One draw as tables of text and label; ``labeled`` and ``pool`` keep the index of the training rows."""

    labeled: pd.DataFrame
    pool: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Files:
    """One draw as the files of a run; ``labels`` has the names of the classes where no row has a label."""

    labeled: Path | None
    labels: Path | None
    unlabeled: Path | None
    test: Path

    def flags(self) -> list[str]:
        """The options of ``react-ray run`` for these files."""
        return [word for name, path in vars(self).items() if path for word in (f"--{name}", str(path))]


def read_dataset(name: str, data: Path = DATA) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows: text, label; rows are numbered from 0.

    Any folder of ``data`` with train.parquet and test.parquet will do. Raises DatasetMissingError.

    NAME@R skews the classes: in the order of their names, the number of rows falls geometrically, down
    to 1/R of the largest class.
    NAME+OTHER has texts of the set OTHER, or of NAME/OTHER.parquet, among the training rows
    under the label NONE: a quarter of all, or as many as there are.
    NAME~half is read like NAME, see :func:`labelled_classes`.
    """
    name = name.removesuffix(HALF)
    name, _, other = name.partition("+")
    name, _, ratio = name.partition("@")
    train, test = _read_plain(name, data)
    if ratio:
        train, test = (_thin_out(rows, float(ratio), sorted(set(train["label"]))) for rows in (train, test))
    if other:
        train = pd.concat([train, _elsewhere(name, other, data, len(train) // 3)], ignore_index=True)
    return train, test


def classes_of(train: pd.DataFrame) -> LabelMap:
    """The classes of a set."""
    return LabelMap.of(train.loc[train["label"] != NONE, "label"])


def labelled_classes(name: str, classes: LabelMap) -> set[str]:
    """The classes that may have labelled rows: in NAME~half every second one, the others only have names."""
    return set(classes.names[::2] if name.endswith(HALF) else classes.names)


def is_variant(name: str) -> bool:
    """Whether a set has the texts of another, so that it should not count beside it."""
    return name in FOLDER or "+" in name or "@" in name or name.endswith(HALF)


def _thin_out(rows: pd.DataFrame, ratio: float, classes: list[str]) -> pd.DataFrame:
    """The first rows of each class."""
    shares = ratio ** -np.linspace(0, 1, len(classes))
    most = rows["label"].value_counts().max()
    kept = [
        rows[rows["label"] == c].head(max(1, round(s * most))) for c, s in zip(classes, shares, strict=True)
    ]
    return pd.concat(kept).sort_index().reset_index(drop=True)


def _elsewhere(name: str, other: str, data: Path, count: int) -> pd.DataFrame:
    beside = data / name / f"{other}.parquet"
    rows = _read(name, beside, "label") if beside.is_file() else _read_plain(other, data)[0]
    return rows.head(count).assign(label=NONE)


def _read_plain(name: str, data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    if name == "bbc":
        articles = read_bbc_news()
        return articles.iloc[TEST_ROWS:].reset_index(drop=True), articles.iloc[:TEST_ROWS]
    column = LABEL_COLUMN.get(name, "label")
    train, test = (
        _read(name, data / FOLDER.get(name, name) / f"{p}.parquet", column) for p in ("train", "test")
    )
    return train, test


def draw_rows(
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    labels_per_class: LabelsPerClass,
    pool: int,
    test_rows: int | None,
    seed: int,
) -> Rows:
    """Draw rows: a function of the sizes and the seed alone.

    Fewer labels, a smaller pool and fewer test rows are the first of more. The test rows do
    not depend on the seed; those of a class without a training row are left out.
    """
    own = train[train["label"] != NONE]
    shuffled = own.groupby("label").sample(frac=1, random_state=seed).groupby("label")
    chosen = shuffled.head(len(train) if labels_per_class == "all" else labels_per_class)
    rest = own.drop(index=chosen.index)
    rest = rest.sample(min(pool, len(rest)), random_state=seed)
    elsewhere = train[train["label"] == NONE]  # beside the same rows of the classes as without them
    rest = pd.concat([rest, elsewhere.sample(min(pool // 3, len(elsewhere)), random_state=seed)])
    known = test[test["label"].isin(set(train["label"]))]
    kept = known.sample(len(known) if test_rows is None else min(test_rows, len(known)), random_state=0)
    return Rows(chosen, rest, kept)


def write_draw(
    name: str,
    folder: Path,
    *,
    labels_per_class: LabelsPerClass,
    pool: int,
    test: int,
    seed: int,
    data: Path = DATA,
) -> Files:
    """Write one draw as files, the pool with its hidden labels as ``truth``."""
    train, held_out = read_dataset(name, data)
    rows = draw_rows(train, held_out, labels_per_class=labels_per_class, pool=pool, test_rows=test, seed=seed)
    pool_rows = rows.pool.rename(columns={"label": "truth"})
    return write_files(folder, rows.labeled, pool_rows, rows.test, classes_of(train))


def write_files(
    folder: Path, labeled: pd.DataFrame, unlabeled: pd.DataFrame, test: pd.DataFrame, classes: LabelMap
) -> Files:
    """Write what a run is given; without labelled rows, the names of the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"labeled": labeled, "unlabeled": unlabeled, "test": test}
    paths = {name: folder / f"{name}.parquet" for name, rows in tables.items() if len(rows)}
    for name, path in paths.items():
        tables[name].to_parquet(path, index=False)
    names = None if len(labeled) else folder / "labels.yaml"
    if names:
        names.write_text(yaml.safe_dump(list(classes.names), allow_unicode=True), encoding="utf-8")
    return Files(paths.get("labeled"), names, paths.get("unlabeled"), paths["test"])


def _read(name: str, path: Path, column: str) -> pd.DataFrame:
    if not path.is_file():
        raise DatasetMissingError(f"{name}: no {path} (give the folder with --data)")
    rows = pd.read_parquet(path)
    if not {"text", column} <= set(rows.columns):
        raise DatasetMissingError(f"{name}: {path} has no columns 'text' and {column!r}")
    rows = rows[["text", column]].rename(columns={column: "label"}).dropna()
    return rows.astype(str).reset_index(drop=True)
