"""What Ray costs and gives, in one table: the ratios of three benchmarks, each beside its goal.

    python -m benchmarks.ratios --nlpaug-python ../nlpaug/bin/python

Runs ``benchmarks.training``, ``benchmarks.data_ratios`` and ``benchmarks.search`` where their results are
not there yet, one after the other (half an hour on two idle cores), and prints the table from the results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import mean
from typing import Any

from benchmarks import data_ratios, search, training

RESULTS = {"training": training.RESULTS, "data_ratios": data_ratios.RESULTS, "search": search.RESULT}
Row = tuple[str, float, float, bool]
"""What is measured, how much, the goal, and whether less is better."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nlpaug-python", help="interpreter of an environment with nlpaug")
    options = parser.parse_args()
    given = {"data_ratios": ["--nlpaug-python", options.nlpaug_python] if options.nlpaug_python else []}
    for name, result in RESULTS.items():
        if not result.exists():
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *given.get(name, [])], check=True)
    print("\n| ratio | measured | goal | |\n|---|---|---|---|")
    for told, measured, goal, less in rows({name: json.loads(p.read_text()) for name, p in RESULTS.items()}):
        reached = measured <= goal if less else measured >= goal
        sign = "at most" if less else "at least"
        print(f"| {told} | {measured:.2f} | {sign} {goal:g} | {'reached' if reached else 'not reached'} |")


def rows(found: dict[str, Any]) -> Iterator[Row]:
    """The table, from the three results."""
    trained, data, searched = found["training"], found["data_ratios"], found["search"].values()
    yield "seconds a step: Ray Train, of a plain PyTorch loop", trained["ray_over_plain"], 1.15, True
    two = trained["two_workers_over_two_threads"]
    yield "rows/s: two workers, of one worker with two threads", two, 0.85, False
    encoded = data["encode"]["ratio_per_core_2_processes"]
    yield "rows/s and core: encoding on Ray Data, of a plain loop", encoded, 0.9, False
    yield "copies/s: augmentation on two processes, of one", data["augment"]["speedup_1_to_2"], 1.6, False
    if isinstance(data["nlpaug"], dict):
        for operation, against in data["nlpaug"].items():
            yield f"copies/s: {operation} words, of nlpaug", against["ratio"], 15, False
    ours, plain = (mean(row["seconds_to_target"][way] for row in searched) for way in search.WAYS)
    yield "seconds to a good score: random and FIFO, of Optuna and ASHA", plain / ours, 2, False
    yield "seconds of a trial with nothing to do", mean(row["overhead"] for row in searched), 0.5, True


if __name__ == "__main__":
    main()
