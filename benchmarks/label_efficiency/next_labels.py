"""What `react-ray suggest` is worth: the next labels chosen by it, against as many at random.

    python -m benchmarks.label_efficiency.next_labels

From one label a class and a pool, four times as many rows as there are classes are labelled:
those that are suggested, or drawn at random. The label GAN is then trained on all of them and
judged on the test rows. Results are kept, a JSON line each, in
benchmarks/results/next_labels.jsonl, and what is kept is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from benchmarks.datasets import DATA, NAMES, is_variant
from benchmarks.label_efficiency.comparisons import compare
from benchmarks.label_efficiency.draws import Draw, Part, Truth, cut
from benchmarks.label_efficiency.features import CACHE, FeatureStore
from benchmarks.label_efficiency.methods.answer import Answer
from benchmarks.label_efficiency.methods.label_gan import Variant, ours
from react_ray.lgan.inputs import Indices
from react_ray.suggest import choose

RESULTS = Path(__file__).parents[1] / "results" / "next_labels.jsonl"
DATASETS = tuple(name for name in NAMES if not is_variant(name))
WAYS = ("suggested", "random")
FIRST, MORE = 1, 4
"""Labels a class at the start, and that many times the classes more."""
NO_COPIES = Variant(copies=False)
"""Copies of rows that are labelled only now have no features yet; they give little."""


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, then print the means and the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--pool", type=int, default=1500)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--features", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    kept = _read(options.results)
    done = {(record["dataset"], record["seed"]) for record in kept}
    for dataset in options.datasets:
        for seed in range(options.draws):
            if (dataset, seed) in done:
                continue
            stored = FeatureStore(options.data, cache=options.features).load(dataset)
            draw, truth = cut(stored, FIRST, seed, options.pool, options.test)
            with threadpool_limits(1):
                scores = measure(draw, truth)
            record = {"dataset": dataset, "seed": seed, "pool": options.pool, "test": options.test, **scores}
            options.results.parent.mkdir(parents=True, exist_ok=True)
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)
    _print_table(_read(options.results))
    return 0


def measure(draw: Draw, truth: Truth) -> dict[str, float]:
    """Macro-F1 before, and after each way to choose the next rows."""
    first, count = ours(draw, NO_COPIES), MORE * len(draw.classes)
    scores = {"before": _score(first, truth)}
    for way in WAYS:
        more, rest = with_labels(draw, truth, chosen(way, draw, first, count))
        scores[way] = _score(ours(more, NO_COPIES), rest)
    return scores


def chosen(way: str, draw: Draw, first: Answer, count: int) -> Indices:
    """Pool rows that a person is asked for."""
    if way == "random" or first.made is None:
        return np.random.default_rng(draw.seed).permutation(len(draw.pool))[:count]
    return choose(draw.pool.rows, first.made, count, draw.seed)


def with_labels(draw: Draw, truth: Truth, rows: Indices) -> tuple[Draw, Truth]:
    """The draw with these pool rows labelled."""
    rest = np.setdiff1d(np.arange(len(draw.pool)), rows)
    texts = [draw.pool.texts[row] for row in rows]
    labeled = Part(draw.labeled.texts + texts, np.vstack([draw.labeled.rows, draw.pool.rows[rows]]))
    pool = Part([draw.pool.texts[row] for row in rest], draw.pool.rows[rest])
    labels = np.concatenate([draw.labels, truth.pool[rows]])
    return replace(draw, labeled=labeled, labels=labels, pool=pool), replace(truth, pool=truth.pool[rest])


def _score(answer: Answer, truth: Truth) -> float:
    predicted = answer.probabilities.argmax(1)
    return round(float(f1_score(truth.test, predicted, average="macro", zero_division=0)), 6)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _print_table(records: list[dict[str, Any]]) -> None:
    rows = pd.DataFrame(records).set_index(["dataset", "seed"])
    means = 100 * rows[["before", *WAYS]].groupby("dataset").mean()
    print(means.round(1).to_string())
    print("mean", means.mean().round(1).to_dict())
    print(compare(100 * rows["suggested"], 100 * rows["random"]))


if __name__ == "__main__":
    sys.exit(main())
