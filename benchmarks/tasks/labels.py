"""How right the labels of a pool are, step by step: proposed, judged by D, joined, held to the balance.

The last row has the labels that the run chose, with D or without by its held-out rows.

    python -m benchmarks.tasks.labels --set wnut17 --size 0.05     # 3 draws: a run of each until its labels

For tasks whose labeler is ``candidates``. The truth of the pool is read here and nowhere in the run. The
figures of each draw are kept in ``benchmarks/results/tasks_labels`` and not computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from benchmarks.datasets import DATA
from benchmarks.tasks.draws import SETS, draw
from react_ray.answer import load_answers
from react_ray.labelers import candidates
from react_ray.labelers.label_steps import label_steps
from react_ray.lgan.probe import fit_softmax
from react_ray.pipeline.stages.candidates import by_row, load_proposals
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
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    draws = []
    for seed in range(options.draws):
        target = RESULTS / f"{options.set}-{options.size:g}-{seed}.json"
        if not target.exists():
            with tempfile.TemporaryDirectory() as temporary:
                figures = measure(options, seed, run(options, seed, Path(temporary)))
            target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        draws.append(json.loads(target.read_text(encoding="utf-8")))
    for seed, one in enumerate(draws):
        print(f"draw {seed}: {one['verifier']['why'] if one['verifier'] else 'no held-out rows were used'}")
    print("\n".join(table([one["labels"] for one in draws])))
    return 0


def run(options: argparse.Namespace, seed: int, folder: Path) -> Path:
    """A run of the draw until its labels are made."""
    data_set = SETS[options.set]
    files = draw(data_set, options.size, seed, folder / "data", options.data)
    words = ["--task", data_set.task, "--labeled", files.labeled, "--unlabeled", files.pool]
    words += ["--truth-column", "truth", "--seed", seed, "--output", folder / "out", "--quiet"]
    command = [sys.executable, "-m", "react_ray.cli", "run", *map(str, words), "--until", "generate"]
    command += [f"encoder={options.model}", "--model", options.model]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "out"


def measure(options: argparse.Namespace, seed: int, output: Path) -> dict[str, Any]:
    """Figures of the labels after each step."""
    folders = {path.name.partition("-")[0]: path for path in (output / "cache").glob("*-*")}
    task = unit_task(get_task(SETS[options.set].task))
    labels = LabelMap.load(folders["prepare"] / "labels.json").names
    rows, labeled = (pq.read_table(folders["propose"] / f"{name}.parquet") for name in ("pool", "labeled"))
    truth = np.concatenate(task.distributions(labeled, labels))
    pool, known = (load_proposals(folders["propose"] / name, truth.shape[1]) for name in ("pool", "labeled"))
    fold = np.repeat(candidates.fold_of_rows(len(rows), seed), pool["sizes"])
    names = None if task.exclusive else load_file(folders["propose"] / "names.safetensors")["names"]
    started = time.perf_counter()
    steps, _ = label_steps(known, truth, pool, task.exclusive, fold, names, seed)
    print(f"{len(fold):,} units judged in {time.perf_counter() - started:.1f} s", flush=True)
    steps["aligned, without D"] = label_steps(known, truth, pool, task.exclusive, None, names, seed)[0][
        "aligned"
    ]
    if task.exclusive:
        probe = fit_softmax(known["features"], truth.argmax(1), truth.shape[1])
        balanced = candidates.align_balance(probe.predict_proba(pool["features"]), truth.mean(0))
        steps = {"probe, balanced": balanced, **steps}
    judged_rows = _with_truth(task, rows, folders["prepare"])
    in_truth = {
        name for target in judged_rows[task.target.name].to_pylist() for name in task.names_in(target)
    }
    every = [*labels, *sorted(in_truth - {*labels})]
    answers = {name: task.decide(by_row(found, pool["sizes"]), rows, labels) for name, found in steps.items()}
    answers["chosen by the run"] = load_answers(folders["generate"] / "answers.jsonl")
    diagnostics = json.loads((folders["generate"] / "diagnostics.json").read_text(encoding="utf-8"))
    figures = {name: task.measure(found, judged_rows, every) for name, found in answers.items()}
    return {"labels": figures, "verifier": diagnostics.get("verifier")}


def _with_truth(task: Any, rows: pa.Table, prepared: Path) -> pa.Table:
    """The pool rows with their truth as target."""
    every = pq.read_table(prepared / "rows.parquet", filters=[("part", "=", "unlabeled")])
    place = {name: number for number, name in enumerate(every["id"].to_pylist())}
    truth = every["truth"].take(pa.array([place[name] for name in rows["id"].to_pylist()]))
    return rows.append_column(task.target.name, truth)


def table(draws: list[dict[str, dict[str, float]]]) -> list[str]:
    """A line for each step: the mean of the draws."""
    metrics = list(next(iter(draws[0].values())))
    head = ["| labels | " + " | ".join(metrics) + " |", "|---|" + "---|" * len(metrics)]
    return head + [
        f"| {name} | "
        + " | ".join(f"{mean(one[name][metric] for one in draws):.3f}" for metric in metrics)
        + " |"
        for name in draws[0]
        if all(name in one for one in draws)
    ]


if __name__ == "__main__":
    sys.exit(main())
