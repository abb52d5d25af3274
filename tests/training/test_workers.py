from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from killed_worker import kill_once
from tiny_training import make_rows, probabilities, train, write_settings

from react_ray.cluster.session import Session
from react_ray.cluster.trainer import fit
from react_ray.config.settings import ClusterConfig
from react_ray.training.train import loop
from react_ray.training.worker import Worker

DIES_AT = 8


def killed_once(worker: Worker, *, marker: str, **settings: Any) -> None:
    """The loop, in which the second worker is killed once between two checkpoints."""
    kill_once(worker, DIES_AT, marker)
    loop(worker, **settings)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_one_killed_predict_like_one_process(tmp_path, tiny_model):
    # 49 rows: the last batch of an epoch holds one row, so one worker has none
    rows, validation = make_rows(49), make_rows(40, seed=9)
    rows = rows.append_column("weight", pa.array([1.0 if i % 4 else 0.1 for i in range(49)]))
    chosen = {"epochs": 4, "evaluations": 4, "accumulation": 2, "lr": 1e-3}
    alone = train(tmp_path / "alone", tiny_model, rows, validation, **chosen)
    settings = write_settings(tmp_path, tiny_model, rows, validation, **chosen)
    marker = tmp_path / "killed"
    cluster = ClusterConfig(workers=2, use_gpu=False, max_failures=1)
    last = fit(
        killed_once,
        {**settings, "marker": str(marker)},
        name="two",
        folder=tmp_path / "ray",
        session=Session(cluster),
    )
    assert marker.exists()
    # float32 sums in another order; AdamW divides by small numbers
    assert np.allclose(probabilities(last, validation), probabilities(alone, validation), atol=1e-3)
    whole = (alone / "history.jsonl").read_text().splitlines()
    assert len((last / "history.jsonl").read_text().splitlines()) == len(whole)
