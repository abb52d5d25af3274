"""What a run costs by the number of classes: seconds, CPU seconds and peak memory of every stage.

    python -m benchmarks.classes                                   # all cells: hours on two cores
    python -m benchmarks.classes --classes 1000 --rows 1 --pool 100

A cell is a number of classes, of labelled rows a class and of unlabelled rows. A class is a pair of words
("amber harbour"), and its texts hold both among others, so that names and texts are alike as those of real
classes are. Each cell is a whole `run` with the embedded model in a process of its own; `--test` adds a row a
class that is judged, which costs time. CPU seconds are those of the process and all that it started, so
they hold on a busy machine as well. Kept in benchmarks/results/classes.json; a cell that is there is not run
again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil

RESULTS = Path(__file__).parent / "results" / "classes.json"
EVERY_S = 0.1
FIRST = (
    "amber ancient bitter brave bright broken bronze calm clever cloudy coastal copper crimson curious "
    "dusty eager early electric empty faint fancy fierce foreign fragile frozen gentle giant golden grand "
    "grey hidden hollow humble icy ivory jolly late lazy little lonely lost loud lucky marble misty "
    "modern narrow noble northern odd old painted pale patient plain polite proud quick quiet rapid rare "
    "rough royal rusty sacred scarlet secret sharp silent silver simple slow solar southern steep stormy "
    "sunny tiny velvet wild"
)
SECOND = (
    "anchor apron arrow basket beacon bell blanket bottle bridge bucket button cabin camera candle canoe "
    "carpet castle chain chimney clock compass cottage crown desk diary drum engine fence ferry flag "
    "flute fountain garden gate glove hammer harbour helmet hotel island jacket jewel kettle key kitchen "
    "ladder lamp lantern letter library lighthouse market mask medal mill mirror museum necklace needle "
    "oven palace pencil piano pillow planet pocket pond quilt radio ribbon river saddle sail school "
    "shovel statue stove teapot temple tower tractor trumpet tunnel umbrella violin wagon wallet whistle "
    "window"
)
FILLER = (
    "we have been asking about the with our some more than last week again please could you tell my there "
    "when it was found at this place and nobody knew where to look for what happened then they said that "
    "all of it"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--pool", type=int, nargs="+", default=[100, 4000])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep the runs here")
    parser.add_argument("--result", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = json.loads(options.result.read_text()) if options.result.exists() else {}
    for classes, rows, pool in product(options.classes, options.rows, options.pool):
        name = f"{classes} classes, {rows} rows each, pool of {pool}" + ", tested" * options.test
        if name not in found:
            with tempfile.TemporaryDirectory() as temporary:
                folder = (options.folder or Path(temporary)) / name.replace(", ", "-").replace(" ", "_")
                found[name] = measure(folder, write_files(folder, classes, rows, pool, options.test))
            options.result.write_text(json.dumps(found, indent=1) + "\n")
        print(name, {key: value for key, value in found[name].items() if key != "stages"}, flush=True)


def write_files(folder: Path, classes: int, rows: int, pool: int, test: bool = False) -> list[str]:
    """Write the input; the options of ``react-ray run``."""
    pairs = product(FIRST.split(), SECOND.split())
    names = [" ".join(pair) for pair, _ in zip(pairs, range(classes), strict=False)]
    draw = np.random.default_rng(classes)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"labeled": [name for name in names for _ in range(rows)]}
    parts["unlabeled"] = draw.choice(names, pool).tolist()
    parts |= {"test": names} if test else {}
    for part, labels in parts.items():
        with (folder / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "truth" if part == "unlabeled" else "label"])
            writer.writerows([_text(draw, label), label] for label in labels)
    flags = [word for part in parts for word in (f"--{part}", str(folder / f"{part}.csv"))]
    return [*flags, "data.columns.truth=truth", "--output", str(folder / "out")]


def _text(draw: np.random.Generator, label: str) -> str:
    words = [*label.split(), *draw.choice(FILLER.split(), draw.integers(8, 16))]
    return " ".join(str(word) for word in draw.permutation(words))


def measure(folder: Path, flags: list[str]) -> dict[str, Any]:
    """Run, and look at the processes as it goes; raises CalledProcessError."""
    command = [sys.executable, "-m", "react_ray.cli", "run", *flags]
    started, load = time.monotonic(), os.getloadavg()[0]
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    spent = 0.0
    with (folder / "run.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            for now, held in _samples(process):
                stage = _stage(folder / "out" / "cache")
                cpu[stage] = cpu.get(stage, 0.0) + max(now - spent, 0)
                memory[stage] = max(memory.get(stage, 0.0), held)
                spent = max(now, spent)
        finally:
            process.kill()  # when this one is stopped; it has ended otherwise
    if process.returncode:
        sys.stderr.write((folder / "run.log").read_text()[-4000:])
        raise subprocess.CalledProcessError(process.returncode, command)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    test = metrics["test"] or {}
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(spent, 1),
        "peak_mb": round(max(memory.values())),
        "load_before": round(load, 2),
        "kept_accuracy": (metrics["label_quality"] or {}).get("accuracy"),
        "arms": {arm: round(found["test"]["macro_f1"], 4) for arm, found in metrics["arms"].items() if test},
        "bytes": {
            path: (folder / "out" / path).stat().st_size
            for path in ("metrics.json", "report.html", "model/README.md", "augmented/part-00000.parquet")
        },
        "stages": {
            stage: {
                "seconds": round(metrics["seconds"].get(stage, 0), 1),
                "cpu_seconds": round(cpu[stage], 1),
                "peak_mb": round(memory[stage]),
            }
            for stage in cpu
        },
    }


def _samples(process: subprocess.Popen[bytes]) -> Iterator[tuple[float, float]]:
    """CPU seconds and MB of the process and its children until it ends."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [root, *root.children(recursive=True)]
            times = [each.cpu_times() for each in family]
            held = sum(each.memory_info().rss for each in family) / 1e6
        except psutil.Error:  # one has ended meanwhile
            continue
        finally:
            time.sleep(EVERY_S)
        ended = times[0].children_user + times[0].children_system
        yield sum(each.user + each.system for each in times) + ended, held


def _stage(cache: Path) -> str:
    """The stage at work, by its folder; between two of them, starting and publishing."""
    at_work = sorted(cache.glob("*.part")) if cache.exists() else []
    return at_work[-1].name.partition("-")[0] if at_work else "other"


if __name__ == "__main__":
    main()
