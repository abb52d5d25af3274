"""The commands of docs/cluster.md on a cluster of three nodes on this machine, up to a million rows.

    python -m benchmarks.cluster_walk --rows 1000000

Reads the commands out of the page and runs them as they stand, but for these: HEAD is 127.0.0.1, /mnt/data a
folder of its own (so is the home folder, where the token goes), nodes are ended with this program
(``--block``), and a small model made from a config takes the place of the embedded one, which
would read a million rows for hours on two cores. Installing and ssh are left out. Ports 6379 and
8265 must be free. Kept in benchmarks/results/cluster_walk.json: each command, its exit code, its seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.big_data import TUNED
from benchmarks.synthetic import make_rows, vocabulary, write_labelled
from benchmarks.tiny_model import save_tiny_model
from react_ray.cluster.session import connection_error

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cluster.md"
RESULT = Path(__file__).parent / "results" / "cluster_walk.json"
START_S, STEP_S = 120, 3600


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rr") as name, ExitStack() as nodes:
        folder = Path(name)
        write_data(folder / "data", options.rows)
        steps: list[dict[str, Any]] = []
        for command in commands(PAGE.read_text(encoding="utf-8")):
            steps.append(walk(command, folder, nodes))
            print("{seconds:8.1f} s  exit code {code}  {command}".format(**steps[-1]), flush=True)
            if steps[-1]["code"]:
                sys.exit(steps[-1]["said"])
        labelled = pd.read_csv(folder / "data" / "labelled.csv")
    right = float((labelled["label"] == labelled["topic"]).mean())
    found = {"rows": len(labelled), "right": round(right, 3), "cpus": os.cpu_count(), "steps": steps}
    assert len(labelled) == options.rows, f"{len(labelled)} of {options.rows} rows came back"
    options.result.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(labelled):,} rows labelled, {right:.1%} of them right; kept in {options.result}")


def commands(page: str) -> Iterator[str]:
    """The page's commands, in order; those of a worker node twice, for there are two."""
    section = page.split("## From nothing to a first job")[1].split("\n## ")[0]
    for line in re.findall(r"^    (\S.*)$", section, re.M):
        if line.startswith(("pip install", "ssh ", "export ")):
            continue
        yield line
        if "--address=HEAD" in line:
            yield line


def walk(command: str, folder: Path, nodes: ExitStack) -> dict[str, Any]:
    """One command: a node that stays, or something that ends."""
    given = command.replace("HEAD", "127.0.0.1").replace("/mnt/data", str(folder / "data"))
    given = given.replace("~/", f"{folder}/").replace("/tmp/ray", f"{folder}/ray")
    started = time.monotonic()
    if given.startswith("ray start"):
        nodes.enter_context(node(f"{given} --block --temp-dir={folder}/ray", folder))
        code, said = 0, ""
    else:
        if re.search(r"submit (check|run|tune)", given):
            given += f" --model {folder / 'data' / 'model'}"
        if re.search(r"submit (run|tune)", given):
            given += f" {TUNED}"
        done = subprocess.run(
            given, shell=True, env=environ(folder), capture_output=True, text=True, timeout=STEP_S
        )
        code, said = done.returncode, (done.stdout + done.stderr)[-3000:]
    return {
        "command": command,
        "code": code,
        "seconds": round(time.monotonic() - started, 1),
        "said": _anywhere(said, folder),
    }


def _anywhere(said: str, folder: Path) -> str:
    """Without the places of this machine."""
    for here, there in ((folder / "data", "/mnt/data"), (folder, "~"), (ROOT, ".")):
        said = said.replace(str(here), str(there))
    return said


@contextmanager
def node(command: str, folder: Path) -> Iterator[None]:
    """A node of the cluster, in a process group of its own."""
    before = alive(folder)
    process = subprocess.Popen(
        command,
        shell=True,
        env=environ(folder),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_S
        while alive(folder) == before:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"no node came up: {command}")
            time.sleep(1)
        yield
    finally:
        with suppress(ProcessLookupError):  # told to end in order, a node would wait for its head for long
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def alive(folder: Path) -> int:
    """Nodes of the cluster; 0 before there is one, which Ray would wait for for minutes."""
    if connection_error("127.0.0.1", 6379):
        return 0
    ask = "import ray; ray.init('127.0.0.1:6379'); print('NODES', sum(n['Alive'] for n in ray.nodes()))"
    told = subprocess.run([sys.executable, "-c", ask], env=environ(folder), capture_output=True, text=True)
    found = re.search(r"NODES (\d+)", told.stdout)
    return int(found[1]) if found else 0


def environ(folder: Path) -> dict[str, str]:
    """What a shell of the walk has."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(folder), "PATH": path, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "RAY_GCS_RPC_TIMEOUT_S": "5"}


def write_data(folder: Path, rows: int) -> None:
    """labels.csv, validation.csv, pile.csv (with its hidden topic) and the model."""
    folder.mkdir(parents=True)
    for number, name in ((-1, "labels"), (-2, "validation")):
        write_labelled(folder / f"{name}.csv", 20, 0, number)
    make_rows(rows, seed=1).to_pandas().to_csv(folder / "pile.csv", index=False)
    save_tiny_model(folder / "model", vocabulary())


if __name__ == "__main__":
    main()
