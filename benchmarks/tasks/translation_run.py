"""Time and BLEU of the whole command `react-ray run` with a model from scratch and default settings.

    OMP_NUM_THREADS=1 python -m benchmarks.tasks.translation_run --data multi30k_en_de
    OMP_NUM_THREADS=1 python -m benchmarks.tasks.translation_run --data multi30k_en_de --rows 500 --pool 8000

``--data`` is a folder with train.parquet and test.parquet, with columns source and target. The first rows are
labelled, the sources of the next ones are the pool.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.cpu_time import cpu_seconds

RESULTS = Path(__file__).parents[1] / "results" / "translation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = _run(options, Path(temporary))
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"run-{options.data.name}-{options.rows}-{options.pool}.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def _run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    pairs = pq.read_table(options.data / "train.parquet", columns=["source", "target"])
    files = {"labeled": pairs[: options.rows]}
    if options.pool:
        files["unlabeled"] = pairs[options.rows : options.rows + options.pool].select(["source"])
    files["test"] = pq.read_table(options.data / "test.parquet", columns=["source", "target"])
    command = [sys.executable, "-m", "react_ray.cli", "run", "--task", "translation"]
    command += ["--model", "transformer-tiny", "--output", str(folder / "out")]
    for name, rows in files.items():
        pq.write_table(rows, folder / f"{name}.parquet")
        command += [f"--{name}", str(folder / f"{name}.parquet")]
    started = time.monotonic()
    subprocess.run(command, check=True)
    metrics = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
    return {
        "rows": metrics["rows"],
        "seconds": round(time.monotonic() - started),
        "cpu_seconds": round(cpu_seconds()),
        "stages": metrics["seconds"],
        "chosen": metrics["chosen"],
        "arms": {name: arm["test"] for name, arm in metrics["arms"].items()},
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


if __name__ == "__main__":
    main()
