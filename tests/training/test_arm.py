from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_training import LABELS, accuracy, make_rows

from react_ray.cluster.session import Session
from react_ray.config.settings import Config
from react_ray.tasks.labels import LabelMap
from react_ray.training.run import finetune


@pytest.fixture
def arguments(tiny_model: Path) -> dict[str, Any]:
    settings = {
        "model": str(tiny_model),
        "data": {"labeled": "rows.csv"},
        "finetune": {"lr": 1e-2, "epochs": 8, "evaluations": 1},
        "cluster": {"workers": 0},
    }
    return {
        "train": make_rows(90),
        "validation": make_rows(30, seed=3),
        "labels": LabelMap.of(LABELS),
        "config": (config := Config.model_validate(settings)),
        "session": Session(config.cluster),
    }


def test_labelled_rows_as_they_are_become_a_model(tmp_path, arguments):
    model = finetune(tmp_path, **arguments)
    assert accuracy(model.parent, make_rows(60, seed=9)) > 0.9
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"model", "history.jsonl", "train.parquet", "validation.parquet"}


def test_killed_at_any_moment_after_training_it_is_not_trained_again(tmp_path, arguments):
    finetune(tmp_path, **arguments)
    steps: list[int] = []
    arguments["progress"] = lambda done, total, note="": steps.append(done)
    finetune(tmp_path, **arguments)
    (tmp_path / "training.over" / "rest").mkdir(parents=True)  # killed while tidying up
    model = finetune(tmp_path, **arguments)
    assert steps == []
    assert not (tmp_path / "training.over").exists()
    shutil.rmtree(model)
    (tmp_path / "history.jsonl").unlink()
    assert finetune(tmp_path, **arguments).is_dir()
    assert steps
