"""What `react-ray suggest` is worth: the next labels chosen by it, against as many at random.

    python -m benchmarks.label_efficiency.next_labels

From one label a class and a pool, four times as many rows as there are classes are labelled:
those that are suggested, or drawn at random. The label GAN is then trained on all of them and
judged on the test rows. Results are kept, a JSON line each, in benchmarks/results/next_labels,
and what is kept is not run again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from benchmarks.datasets import DATA, NAMES, DatasetMissingError, is_variant
from benchmarks.label_efficiency.cells import Cell, Results
from benchmarks.label_efficiency.comparisons import compare
from benchmarks.label_efficiency.draws import Draw, Part, Truth, cut
from benchmarks.label_efficiency.features import CACHE, FeatureStore, Stored
from benchmarks.label_efficiency.methods.answer import Answer
from benchmarks.label_efficiency.methods.label_gan import Variant, ours
from react_ray import __version__
from react_ray.config.settings import EMBEDDED
from react_ray.lgan.inputs import Indices
from react_ray.pipeline.suggest import choose

RESULTS = Path(__file__).parents[1] / "results" / "next_labels"
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
    results, store = Results(options.results), FeatureStore(options.data, cache=options.features)
    for dataset in options.datasets:
        if is_variant(dataset):
            parser.error(f"{dataset}: only plain data sets, every row of which can be labelled")
        for seed in range(options.draws):
            cells = [
                Cell(dataset, FIRST, seed, way, EMBEDDED, options.pool, options.test)
                for way in ("before", *WAYS)
            ]
            if results.missing(cells):
                try:
                    stored = store.load(dataset)
                except DatasetMissingError as missing:
                    print(f"skipped: {missing}")
                    break
                _run(cells, stored, results)
    _print_table(results.records())
    return 0


def _run(cells: list[Cell], stored: Stored, results: Results) -> None:
    first = cells[0]
    draw, truth = cut(stored, FIRST, first.seed, first.pool, first.test)
    with threadpool_limits(1):
        scores = measure(draw, truth)
    missing = results.missing(cells)
    for cell in missing:
        results.add(asdict(cell) | {"macro_f1": scores[cell.method], "version": __version__})
    print(first.dataset, first.seed, scores, flush=True)


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


def _print_table(records: list[dict[str, Any]]) -> None:
    if not records:
        return
    rows = pd.DataFrame(records)
    rows["score"] = 100 * rows["macro_f1"]
    means = rows.pivot_table(index="dataset", columns="method", values="score")[["before", *WAYS]]
    print(means.round(1).to_string())
    print("mean", means.mean().round(1).to_dict())
    suggested, random = (rows[rows["method"] == way].set_index(["dataset", "seed"])["score"] for way in WAYS)
    print(compare(suggested, random))


if __name__ == "__main__":
    sys.exit(main())
