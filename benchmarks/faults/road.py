"""The run that is disturbed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from benchmarks.faults.nodes import Nodes
from benchmarks.search import make_files

END_S = 1_200
"""A run that takes longer is counted as hung."""
POOL = 5_000
DISK_MB = 300


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

    @contextmanager
    def place(self, kind: str) -> Iterator[Path | None]:
        """Where runs of a kind go: for a full disk a small one; None where it cannot be mounted."""
        if kind != "full disk":
            yield self.folder
            return
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
        try:
            yield disk if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", str(disk)], check=True)

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """The command, in a process group of its own."""
        command = [sys.executable, "-m", "react_ray.cli", "run", *self.given, "--output", str(output)]
        with self.log_of(output).open("ab") as log:
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
        return self.log_of(output).read_text(errors="replace")[-600:]

    def log_of(self, output: Path) -> Path:
        """What a run and those before it in the same folder said."""
        return self.folder / f"{output.name}.log"
