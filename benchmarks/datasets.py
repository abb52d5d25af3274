"""The data sets of the benchmarks: a few labels, a pool and a test set from each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from react_ray.demo import TEST_ROWS, read_bbc_news

DATA = Path(__file__).parents[2] / "shared" / "data"
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


class DatasetMissingError(Exception):
    """The data folder does not hold the set; the message says where it was looked for."""


@dataclass(frozen=True)
class Draw:
    """One draw: files for a run, the same for every method that is compared on it."""

    labeled: Path
    unlabeled: Path
    test: Path


def write_draw(
    name: str, folder: Path, *, labels_per_class: int, pool: int, test: int, seed: int, data: Path = DATA
) -> Draw:
    """Write labeled, unlabeled (with the hidden ``truth``) and test files into ``folder``."""
    train, held_out = _read(name, data)
    chosen = train.groupby("label").sample(frac=1, random_state=seed).groupby("label").head(labels_per_class)
    rest = train.drop(index=chosen.index)
    rest = rest.sample(min(pool, len(rest)), random_state=seed).rename(columns={"label": "truth"})
    held_out = held_out[held_out["label"].isin(set(train["label"]))]
    held_out = held_out.sample(min(test, len(held_out)), random_state=0)
    folder.mkdir(parents=True, exist_ok=True)
    draw = Draw(*(folder / f"{part}.parquet" for part in ("labeled", "unlabeled", "test")))
    for path, rows in ((draw.labeled, chosen), (draw.unlabeled, rest), (draw.test, held_out)):
        rows.to_parquet(path, index=False)
    return draw


def _read(name: str, data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    if name == "bbc":
        articles = read_bbc_news()
        return articles.iloc[TEST_ROWS:], articles.iloc[:TEST_ROWS]
    folder = data / name.removesuffix("_fine")
    if not (folder / "train.parquet").is_file():
        raise DatasetMissingError(f"{name}: no {folder}/train.parquet (give the folder with --data)")
    column = LABEL_COLUMN.get(name, "label")
    parts = [pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test")]
    train, test = (pd.DataFrame({"text": p["text"], "label": p[column]}) for p in parts)
    return train, test
