"""How right the labels of a pool are, step by step: proposed, judged by D, joined, held to the balance.

    python -m benchmarks.tasks.labels --set wnut17 --size 0.05     # a run until its labels
    python -m benchmarks.tasks.labels --set wnut17 --size 0.05 --run OUT   # of one that is there

For tasks whose labeler is ``candidates``. The pool's truth is read here and nowhere in the run. Figures are
kept in ``benchmarks/results/tasks_labels``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from benchmarks.datasets import DATA
from benchmarks.tasks.draws import SETS, draw
from react_ray.labelers import candidates
from react_ray.lgan.probe import fit_softmax
from react_ray.pipeline.stages.candidates import by_row, label_steps, load_proposals
from react_ray.tasks import get_task
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.units import unit_task

RESULTS = Path(__file__).parents[1] / "results" / "tasks_labels"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", required=True, choices=list(SETS))
    parser.add_argument("--size", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--run", type=Path, help="folder of a run of this draw; a new one where left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options, options.run or run(options, Path(temporary)))
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"{options.set}-{options.size:g}-{options.seed}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(found)))
    return 0


def run(options: argparse.Namespace, folder: Path) -> Path:
    """A run of the draw until its labels are made."""
    data_set = SETS[options.set]
    files = draw(data_set, options.size, options.seed, folder / "data", options.data)
    words = ["--task", data_set.task, "--labeled", files.labeled, "--unlabeled", files.pool]
    words += ["--truth-column", "truth", "--seed", options.seed, "--output", folder / "out", "--quiet"]
    command = [sys.executable, "-m", "react_ray.cli", "run", *map(str, words), "--until", "generate"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "out"


def measure(options: argparse.Namespace, output: Path) -> dict[str, Any]:
    """Figures of the labels after each step."""
    folders = {path.name.partition("-")[0]: path for path in (output / "cache").glob("*-*")}
    task = unit_task(get_task(SETS[options.set].task))
    labels = LabelMap.load(folders["prepare"] / "labels.json").names
    rows, labeled = (pq.read_table(folders["propose"] / f"{name}.parquet") for name in ("pool", "labeled"))
    truth = np.concatenate(task.distributions(labeled, labels))
    pool, known = (load_proposals(folders["propose"] / name, truth.shape[1]) for name in ("pool", "labeled"))
    fold = np.repeat(candidates.fold_of_rows(len(rows), options.seed), pool["sizes"])
    names = None if task.exclusive else load_file(folders["propose"] / "names.safetensors")["names"]
    steps, _ = label_steps(known, truth, pool, task.exclusive, fold, names, options.seed)
    if task.exclusive:
        probe = fit_softmax(known["features"], truth.argmax(1), truth.shape[1])
        balanced = candidates.align_balance(probe.predict_proba(pool["features"]), truth.mean(0))
        steps = {"probe, balanced": balanced, **steps}
    judged_rows = _with_truth(task, rows, folders["prepare"])
    return {
        name: task.measure(task.decide(by_row(found, pool["sizes"]), rows, labels), judged_rows, labels)
        for name, found in steps.items()
    }


def _with_truth(task: Any, rows: pa.Table, prepared: Path) -> pa.Table:
    """The pool rows with their truth as target."""
    every = pq.read_table(prepared / "rows.parquet", filters=[("part", "=", "unlabeled")])
    place = {name: number for number, name in enumerate(every["id"].to_pylist())}
    truth = every["truth"].take(pa.array([place[name] for name in rows["id"].to_pylist()]))
    return rows.append_column(task.target.name, truth)


def table(found: dict[str, dict[str, float]]) -> list[str]:
    """A line for each step."""
    metrics = list(next(iter(found.values())))
    head = ["| labels | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
    return head + [
        f"| {name} | " + " | ".join(f"{figures[metric]:.3f}" for metric in metrics) + " |"
        for name, figures in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
