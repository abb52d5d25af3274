"""Recommendation against simple recommenders, on public data sets.

    python -m benchmarks.apps.recommend                           # all sets, 3 seeds
    python -m benchmarks.apps.recommend --sets steam_games --seeds 0
    python -m benchmarks.apps.recommend --table-only

Builds and evaluates a recommender on all interactions of a set (its files train and test together:
``evaluate`` leaves the last liked item of each user out) and keeps ``metrics.json`` of each seed. The seed
draws new users and items, the order of equal times, and the ranker; ``steam_games`` has no times, so it draws
the wanted items too.

The texts of ``amazon_beauty`` are reviews. A review would tell who wrote it, so the text of an item is made
of the reviews that are the first of their users: a first review is never asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from benchmarks.datasets import DATA

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "recommend"
SETS = ("amazon_beauty", "movielens_small", "steam_games")
REVIEWS_PER_ITEM = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    for name in [] if options.table_only else options.sets:
        if not (options.data / name).is_dir():
            print(f"skipped: {options.data / name} is not there")
            continue
        with tempfile.TemporaryDirectory() as folder:  # the seeds share embeddings of texts
            for seed in options.seeds:
                measure(name, seed, options.data, Path(folder))
    print("\n".join(table()))
    return 0


def measure(name: str, seed: int, data: Path, folder: Path) -> None:
    """Build and evaluate, unless the result is kept already."""
    target = RESULTS / f"{name}-{seed}.json"
    if target.exists():
        return
    started = time.monotonic()
    items, log = draw(name, data, seed)
    items.to_parquet(folder / "items.parquet")
    log.to_parquet(folder / "log.parquet")
    words = ["build", "--items", folder / "items.parquet", "--interactions", folder / "log.parquet"]
    call([*words, "--output", folder / "out", "--seed", seed, "--quiet"])
    call(["evaluate", folder / "out", "--quiet"])
    found = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
    built = json.loads((folder / "out" / "build.json").read_text(encoding="utf-8"))
    kept = {"set": name, "seconds": round(time.monotonic() - started, 1), "build": built, **found}
    RESULTS.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"{target.name}: {kept['seconds']} s", flush=True)


def draw(name: str, data: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return items (item, text) and interactions (user, item, rating and time where known)."""
    parts = [pd.read_parquet(data / name / f"{part}.parquet") for part in ("train", "test")]
    rows = pd.concat(parts, ignore_index=True).rename(columns={"timestamp": "time"})
    log = rows[[column for column in ("user", "item", "rating", "time") if column in rows]]
    if name != "amazon_beauty":
        return rows.drop_duplicates("item")[["item", "text"]], log
    first = rows.sample(frac=1, random_state=seed).sort_values("time", kind="stable").drop_duplicates("user")
    texts = first.groupby("item")["text"].apply(lambda some: "\n".join(some.unique()[:REVIEWS_PER_ITEM]))
    items = pd.DataFrame({"item": rows["item"].unique()})
    items["text"] = [texts.get(item, "") for item in items["item"]]
    # first in time, so that the order of equal times cannot make a first review the last
    log = log.copy()
    log["time"] = log["time"] * 2 + 1
    log.loc[first.index, "time"] -= 1
    return items, log


def call(words: list[Any]) -> None:
    command = [sys.executable, "-m", "react_ray.cli", "recommend", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))


def table() -> Iterator[str]:
    """Mean and standard deviation over seeds, a line for each set, kind of question and recommender."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        for question, recommenders in kept["queries"].items():
            for one, figures in recommenders.items():
                found.setdefault((kept["set"], question, one), []).append(figures)
    yield "| set | question | recommender | NDCG@10 | HR@10 | MRR | AUC | coverage@10 | novelty | seeds |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    names = ("ndcg_at_10", "hr_at_10", "mrr", "auc", "coverage", "novelty")
    for key, runs in found.items():
        cells = [_cell([run[name] for run in runs if name in run]) for name in names]
        yield f"| {' | '.join([*key, *cells, str(len(runs))])} |"


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
