"""Delay of alerts against plain rules, on public dated sets, and texts a second of the whole way.

    python -m benchmarks.apps.monitor                                # both sets, 3 seeds
    python -m benchmarks.apps.monitor --table-only
    python -m benchmarks.apps.monitor --throughput MODEL             # of a saved classifier, on one core

The files of a set are joined and replayed by date with the labels they have; surges are injected into the
second half. The seed draws the surges and the resampled histories.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from benchmarks.cpu_time import cpu_seconds
from benchmarks.datasets import DATA

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "monitor"
SETS = {"gold_news": "negative", "stock_emotions": "bearish"}
"""Sets and their negative label."""
THROUGHPUT_ROWS = 2000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--throughput", metavar="MODEL", type=Path)
    options = parser.parse_args()
    if options.throughput:
        throughput(options.throughput, options.data)
        return 0
    for name in [] if options.table_only else options.sets:
        if not (options.data / name).is_dir():
            print(f"skipped: {options.data / name} is not there")
            continue
        for seed in options.seeds:
            measure(name, seed, options.data)
    print("\n".join(table()))
    return 0


def read(name: str, data: Path) -> pd.DataFrame:
    """Return all rows of a set, by date, with ids."""
    rows = pd.concat([pd.read_parquet(path) for path in sorted((data / name).glob("*.parquet"))])
    rows = rows.sort_values("date", kind="stable").reset_index(drop=True)
    return rows.assign(id=[f"{name}-{number}" for number in rows.index])[["id", "text", "label", "date"]]


def measure(name: str, seed: int, data: Path) -> None:
    """Evaluate, unless the result is kept already."""
    target = RESULTS / f"{name}-{seed}.json"
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        read(name, data).to_parquet(folder / "rows.parquet")
        words = ["evaluate", "--input", folder / "rows.parquet", "--output", folder, "--column", "time=date"]
        call([*words, "--negative", SETS[name], "--seed", seed, "--quiet"])
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    RESULTS.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"set": name, **found}, indent=1) + "\n", encoding="utf-8")


def throughput(model: Path, data: Path) -> None:
    """Print texts a second of CPU time, from a jsonl file to the store, and keep the figure."""
    rows = read("gold_news", data)[-THROUGHPUT_ROWS:].rename(columns={"date": "time"})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seconds = []
        for part, name in ((rows[:0], "none"), (rows, "all")):  # the start is not counted
            part.to_json(folder / f"{name}.jsonl", orient="records", lines=True)
            before = cpu_seconds()
            words = ["run", "--sentiment", model, "--input", folder / f"{name}.jsonl", "--until-end"]
            call([*words, "--store", folder / name, "--negative", "negative", "--quiet"])
            seconds.append(cpu_seconds() - before)
    found = {
        "rows": len(rows),
        "cpu_seconds": seconds,
        "texts_per_cpu_second": len(rows) / (seconds[1] - seconds[0]),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "throughput.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(found)


def call(words: list[Any]) -> None:
    command = [sys.executable, "-m", "react_ray.cli", "monitor", *map(str, words)]
    one_core = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **one_core})


def table() -> Iterator[str]:
    """Mean and standard deviation over seeds, a line for each set and method."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*-*.json"))]
    yield (
        "| set | method | delay, equal false alarms | by size | delay, tuned on first half | "
        "its false alarms a month | seeds |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name in dict.fromkeys(run["set"] for run in kept):
        runs = [run for run in kept if run["set"] == name]
        for method in runs[0]["delay"]:
            equal = [run["equal_false_alarms"][method]["sizes"] for run in runs]
            by_size = [f"{size}: {mean(one[size]['delay'] for one in equal):.2f}" for size in equal[0]]
            tuned = [run["tuned_on_first_half"][method] for run in runs]
            cells = [
                _cell([run["delay"][method] for run in runs]),
                ", ".join(by_size),
                _cell([mean(size["delay"] for size in one["sizes"].values()) for one in tuned]),
                _cell([one["false_alarms_per_month"] for one in tuned]),
            ]
            yield f"| {' | '.join([name, method, *cells, str(len(runs))])} |"


def _cell(values: list[float]) -> str:
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
