"""A training run on two simulated nodes, one of which is killed; a program of its own.

    python nodes_lost.py FOLDER SETTINGS.json

The Ray processes end with this one, and Ray keeps no state of other runs. Leaves FOLDER/last, the last
checkpoint, and FOLDER/steps.jsonl: each step that was taken, and the number of workers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray")  # read when Ray is imported

import ray
from ray.cluster_utils import Cluster

from react_ray.cluster import trainer
from react_ray.cluster.session import Session
from react_ray.config.settings import ClusterConfig
from react_ray.console.reporter import Progress
from react_ray.training.train import loop
from react_ray.training.worker import Worker

DIES_AT = 6


def watched(worker: Worker, *, home: str, folder: str, **settings: Any) -> None:
    """The loop; it notes its steps, and the worker that is not at ``home`` waits for its death."""
    away = ray.get_runtime_context().get_node_id() != home
    told: Progress = worker.progress

    def progress(done: int, total: int, note: str = "") -> None:
        told(done, total, note)
        if worker.rank == 0:
            with Path(folder, "steps.jsonl").open("a") as steps:
                steps.write(json.dumps([done, worker.world_size]) + "\n")
        if away and done == DIES_AT:
            Path(folder, "waits").touch()
            time.sleep(600)

    worker.progress = progress  # type: ignore[method-assign]
    loop(worker, **settings)


def main(folder: Path, settings: dict[str, Any]) -> None:
    here = {"include_dashboard": False, "num_cpus": 1}
    cluster = Cluster(initialize_head=True, head_node_args=here)
    ray.init(address=cluster.address, log_to_driver=False)  # to the only node there is so far
    away = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def kill() -> None:
        known = folder / "ray" / "elastic" / "checkpoint_manager_snapshot.json"
        # Ray hears of a checkpoint a moment after it was written
        while not ((folder / "waits").exists() and known.exists()):
            time.sleep(0.1)
        cluster.remove_node(away, allow_graceful=False)

    threading.Thread(target=kill, daemon=True).start()
    given = {**settings, "home": ray.get_runtime_context().get_node_id(), "folder": str(folder)}
    trainer.ELASTIC_START_S = 8  # several tries, until Ray has seen that the node's room is gone
    session = Session(ClusterConfig(workers=(1, 2), use_gpu=False, max_failures=4))
    try:
        last = trainer.fit(watched, given, name="elastic", folder=folder / "ray", session=session)
        (folder / "last").symlink_to(last)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
