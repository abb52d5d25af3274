"""Every task with few labels, in one table.

    python -m benchmarks.tasks                                  # all sets, sizes and 3 draws; hours
    python -m benchmarks.tasks --sets wnut17 --sizes 0.05 --draws 1
    python -m benchmarks.tasks --table-only

Figures are the headline metric of the task on at most 2,000 test rows, which are read once a run.
``labels_only`` and ``generated_labels`` are arms of a run, as are ``probe`` and ``self_training`` where the
label GAN works on frozen features. ``proposals`` are generated labels without D
(``candidates.verifier=false``): self-training with the fine-tuned model. ``setfit`` is SetFit with several
labels a text (``--setfit-python ../setfit/bin/python``). ``all_labels`` is a run with every label of the
training file. Without training there are: for questions the answer by :mod:`benchmarks.tasks.lexical`, and
none to any; for summaries the first sentences, TextRank and the best that sentences can do (``oracle``); for
translations a copy of the source. Each cell is kept in ``benchmarks/results/tasks`` and not computed again;
the table is ``TABLE.md`` beside them.
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

from benchmarks.cpu_time import cpu_seconds
from benchmarks.datasets import DATA, DatasetMissingError
from benchmarks.tasks.draws import SETS, DataSet, draw
from benchmarks.tasks.lexical import baselines
from benchmarks.tasks.setfit_sets import setfit_figures
from react_ray.config.settings import SCRATCH
from react_ray.tasks import get_task

RESULTS = Path(__file__).parents[1] / "results" / "tasks"
METHODS = (
    "probe",
    "self_training",
    "labels_only",
    "proposals",
    "setfit",
    "generated_labels",
    "all_labels",
)
INTRODUCTION = (
    "# Every task with few labels",
    "",
    "Headline metric on at most 2,000 test rows, mean and standard deviation of the draws; the methods are",
    "explained by `python -m benchmarks.tasks --help`, whose `--table-only` writes this page from the cells.",
    "",
)
CANDIDATES = "candidates"
SETFIT, SETFIT_TASK = "setfit", "multi-label-classification"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=float, help="of those of a set; all where left out")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--model", help="that of each set where left out")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--without", nargs="*", default=[], choices=("proposals", "all_labels"))
    parser.add_argument("--setfit-python", type=Path, help="interpreter of SetFit's environment")
    parser.add_argument("--settings", nargs="*", default=[], help="further settings of each run: KEY=VALUE")
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    for name in [] if options.table_only else options.sets:
        try:
            for cell in cells(SETS[name], options):
                measure(cell, options)
        except DatasetMissingError as missing:
            print(f"skipped: {missing}")
    lines = list(table())
    (RESULTS / "TABLE.md").write_text("\n".join([*INTRODUCTION, *lines, ""]), encoding="utf-8")
    print("\n".join(lines))
    return 0


def cells(data_set: DataSet, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is to be measured: one run each."""
    sizes = [size for size in data_set.sizes if not options.sizes or size in options.sizes]
    variants = ["run", *(["proposals"] if get_task(data_set.task).labeler == CANDIDATES else [])]
    if options.setfit_python and data_set.task == SETFIT_TASK:
        variants.append(SETFIT)
    common = {"set": data_set.name, "model": options.model or data_set.model}
    for seed in range(options.draws):
        for size in sizes:
            for variant in variants:
                if variant not in options.without:
                    yield {**common, "size": size, "seed": seed, "variant": variant}
        if "all_labels" not in options.without:
            yield {**common, "size": 1.0, "seed": seed, "variant": "all_labels"}


def measure(cell: dict[str, Any], options: argparse.Namespace) -> None:
    """Run a cell, unless it is kept already, and keep its figures."""
    parts = [*cell.values(), *options.settings]
    target = RESULTS / ("-".join(str(part).replace("/", "_") for part in parts) + ".json")
    if target.exists():
        return
    started, used = time.monotonic(), cpu_seconds()
    with tempfile.TemporaryDirectory() as temporary:
        measured = (_setfit if cell["variant"] == SETFIT else _figures_of_run)(cell, Path(temporary), options)
    seconds = {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(cpu_seconds() - used, 1),
    }
    found = {**cell, **seconds, **measured}
    RESULTS.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{target.name}: {found['seconds']} s", flush=True)


def _setfit(cell: dict[str, Any], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    files = draw(SETS[cell["set"]], cell["size"], cell["seed"], folder / "data", options.data)
    test = setfit_figures(files, folder / "setfit", cell["model"], cell["seed"], options.setfit_python)
    return {"task": SETFIT_TASK, "headline": get_task(SETFIT_TASK).metrics[0], "arms": {SETFIT: test}}


def _figures_of_run(cell: dict[str, Any], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    data_set = SETS[cell["set"]]
    metrics = _run(cell, data_set, folder, options)
    questions = baselines(get_task(data_set.task), folder / "data" / "test.parquet")
    return {
        "task": metrics["task"],
        "headline": metrics["headline"],
        "chosen": metrics["chosen"],
        "rows": metrics["rows"],
        "why": metrics["why"],
        "settings": options.settings,
        "arms": {arm: figures["test"] for arm, figures in metrics["arms"].items()},
        "baselines": questions | metrics["test"].get("baselines", {}),
        "label_quality": metrics["label_quality"],
    }


def _run(cell: dict[str, Any], data_set: DataSet, folder: Path, options: argparse.Namespace) -> Any:
    size = 0.01 if cell["variant"] == "all_labels" else cell["size"]
    files = draw(data_set, size, cell["seed"], folder / "data", options.data)
    labeled = files.whole if cell["variant"] == "all_labels" else files.labeled
    words = ["--task", data_set.task, "--labeled", labeled, "--test", files.test, "--seed", cell["seed"]]
    if cell["variant"] != "all_labels":
        words += ["--unlabeled", files.pool, "--truth-column", "truth"]
    if cell["variant"] == "proposals":
        words += ["candidates.verifier=false"]
    words += ["--model", cell["model"], "--output", folder / "out", "--quiet", "onnx=false"]
    if cell["model"] != SCRATCH:  # which computes no features: the default encoder does
        words += [f"encoder={cell['model']}"]
    words += options.settings
    command = [sys.executable, "-m", "react_ray.cli", "run", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
    return json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))


def table() -> Iterator[str]:
    """Mean and standard deviation of the draws, a line for each set, model, size and further settings.

    What all labels give stands in each line of the set, or in a line of its own.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    found.sort(key=lambda cell: cell["variant"] == "all_labels")
    places: dict[tuple[str, str, float, str, str], dict[str, list[float]]] = {}
    for cell in found:
        settings = " ".join(cell.get("settings", []))
        key = (cell["set"], cell["model"], cell["size"], settings, cell["headline"])
        smaller = [place for place in places if place[:2] == key[:2] and place[2] != 1.0]
        for method, figure in _figures(cell).items():
            for place in smaller if cell["variant"] == "all_labels" and smaller else [key]:
                places.setdefault(place, {}).setdefault(method, []).append(figure)
    yield "| task | set | model | labels | metric | " + " | ".join(METHODS) + " | draws | no training |"
    yield "|" + "---|" * (len(METHODS) + 7)
    for place, methods in sorted(places.items(), key=lambda item: (list(SETS).index(item[0][0]), *item[0])):
        name, model, size, settings, metric = place
        shown = f"{size:.0%}" if size <= 1 else f"{size:.0f} a class"
        shown = f"{shown} {settings}".strip()
        draws = max(len(figures) for method, figures in methods.items() if method in METHODS)
        untrained = [f"{method} {_shown(methods[method])}" for method in methods if method not in METHODS]
        yield (
            f"| {SETS[name].task} | {name} | {Path(model).name} | {shown} | {metric} | "
            + " | ".join(_shown(methods.get(method, [])) for method in METHODS)
            + f" | {draws} | {', '.join(untrained)} |"
        )


def _figures(cell: dict[str, Any]) -> dict[str, float]:
    """The figure of each method that a cell measures."""
    arms = {arm: figures[cell["headline"]] for arm, figures in cell["arms"].items() if figures}
    if cell["variant"] == "proposals":
        return {"proposals": arms["generated_labels"]}
    if cell["variant"] == "all_labels":
        return {"all_labels": arms["labels_only"]}
    untrained = {method: figures[cell["headline"]] for method, figures in cell.get("baselines", {}).items()}
    return {arm: figure for arm, figure in arms.items() if arm in METHODS} | untrained


def _shown(figures: list[float]) -> str:
    if not figures:
        return ""
    spread = f" ± {stdev(figures):.3f}" if len(figures) > 1 else ""
    return f"{mean(figures):.3f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
