"""Kill parts of a cluster while a run is at work, and compare its predictions with an undisturbed run's.

    python -m benchmarks.faults --kills 10

A cluster of a head and two nodes is started on this machine (127.0.0.1 only), and a run on made-up
text with a small model goes through it once undisturbed and once for each kind of fault, with
``kill -9`` of the driver (and the same command again), of a training worker, of a worker that
handles data, and of a whole node (which comes back), at random moments of the run. A run that ends
before all kills were made is followed by another one. Survived: the run ended, no finished stage
was done again, and at least 99 % of the predictions are the same. Kept in
benchmarks/results/faults.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.search import make_files

RESULT = Path(__file__).parent / "results" / "faults.json"
TITLES = {"training worker": "RayTrainWorker", "data worker": "MapWorker"}
"""What Ray calls the processes, in their titles."""
PAUSE_S = (2.0, 12.0)
"""Between two kills; those of data workers follow each other quicker, for these live for seconds."""
END_S = 1_200
"""A run that takes longer is counted as hung."""
START_S = 180
SAME = 0.99
POOL = 5_000


def main() -> None:
    """All kinds of faults, a row each; rows of kinds that are not asked for are kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--kinds", nargs="+", default=["driver", *TITLES, "node"])
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
            row = rows[kind] = endure(kind, options.kills, road, undisturbed, chance)
            print("| {kind} | {kills} kills | {survived} survived | {lost} lost | {note} |".format(**row))
            options.result.write_text(json.dumps([*rows.values()], indent=1) + "\n")


def endure(
    kind: str, kills: int, road: Road, undisturbed: pd.Series, chance: random.Random
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
        output = road.folder / f"{kind}-{row['runs']}".replace(" ", "-")
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
        if done < kills and time.monotonic() >= next_kill:
            before = stages_done(output)
            if problem := repeated(finished, before):
                return done, problem
            finished |= before
            if kill(kind, process, road.nodes, chance):
                done += 1
                next_kill = time.monotonic() + chance.uniform(*pause)
                if kind == "driver":
                    process.wait()
                    process = road.start(output)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        return done, f"hung: not at its end after {END_S} s"
    if process.returncode:
        return done, f"ended with {process.returncode}: {road.last_words(output)}"
    return done, repeated(finished, stages_done(output))


def stages_done(output: Path) -> dict[str, float]:
    """Finished stages, with the time that they were finished at."""
    folders = [folder for folder in (output / "cache").glob("*-*") if folder.suffix != ".part"]
    return {folder.name: (folder / "stage.json").stat().st_mtime for folder in folders}


def repeated(before: dict[str, float], after: dict[str, float]) -> str:
    """What was finished ``before`` and is not there, or was done again."""
    again = [name for name, when in before.items() if after.get(name) != when]
    return f"done again: {', '.join(again)}" if again else ""


def kill(kind: str, driver: subprocess.Popen[bytes], nodes: Nodes, chance: random.Random) -> bool:
    """``kill -9`` one process (or node) of a kind; False where there is none at the moment."""
    if kind == "driver":
        os.killpg(driver.pid, signal.SIGKILL)
        return True
    if kind == "node":
        nodes.restart(chance.randrange(1, 3))
        return True
    there = processes(TITLES[kind], nodes.temporary)
    if there:
        os.kill(chance.choice(there), signal.SIGKILL)
    return bool(there)


def processes(title: str, temporary: Path) -> list[int]:
    """Ids of the processes of this cluster whose title has ``title`` in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if words.startswith("ray::") and title in words:
                own = (folder / "environ").read_bytes().decode(errors="replace")
                if f"REACT_RAY_FAULTS={temporary}" in own:
                    found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile
    return found


@dataclass
class Nodes:
    """A head without CPUs for work, and two nodes; each is a process group."""

    temporary: Path
    port: int = 0
    groups: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environ(self) -> dict[str, str]:
        """What every process of the cluster and its drivers has."""
        root = str(Path(__file__).parents[1])
        own = {"REACT_RAY_FAULTS": str(self.temporary), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-for-this-benchmark"}
        return {**os.environ, **own, **token, "PYTHONPATH": root}

    def start(self) -> None:
        """Bring all up."""
        self.port = free_port()
        head = ["--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={self.temporary}"]
        self.groups = [self._node([*head, "--include-dashboard=false"])]
        self._wait(0)
        for number in (1, 2):
            self.groups.append(self._node(self._worker()))
            self._wait(2 * number)

    def _wait(self, cpus: int) -> None:
        """Until the cluster has so many CPUs."""
        ask = f"import ray; ray.init('127.0.0.1:{self.port}'); "
        ask += "print('CPU', ray.cluster_resources().get('CPU', 0))"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            told = subprocess.run(
                [sys.executable, "-c", ask], env=self.environ(), capture_output=True, text=True
            )
            if f"CPU {cpus:g}" in told.stdout:
                return
        raise SystemExit(f"the cluster has no {cpus} CPUs after {START_S} s:\n{told.stderr[-600:]}")

    def restart(self, number: int) -> None:
        """A node is gone with all its processes, and comes back."""
        self._end(self.groups[number])
        self.groups[number] = self._node(self._worker())

    def stop(self) -> None:
        """End all groups."""
        for group in reversed(self.groups):
            self._end(group)

    def _worker(self) -> list[str]:
        return [f"--address=127.0.0.1:{self.port}", "--num-cpus=2", f"--temp-dir={self.temporary}"]

    def _node(self, options: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}", *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self.environ(), start_new_session=True, **quiet)  # type: ignore[call-overload,no-any-return]

    def _end(self, group: subprocess.Popen[bytes]) -> None:
        os.killpg(group.pid, signal.SIGKILL)
        group.wait()


@contextmanager
def cluster(temporary: Path) -> Iterator[Nodes]:
    """The cluster, for as long as the block runs."""
    nodes = Nodes(temporary)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


class Road:
    """The run that is disturbed: its files, its command, its predictions."""

    def __init__(self, folder: Path, nodes: Nodes):
        self.folder, self.nodes = folder, nodes
        self.files = make_files(folder, seed=0, pool=POOL)
        self.given = [f"{key}={value}" for key, value in self.files.items()]
        self.given += [
            f"cluster.address=127.0.0.1:{nodes.port}",
            "cluster.workers=2",
            "cluster.cpus_per_worker=2",
            "cluster.max_failures=50",
            "cluster.local_rows=0",
            "data.max_unknown=1",
            "finetune.token_budget=150000",
            "finetune.lr=1e-3",  # the model is a random one: at less it learns nothing that could differ
            "finetune.evaluations=20",
            "finetune.patience=20",
        ]

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """The command, in a process group of its own."""
        command = [sys.executable, "-m", "react_ray.cli", "run", *self.given, "--output", str(output)]
        with output.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                command, env=self.nodes.environ(), stdout=log, stderr=log, start_new_session=True
            )

    def whole(self, name: str) -> Path:
        """A run that nothing disturbs; its folder."""
        output = self.folder / name
        if self.start(output).wait(END_S):
            raise SystemExit(f"the undisturbed run failed: {self.last_words(output)}")
        return output

    def predictions(self, output: Path) -> pd.Series:
        """Labels for the unlabelled texts, by the saved model."""
        command = [sys.executable, "-m", "react_ray.cli", "predict", str(output), "--quiet"]
        command += ["--input", self.files["data.unlabeled"], "--output", str(output / "labelled.csv")]
        here = {key: value for key, value in self.nodes.environ().items() if key != "RAY_ADDRESS"}
        subprocess.run(command, env=here, check=True, capture_output=True)
        return pd.read_csv(output / "labelled.csv")["label"]

    def last_words(self, output: Path) -> str:
        """The end of a run's log."""
        return output.with_suffix(".log").read_text(errors="replace")[-600:]


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
