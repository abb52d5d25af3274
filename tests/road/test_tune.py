"""A search over the stages of a run: what it leaves, what it goes on with, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from topics import WORDS, make_texts

from react_ray.config.file import load_config
from react_ray.config.settings import Config
from react_ray.errors import InputError
from react_ray.pipeline.run import run
from react_ray.tune.search import tune


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("validation") / "validation.csv"
    rows = [(text, label) for label in WORDS for text in make_texts(label, 12, seed=7)]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    return path


def config(output: Path, files: dict[str, Path], model: Path, validation: Path, **more: Any) -> Config:
    given = {
        "data.labeled": str(files["labeled"]),
        "data.unlabeled": str(files["unlabeled"]),
        "data.test": str(files["test"]),
        "data.validation": str(validation),
        "model": str(model),
        "output": str(output),
        "lgan.steps": 20,
        "finetune.token_budget": 2000,
        "cluster.use_gpu": False,
        **more,
    }
    return load_config(flags=given)


def cached(output: Path, stage: str) -> list[Path]:
    return [folder for folder in (output / "cache").glob(f"{stage}-*") if not folder.name.endswith(".part")]


@pytest.mark.usefixtures("ray_cluster")
def test_the_best_settings_are_found_and_a_run_takes_them_over(tmp_path, files, word_model, validation):
    space = {"finetune.lr": [1e-6, 3e-3], "finetune.batch_size": [8, 16]}
    asked = {"tune.space": space, "tune.trials": 4, "finetune.lr": 1e-6}
    found = tune(config(tmp_path, files, word_model, validation, **asked), quiet=True)
    as_given = {"finetune.lr": 1e-6, "finetune.batch_size": 16}
    assert as_given in [trial.values for trial in found.trials]
    assert found.default_score is not None
    assert found.best.values["finetune.lr"] == 3e-3
    kept = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert kept["finetune"]["lr"] == 3e-3
    assert [len(cached(tmp_path, stage)) for stage in ("encode", "lgan")] == [1, 1]
    assert "0.003" in (tmp_path / "search.html").read_text()

    more = tune(config(tmp_path, files, word_model, validation, **asked | {"tune.trials": 5}), quiet=True)
    assert more.trials[:4] == found.trials  # nothing is tried again
    assert len(more.trials) == 5

    model = [*cached(tmp_path, "finetune")]
    result = run(load_config(tmp_path / "best.yaml"), quiet=True)
    assert cached(tmp_path, "finetune") == model
    assert {"finetune", "generate", "encode"} <= {*result.metrics["reused"]}


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("stage", "key"), [("lgan", "augment.copies"), ("run", "finetune.lr")])
def test_every_stage_can_be_searched(tmp_path, files, word_model, validation, stage, key):
    values = {"augment.copies": [0, 1], "finetune.lr": [1e-3, 2e-3]}[key]
    seeds = 2 if stage == "lgan" else 1
    asked = {"tune.stage": stage, "tune.space": {key: values}, "tune.trials": 2, "tune.repeats": seeds}
    asked |= {"tune.scheduler": "fifo", "finetune.evaluations": 3, "finetune.patience": 9}
    found = tune(config(tmp_path, files, word_model, validation, **asked), quiet=True)
    assert [trial.status for trial in found.trials] == ["complete", "complete"]
    told = [len(trial.rungs) for trial in found.trials]
    assert told == [seeds, seeds] if stage == "lgan" else min(told) > 1  # a score a seed, or a round
    assert len(cached(tmp_path, stage if stage == "lgan" else "choose")) == 2 * seeds


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("stage", ["finetune", "run"])
def test_trials_that_lag_are_stopped_and_leave_no_weights(tmp_path, files, word_model, validation, stage):
    asked = {
        "tune.stage": stage, "tune.trials": 5, "tune.concurrent": 1, "finetune.lr": 3e-3,
        "finetune.evaluations": 4, "finetune.patience": 9, "finetune.head_start": False,
        "tune.space": {"finetune.lr": [3e-3, 1e-7, 2e-7]}, "finetune.token_budget": 20_000,
    }  # fmt: skip
    found = tune(config(tmp_path, files, word_model, validation, **asked), quiet=True)
    stopped = [trial for trial in found.trials if trial.status == "stopped"]
    assert stopped, found.trials
    assert found.best.values == {"finetune.lr": 3e-3}
    left = [path for path in tmp_path.glob("cache/finetune-*.part/**/*") if path.suffix == ".safetensors"]
    assert left == []


@pytest.mark.usefixtures("ray_cluster")
def test_a_population_is_trained_and_leaves_no_model_of_mixed_settings(
    tmp_path, files, word_model, validation
):
    asked = {
        "tune.scheduler": "pbt", "tune.trials": 4, "finetune.evaluations": 3, "finetune.patience": 9,
        "tune.space": {"finetune.lr": {"low": 1e-6, "high": 1e-2, "log": True}},
    }  # fmt: skip
    found = tune(config(tmp_path, files, word_model, validation, **asked), quiet=True)
    assert [trial.status for trial in found.trials] == ["complete"] * 4
    assert [rung for rung, _ in found.best.rungs] == sorted(rung for rung, _ in found.best.rungs)
    assert not cached(tmp_path, "finetune")
    assert 1e-6 <= found.config.finetune.lr <= 1e-2


def test_a_search_without_validation_rows_is_refused_before_it_costs_anything(tmp_path, files, word_model):
    few = files["labeled"]
    with pytest.raises(InputError, match="--validation"):
        tune(config(tmp_path, files, word_model, few), quiet=True)
    assert not cached(tmp_path, "encode")


def test_a_killed_search_goes_on_with_the_trial_it_was_at(tmp_path, files, word_model, validation):
    asked = config(
        tmp_path, files, word_model, validation,
        **{"tune.trials": 3, "tune.concurrent": 1, "finetune.token_budget": 20_000,
           "tune.space": {"finetune.lr": [1e-3, 2e-3, 3e-3]}},
    )  # fmt: skip
    asked.save(tmp_path / "search.yaml")
    command = [sys.executable, "-m", "react_ray.cli", "tune", str(tmp_path / "search.yaml"), "--search-only"]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while (
        not (journals := [*tmp_path.glob("search/*/trials.jsonl")])
        or "complete" not in journals[0].read_text()
    ):
        assert killed.poll() is None
        time.sleep(0.2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = [json.loads(line) for line in journals[0].read_text().splitlines()]
    done = [line for line in before if line["status"] == "complete"]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    after = [json.loads(line) for line in journals[0].read_text().splitlines()]
    assert after[: len(before)] == before
    ends = [line["number"] for line in after if line["status"] != "running"]
    assert sorted(ends) == [0, 1, 2]
    assert f"{len(done)} of them already done" in again.stderr
