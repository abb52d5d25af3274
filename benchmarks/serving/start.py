"""How long it takes from the command to the first answer.

    python -m benchmarks.serving.start                 # MiniLM with a head of chance weights, exported
    python -m benchmarks.serving.start out/ --times 5  # a model of your own

Starts ``react-ray serve`` on 127.0.0.1, one replica on all cores, asks for the label of a text as soon as it
says that it is ready, and ends it; again and again. What is kept in benchmarks/results/serving_start.json are
the seconds from the start of the process to that line and to the answer, and the load average before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.serving.service import make_model, served
from react_ray import Client

RESULT = Path(__file__).parents[1] / "results" / "serving_start.json"
MODEL = Path("out/benchmarks/serving/model")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path, help="folder of a run or model")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    model = options.model or make_model(MODEL)
    kept: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "model": str(model),
        "starts": [],
    }
    for _ in range(options.times):
        kept["starts"].append(started(model))
        print(kept["starts"][-1], flush=True)
        options.result.write_text(json.dumps(kept, indent=1) + "\n")
    answers = [start["answer_s"] for start in kept["starts"]]
    print(f"first answer after {statistics.median(answers):.1f} s ({min(answers):.1f} to {max(answers):.1f})")


def started(model: Path) -> dict[str, float]:
    """Seconds from the command to its "Ready", and to the first answer, and what else ran before."""
    load, _, _ = os.getloadavg()
    began = time.perf_counter()
    with served(model) as running, Client(running.url, retries=0) as client:
        ready = time.perf_counter() - began
        client.predict("The striker scored twice.")
        answer = time.perf_counter() - began
        return {"load": round(load, 1), "ready_s": round(ready, 2), "answer_s": round(answer, 2)}


if __name__ == "__main__":
    main()
