"""Kill parts of a cluster while a run is at work, and compare its predictions with an undisturbed run's.

    python -m benchmarks.faults --kills 10

A cluster of a head and two nodes is started on this machine (127.0.0.1 only), and a run on made-up
text with a small model goes through it once undisturbed and once for each kind of fault, which
comes at random moments:

| kind | what is done |
|---|---|
| driver | ``kill -9``, and the same command again |
| training worker, data worker | ``kill -9`` of one of them |
| node | ``kill -9`` of all its processes; it comes back |
| drained node | told that it will be taken away, killed some seconds later; it comes back |
| truncated checkpoint | the driver is killed, the newest checkpoint cut to half; the same command again |
| full disk | the disk of the output fills up, which the run must say; room is made; the same command again |

A run that ends before all of it was done is followed by another one. Survived: the run ended, no
finished stage was done again, and at least 99 % of the predictions are the same. Kept in
benchmarks/results/faults.json. The small disk is a tmpfs, which takes root; else its row is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.faults.nodes import cluster
from benchmarks.faults.road import END_S, Road
from benchmarks.faults.strikes import KINDS

RESULT = Path(__file__).parents[1] / "results" / "faults.json"
PAUSE_S = (2.0, 12.0)
"""Between two kills; those of data workers follow each other quicker, for these live for seconds."""
SAME = 0.99


def main() -> None:
    """All kinds of faults, a row each; rows of kinds that are not asked for are kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    kept = json.loads(options.result.read_text()) if options.result.exists() else []
    rows = {row["kind"]: row for row in kept}
    with tempfile.TemporaryDirectory(prefix="rr") as name, cluster(Path(name) / "ray") as nodes:
        road = Road(Path(name), nodes)
        undisturbed = road.predictions(road.whole("undisturbed"))
        if undisturbed.nunique() < 2:
            raise SystemExit("the undisturbed model gives one class to all: it would hide what a fault does")
        for kind in options.kinds:
            with road.place(kind) as place:
                if place is None:
                    print(f"{kind}: skipped, for a small disk cannot be mounted here")
                    continue
                row = rows[kind] = endure(kind, options.kills, road, place, undisturbed, chance)
            print("| {kind} | {kills} kills | {survived} survived | {lost} lost | {note} |".format(**row))
            options.result.write_text(json.dumps([*rows.values()], indent=1) + "\n")


def endure(
    kind: str, kills: int, road: Road, place: Path, undisturbed: pd.Series, chance: random.Random
) -> dict[str, Any]:
    """Runs with ``kills`` of a kind, as many runs as these take."""
    row: dict[str, Any] = {
        "kind": kind,
        "kills": 0,
        "survived": 0,
        "lost": 0,
        "runs": 0,
        "same": [],
        "note": "",
    }
    while row["kills"] < kills and not row["lost"] and row["runs"] < kills:
        output = place / f"{kind}-{row['runs']}".replace(" ", "-")
        done, problem = disturb(kind, kills - row["kills"], road, output, chance)
        if not problem:
            same = float((road.predictions(output) == undisturbed).mean())
            row["same"].append(round(same, 4))
            problem = "" if same >= SAME else f"only {same:.1%} of the predictions are the same"
        row["runs"] += 1
        row["kills"] += done
        row["lost" if problem else "survived"] += done
        row["note"] = problem or f"{row['runs']} runs, {min(row['same']):.1%} of the predictions the same"
    return row


def disturb(kind: str, kills: int, road: Road, output: Path, chance: random.Random) -> tuple[int, str]:
    """One run; how many kills it saw, and what went wrong."""
    process, done, deadline = road.start(output), 0, time.monotonic() + END_S
    pause = (0.1, 2.0) if kind == "data worker" else PAUSE_S
    next_kill = time.monotonic() + chance.uniform(*pause)
    finished: dict[str, float] = {}
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        if done < kills and time.monotonic() >= next_kill and begun(output):
            before = stages_done(output)
            if problem := repeated(finished, before):
                return done, problem
            finished |= before
            struck, process = KINDS[kind](process, road, output, chance)
            if struck:
                done += 1
                next_kill = time.monotonic() + chance.uniform(*pause)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        return done, f"hung: not at its end after {END_S} s"
    if process.returncode:
        return done, f"ended with {process.returncode}: {road.last_words(output)}"
    return done, repeated(finished, stages_done(output))


def begun(output: Path) -> bool:
    """Whether the cluster was found fit: a run that asks while a node is away is refused, as it should be."""
    return any(output.glob("cache/*-*"))


def stages_done(output: Path) -> dict[str, float]:
    """Finished stages, with the time that they were finished at."""
    folders = [folder for folder in (output / "cache").glob("*-*") if folder.suffix != ".part"]
    return {folder.name: (folder / "stage.json").stat().st_mtime for folder in folders}


def repeated(before: dict[str, float], after: dict[str, float]) -> str:
    """What was finished ``before`` and is not there, or was done again."""
    again = [name for name, when in before.items() if after.get(name) != when]
    return f"done again: {', '.join(again)}" if again else ""


if __name__ == "__main__":
    main()
