"""Speed of this checkout against another one: the demo, and requests/s of the service.

    git worktree add ../before REVISION
    python -m benchmarks.before_after --before ../before

The two are measured in turn, so that a busy machine slows both. The demo is compared by its CPU seconds,
which other processes hardly change, and by its wall time. The services of both run side by side and
serve the model that the other checkout saved; wrk sends requests to one and then to the other, in blocks of
some seconds. Ratios are the median over pairs that follow each other. All figures are kept in
``benchmarks/results/before_after.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cpu_time import cpu_seconds
from benchmarks.serving.__main__ import write_texts, wrk
from benchmarks.serving.service import served

RESULT = Path(__file__).parent / "results" / "before_after.json"
HERE = Path(__file__).parents[1]
CONNECTIONS = 32
Pairs = list[dict[str, Any]]
"""Figures of ``before`` and ``after``, a pair for each round."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--demos", type=int, default=2, help="pairs of demo runs")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of blocks of requests")
    parser.add_argument("--seconds", type=int, default=5, help="length of a block of requests")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt install wrk")
    packages = {"before": options.before.absolute(), "after": HERE}
    kept: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.rounds:
            kept["requests"] = requests(packages, folder, options.rounds, options.seconds)
            RESULT.write_text(json.dumps(kept, indent=1) + "\n")
        if options.demos:
            kept["demo"] = [
                {name: demo(package, folder / f"{name}-{number}") for name, package in packages.items()}
                for number in range(options.demos)
            ]
            RESULT.write_text(json.dumps(kept, indent=1) + "\n")
    print(table(kept))


def demo(package: Path, output: Path) -> dict[str, float]:
    """Seconds of the demo, and its macro-F1."""
    used, began = cpu_seconds(), time.perf_counter()
    command = [sys.executable, "-m", "react_ray.cli", "demo", "--output", str(output), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment(package))
    wall = time.perf_counter() - began
    metrics = json.loads((output / "metrics.json").read_text())
    return {"cpu_s": cpu_seconds() - used, "wall_s": wall, "macro_f1": metrics["test"]["macro_f1"]}


def requests(packages: dict[str, Path], folder: Path, rounds: int, seconds: int) -> Pairs:
    """Requests/s of both services, each with the model that the checkout ``before`` saved."""
    write_texts(folder)
    code = "from pathlib import Path; from benchmarks.serving.service import make_model; "
    code += f"make_model(Path({str(folder / 'model')!r}))"
    before = packages["before"]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=before, env=_environment(before))
    settings = {name: {"environment": _environment(package)} for name, package in packages.items()}
    model = folder / "model"
    pairs = []
    with served(model, **settings["before"]) as first, served(model, **settings["after"]) as second:
        urls = {"before": f"{first.url}/predict", "after": f"{second.url}/predict"}
        for url in urls.values():
            wrk(url, folder / "equal-plain.jsonl", CONNECTIONS, 2)
        for number in range(rounds):
            names = list(urls) if number % 2 else list(urls)[::-1]
            found = {
                name: wrk(urls[name], folder / "equal-plain.jsonl", CONNECTIONS, seconds) for name in names
            }
            print(f"round {number + 1}: {found}", flush=True)
            pairs.append(found)
    return pairs


def table(kept: dict[str, Any]) -> str:
    """Medians and ratios in Markdown."""
    lines = ["| | before | after | after / before |", "|---|---|---|---|"]
    figures = [
        ("requests", "rps", "requests/s"),
        ("demo", "cpu_s", "demo, CPU s"),
        ("demo", "wall_s", "demo, s"),
    ]
    for group, key, words in figures:
        pairs = kept.get(group, [])
        if pairs:
            middle = [median(pair[name][key] for pair in pairs) for name in ("before", "after")]
            ratio = median(pair["after"][key] / pair["before"][key] for pair in pairs)
            lines.append(f"| {words} | {middle[0]:.1f} | {middle[1]:.1f} | {ratio:.3f} |")
    return "\n".join(lines)


def _environment(package: Path) -> dict[str, str]:
    """Name the encoder, because the default depends on what is installed."""
    return {**os.environ, "PYTHONPATH": str(package), "REACT_RAY_ENCODER": "embedded"}


if __name__ == "__main__":
    main()
