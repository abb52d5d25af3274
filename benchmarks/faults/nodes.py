"""A cluster of several nodes on this machine, whose parts can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.service import free_port

DRAIN_S = 8
"""Between the notice that a node will be taken away, and its end."""
START_S = 180
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@dataclass
class Nodes:
    """A head without CPUs for work, and two nodes; each is a process group."""

    temporary: Path
    port: int = 0
    groups: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environ(self) -> dict[str, str]:
        """What every process of the cluster and its drivers has."""
        root = str(Path(__file__).parents[2])
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
            self.groups.append(self._node(self._worker(number)))
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

    def drain(self, number: int) -> bool:
        """Tell the cluster that a node will be taken away; False where it is not there, or cannot be told."""
        ask = f"import ray; ray.init('127.0.0.1:{self.port}'); "
        ask += (
            f"print(*[n['NodeID'] for n in ray.nodes() if n['Alive'] and 'node{number}' in n['Resources']])"
        )
        told = subprocess.run([sys.executable, "-c", ask], env=self.environ(), capture_output=True, text=True)
        there = re.findall(r"\b[0-9a-f]{56}\b", told.stdout)
        if not there:
            return False
        command = [*RAY, "drain-node", f"--address=127.0.0.1:{self.port}", f"--node-id={there[-1]}"]
        command += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=taken away"]
        command += [f"--deadline-remaining-seconds={DRAIN_S}"]
        told = subprocess.run(command, env=self.environ(), capture_output=True, text=True)
        if told.returncode:
            print(f"node {number} could not be drained: {told.stderr.strip()[-300:]}")
        return told.returncode == 0

    def restart(self, number: int) -> None:
        """A node is gone with all its processes, and comes back."""
        self._end(self.groups[number])
        self.groups[number] = self._node(self._worker(number))

    def stop(self) -> None:
        """End all groups."""
        for group in reversed(self.groups):
            self._end(group)

    def _worker(self, number: int) -> list[str]:
        name = f'--resources={{"node{number}": 1}}'
        return [f"--address=127.0.0.1:{self.port}", "--num-cpus=2", f"--temp-dir={self.temporary}", name]

    def _node(self, options: list[str]) -> subprocess.Popen[bytes]:
        command = [*RAY, "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}", *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self.environ(), start_new_session=True, **quiet)  # type: ignore[call-overload]

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
