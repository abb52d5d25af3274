"""The whole road on real data: every arm's macro-F1, and how long it took.

    python -m benchmarks.road --datasets bbc --draws 3
    python -m benchmarks.road --datasets agnews trec --pool 4000 --draws 3
    python -m benchmarks.road --datasets thucnews_titles --model multilingual --pool 1500 --test 500 --draws 1

One JSON file a draw is kept in benchmarks/results/road; a draw that is there is not
run again (delete the file to repeat it). The table is made from those files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.datasets import DATA, DatasetMissingError, write_draw
from react_ray.config.settings import EMBEDDED

RESULTS = Path(__file__).parent / "results" / "road"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["bbc"])
    parser.add_argument("--labels-per-class", type=int, default=5)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--settings", nargs="+", default=[], help="as finetune.token_budget=20000; kept too")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    model = "" if options.model == EMBEDDED else f"-{Path(options.model).name}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        for seed in range(options.draws):
            target = RESULTS / f"{dataset}-k{options.labels_per_class}-p{options.pool}{model}-s{seed}.json"
            if not target.exists():
                try:
                    measure(dataset, seed, options, target)
                except DatasetMissingError as missing:
                    print(f"skipped: {missing}")
    print_table()


def measure(dataset: str, seed: int, options: argparse.Namespace, target: Path) -> None:
    """Run one draw in a fresh folder, as a user would, and keep its figures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw = write_draw(
            dataset,
            folder / "data",
            labels_per_class=options.labels_per_class,
            pool=options.pool,
            test=options.test,
            seed=seed,
            data=options.data,
        )
        command = [sys.executable, "-m", "react_ray.cli", "run", "--quiet", "--seed", str(seed)]
        command += [*draw.flags(), "--truth-column", "truth", "--output", str(folder / "out")]
        command += ["--model", options.model, *options.settings]
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        metrics = json.loads((folder / "out" / "metrics.json").read_text())
    arms = {name: arm["test"]["macro_f1"] for name, arm in metrics["arms"].items() if arm.get("test")}
    record = {
        "dataset": dataset,
        "labels_per_class": options.labels_per_class,
        "pool": options.pool,
        "model": options.model,
        "encoders": list(metrics["encoders"]),
        "settings": options.settings,
        "seed": seed,
        "test_rows": metrics["test"]["n"],
        "macro_f1": {**arms, "saved_model": metrics["test"]["macro_f1"]},
        "chosen": metrics["chosen"],
        "label_quality": metrics["label_quality"],
        "seconds": {**metrics["seconds"], "wall": round(seconds, 1)},
        "machine": {"cpus": os.cpu_count(), "platform": platform.machine()},
    }
    target.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{target.name}: {record['macro_f1']} in {seconds:.0f} s", flush=True)


def print_table() -> None:
    """Mean and standard deviation over draws, from the files alone."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    rows = [
        {
            "dataset": r["dataset"],
            "model": r.get("model", EMBEDDED),
            "labels": r["labels_per_class"],
            "seconds": r["seconds"]["wall"],
            **r["macro_f1"],
        }
        for r in records
    ]
    if not rows:
        return
    groups = pd.DataFrame(rows).groupby(["dataset", "model", "labels"])
    mean, deviation = groups.mean(), groups.std(ddof=0)
    table = mean.copy().astype(object)
    for column in mean.columns:
        digits = 0 if column == "seconds" else 3
        table[column] = [
            f"{m:.{digits}f} ± {s:.{digits}f}" for m, s in zip(mean[column], deviation[column], strict=True)
        ]
    table.insert(0, "draws", groups.size())
    print(table.to_string())


if __name__ == "__main__":
    main()
