"""Kill a run at each of its stages, run it again, and compare the figures.

    python -m benchmarks.kill_stages

For every stage: start the run in a fresh folder, ``kill -9`` it (and the processes it
started) while the stage is at work, give the same command again. Survived means that
the second run ends, did not repeat a finished stage, and gives the metrics of a run
that was never disturbed. The table is kept in benchmarks/results/kill_stages.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.datasets import write_draw
from react_ray.pipeline.graph import LABEL_GAN

RESULTS = Path(__file__).parent / "results" / "kill_stages.json"
VOLATILE = ("seconds", "reused", "created")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=int, default=300)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds into the stage")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw = write_draw("bbc", folder / "data", labels_per_class=5, pool=options.pool, test=200, seed=0)
        command = [sys.executable, "-m", "react_ray.cli", "run", "--quiet", *draw.flags()]
        command += ["--truth-column", "truth", "finetune.token_budget=20000"]
        undisturbed = finish([*command, "--output", str(folder / "undisturbed")], folder / "undisturbed")
        for stage in LABEL_GAN:
            output = folder / stage.name
            rows.append(
                kill_and_resume(
                    stage.name, [*command, "--output", str(output)], output, undisturbed, options.delay
                )
            )
            print(f"{rows[-1]['stage']:12} {rows[-1]['result']:9} {rows[-1]['note']}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    survived = sum(row["result"] == "survived" for row in rows)
    print(f"{survived} survived, {len(rows) - survived} lost")


def kill_and_resume(
    stage: str, command: list[str], output: Path, undisturbed: dict[str, Any], delay: float
) -> dict[str, str]:
    """One row of the table."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not list((output / "cache").glob(f"{stage}-*.part")):
        time.sleep(0.005)
    finished = {
        folder.name.rsplit("-", 1)[0] for folder in (output / "cache").glob("*-*") if folder.suffix != ".part"
    }
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline and list((output / "cache").glob(f"{stage}-*.part")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    half_done = bool(list((output / "cache").glob(f"{stage}-*.part")))
    metrics = finish(command, output)
    repeated = finished - set(metrics["reused"])
    differing = [key for key in undisturbed if key not in VOLATILE and metrics[key] != undisturbed[key]]
    result = "lost" if repeated or differing else "survived"
    note = (
        f"killed {'inside' if half_done else 'just after'} the stage; reused {len(metrics['reused'])} stages"
    )
    if result == "lost":
        note += f"; repeated {sorted(repeated)}, differing {differing}"
    return {"stage": stage, "result": result, "note": note}


def finish(command: list[str], output: Path) -> dict[str, Any]:
    """Run to the end; the metrics."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics: dict[str, Any] = json.loads((output / "metrics.json").read_text())
    return metrics


if __name__ == "__main__":
    main()
