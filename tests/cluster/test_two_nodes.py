"""Jobs and checks on a real cluster of two nodes that asks for a token."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
WAIT_S = 240
"""On a loaded machine; whatever hangs ends here."""


@dataclass(frozen=True)
class TwoNodes:
    """Its addresses, the folder that its head works in, and what a client of it has in its environment."""

    ray: str
    jobs: str
    head: Path
    environ: dict[str, str]

    def start(self, *command: str | Path, **environ: str) -> subprocess.Popen[str]:
        """A process on the head; ``environ`` stands in for the token where it is given."""
        words = [sys.executable, *map(str, command)]
        given = {**os.environ, **(environ or self.environ)}
        return subprocess.Popen(
            words, cwd=self.head, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def react_ray(self, *command: str | Path, **environ: str) -> subprocess.Popen[str]:
        return self.start("-m", "react_ray.cli", *command, **environ)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=WAIT_S)
    return process.returncode, printed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    """Each node works in a folder of its own: /proc/self/cwd is another place on each."""
    folders = [tmp_path_factory.mktemp(name) for name in ("head", "other")]
    environ = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # as if activated
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-the-test",
        "HF_HUB_OFFLINE": "1",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # nothing there is worth waiting for at the end
    }
    gcs, jobs = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="rr") as temporary:  # short: sockets have their names in it
        head = ["--head", f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={jobs}"]
        head += [f"--ray-client-server-port={free_port()}", f"--temp-dir={temporary}"]
        other = [f"--address=127.0.0.1:{gcs}", f"--temp-dir={temporary}"]
        nodes = [ray_start(folders[0], environ, *head)]
        try:
            wait_for(jobs, nodes[0])
            nodes.append(ray_start(folders[1], environ, *other))
            yield TwoNodes(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{jobs}", folders[0], environ)
        finally:
            for node in nodes:
                node.terminate()  # it ends what it started
            for node in nodes:
                node.wait(WAIT_S)


def ray_start(folder: Path, environ: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    common = [
        "--num-cpus=2",
        f"--dashboard-agent-listen-port={free_port()}",
        "--disable-usage-stats",
        "--block",
    ]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *common, *options]
    with (folder / "ray.log").open("w") as log:
        return subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environ}, stdout=log, stderr=subprocess.STDOUT
        )


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError("Ray did not start")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.csv"
    rows = [
        f"{text} {n},{label}" for n in range(3) for text, label in (("a goal", "sport"), ("a bank", "money"))
    ]
    file.write_text("\n".join(["text,label", *rows]) + "\n")
    return file


@pytest.mark.ray
def test_a_job_prints_its_output_and_hands_on_its_exit_code(
    cluster: TwoNodes, labels: Path, tiny_model: Path, tmp_path: Path
) -> None:
    work, output = tmp_path / "work", tmp_path / "shared"
    work.mkdir()
    (work / "run.yaml").write_text(f"model: {tiny_model}\ncluster: {{answer_s: 200}}\n")
    submit = ["submit", "--address", cluster.jobs, "--working-dir", work]
    words = ["run.yaml", "--labeled", labels, "--output", output, "--until", "prepare"]
    good = cluster.react_ray(*submit, "run", *words)
    bad = cluster.react_ray(*submit, "serve", "/nowhere/run")
    code, printed = ended(good)
    assert code == 0, printed
    assert "sending" in printed
    assert "1 file, 0.0 MB" in printed
    assert "stopped after prepare" in printed
    assert len(list((output / "cache").glob("prepare-*"))) == 1, "the job wrote where it was told"
    assert not list(output.glob(".react-ray-probe-*"))
    code, printed = ended(bad)
    assert code == 2, printed
    assert "error: /nowhere/run: no model found there" in printed


@pytest.mark.ray
def test_without_the_token_a_job_is_refused_with_what_to_set(cluster: TwoNodes, tmp_path: Path) -> None:
    submit = ["submit", "--address", cluster.jobs, "--working-dir", tmp_path, "clean", "/mnt/run"]
    common = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    without = cluster.react_ray(*submit, **common, RAY_AUTH_MODE="disabled")
    wrong = cluster.react_ray(*submit, **common, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="guessed")
    for process, reason in ((without, "RAY_AUTH_MODE is 'disabled'"), (wrong, "does not match")):
        code, printed = ended(process)
        assert code == 4, printed
        assert reason in printed
        assert "~/.ray/auth_token" in printed
        assert "guessed" not in printed


@pytest.mark.ray
def test_what_cannot_be_is_refused_before_any_work(
    cluster: TwoNodes, labels: Path, tiny_model: Path, tmp_path: Path
) -> None:
    given = [
        "run",
        "--address",
        cluster.ray,
        "--labeled",
        labels,
        "--model",
        tiny_model,
        "cluster.answer_s=200",
    ]
    many = cluster.react_ray(*given, "--output", tmp_path / "many", "cluster.workers=64")
    # this path is a folder of the head for the driver and the head, and one of the other node there
    unshared = cluster.react_ray(*given, "--output", "/proc/self/cwd/run")
    code, printed = ended(many)
    assert code == 4, printed
    assert "asks for 64 CPU (64 workers), Ray has 4" in printed
    code, printed = ended(unshared)
    assert code == 4, printed
    assert "the output folder /proc/self/cwd/run is not that of the driver" in printed
    assert printed.count("(on ") == 1
    assert printed.partition("(on ")[2].count("(") == 1, "one node is named, not both"
    assert not list((cluster.head / "run").glob(".*")), "the probe leaves nothing"
    assert not list(tmp_path.glob("*/cache/prepare-*"))
