"""A class that is added to a trained model: how good it gets, and what it costs.

    python -m benchmarks.added_class --datasets bbc trec --draws 2

A run is made without one of the classes, whose texts lie in the pool all the same. Then the class is
added, with as many labels as the others have, in three ways:

- ``again``: the run again into the same folder, which keeps what it encoded;
- ``by name``: the same with the name of the class and none of its labels;
- ``on top``: fine-tuning goes on from the model without it (``model`` is its folder).

Each is judged on test rows of all classes. One JSON file a draw is kept in
benchmarks/results/added_class, and a draw that is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from sklearn.metrics import f1_score

import react_ray
from benchmarks.datasets import DATA, DatasetMissingError, draw_rows, read_dataset

RESULTS = Path(__file__).parent / "results" / "added_class"
WAYS = ("again", "by name", "on top")


def main() -> None:
    """Run the draws that are missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["bbc", "trec"])
    parser.add_argument("--labels-per-class", type=int, default=5)
    parser.add_argument("--pool", type=int, default=1500)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=2, help="each adds another class")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        for seed in range(options.draws):
            target = options.results / f"{dataset}-k{options.labels_per_class}-p{options.pool}-s{seed}.json"
            if not target.exists():
                try:
                    record = measure(dataset, seed, options)
                except DatasetMissingError as missing:
                    print(f"skipped: {missing}")
                    continue
                target.write_text(json.dumps(record, indent=1) + "\n")
                print(f"{target.name}: {record['ways']}", flush=True)
    print_table(options.results)


def measure(dataset: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The run without the class, and the three ways to add it."""
    rows = draw_rows(
        *read_dataset(dataset, options.data),
        labels_per_class=options.labels_per_class,
        pool=options.pool,
        test_rows=options.test,
        seed=seed,
    )
    classes = sorted(set(rows.labeled["label"]))
    added = classes[seed % len(classes)]
    old = rows.labeled[rows.labeled["label"] != added]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = folder / "labels.yaml"
        names.write_text(yaml.safe_dump(classes, allow_unicode=True), encoding="utf-8")
        for name, table in (("old", old), ("all", rows.labeled), ("pool", rows.pool[["text"]])):
            table.to_parquet(folder / f"{name}.parquet", index=False)
        before = road(folder, "before", seed, "old")
        for copy in ("again", "by name"):
            shutil.copytree(folder / "before", folder / copy, symlinks=True)
        seconds = {
            "before": before,
            "again": road(folder, "again", seed, "all"),
            "by name": road(folder, "by name", seed, "old", {"data.labels": str(names)}),
            "on top": road(
                folder,
                "on top",
                seed,
                "all",
                {"model": str(folder / "before" / "model"), "encoder": "embedded"},
            ),
        }
        ways = {way: judge(folder / way, rows.test, added) for way in WAYS}
    return {
        "dataset": dataset,
        "seed": seed,
        "added": added,
        "ways": ways,
        "seconds": seconds,
        "machine": {"cpus": os.cpu_count()},
    }


def road(folder: Path, output: str, seed: int, labeled: str, more: dict[str, Any] | None = None) -> float:
    """A whole run, in this process; its seconds."""
    flags = {
        "data.labeled": str(folder / f"{labeled}.parquet"),
        "data.unlabeled": str(folder / "pool.parquet"),
        "output": str(folder / output),
        "seed": seed,
        "onnx": False,
        "cluster.workers": 0,
        **(more or {}),
    }
    started = time.perf_counter()
    react_ray.run(react_ray.load_config(flags=flags), quiet=True)
    return round(time.perf_counter() - started, 1)


def judge(folder: Path, test: pd.DataFrame, added: str) -> dict[str, float]:
    """Macro-F1 over all classes, over those that were there before, and F1 of the added one."""
    found = [each.label for each in react_ray.load(folder).predict(test["text"].tolist())]
    classes = sorted(set(test["label"]))
    truth = test["label"].tolist()
    each = f1_score(truth, found, labels=classes, average=None, zero_division=0)
    by_class = dict(zip(classes, map(float, each), strict=True))
    others = [score for name, score in by_class.items() if name != added]
    return {"all": float(each.mean()), "old": sum(others) / len(others), "added": by_class[added]}


def print_table(results: Path) -> None:
    """Means over draws, from the files alone."""
    records = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    print("\n| set | draws | way | macro-F1 | of the old classes | F1 of the added one | seconds |")
    print("|---|---|---|---|---|---|---|")
    for dataset in sorted({record["dataset"] for record in records}):
        own = [record for record in records if record["dataset"] == dataset]
        for way in WAYS:
            frame = pd.DataFrame([record["ways"][way] for record in own])
            seconds = sum(record["seconds"][way] for record in own) / len(own)
            scores = " | ".join(f"{100 * frame[name].mean():.1f}" for name in ("all", "old", "added"))
            print(f"| {dataset} | {len(own)} | {way} | {scores} | {seconds:.0f} |")
        before = sum(record["seconds"]["before"] for record in own) / len(own)
        print(f"| {dataset} | {len(own)} | (the run before) | | | | {before:.0f} |")


if __name__ == "__main__":
    main()
