"""Trials of a search for tasks of the labeler candidates, in this process, and metrics that a task lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_rows import WORDS, make_rows, write_files, write_lines

from react_ray.config.file import load_config
from react_ray.config.settings import Config
from react_ray.errors import ConfigError, InputError
from react_ray.pipeline.run import run
from react_ray.tasks import get_task, task_names
from react_ray.tune.search import stages_before, tune
from react_ray.tune.space import find_space
from react_ray.tune.trial import run_trial


@pytest.fixture(scope="module")
def model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("task-words"), WORDS)


def settings(task: str, model: Path, folder: Path, **more: Any) -> Config:
    files = write_files(folder, task)
    files["validation"] = write_lines(folder / "validation.jsonl", make_rows(task, 96)[60:])
    named = {f"data.{name}": str(path) for name, path in files.items()}
    quick = {"finetune.token_budget": 4000, "finetune.evaluations": 2, "onnx": False}
    here = {"cluster.use_gpu": False, "cluster.workers": 0, "data.columns.truth": "truth"}
    output = {"task": task, "model": str(model), "output": str(folder / "out")}
    return load_config(flags={**output, **named, **quick, **here, **more})


@pytest.mark.parametrize("stage", ["finetune", "run"])
@pytest.mark.parametrize("task", ["token-classification", "multi-label-classification"])
def test_a_trial_is_worth_the_metric_that_compares_checkpoints(task, stage, model, tmp_path):
    config = settings(task, model, tmp_path, **{"tune.stage": stage})
    told: list[tuple[float, int, str]] = []

    def report(score: float, rung: int, failure: str = "", **_: Any) -> None:
        told.append((score, rung, failure))

    run_trial(config.model_dump(mode="json"), {"finetune.lr": 3e-3}, report)
    assert [(rung, failure) for _, rung, failure in told] == [(1, ""), (2, "")]
    metric = get_task(task).training_metric
    (finetune,) = (tmp_path / "out" / "cache").glob("finetune-*")
    rounds = [json.loads(line) for line in (finetune / "history.jsonl").read_text().splitlines()]
    best = max(line[metric] for line in rounds if metric in line)
    assert 0 < told[-1][0] <= 1
    if stage == "finetune":
        assert told[-1][0] == best
    else:
        (choose,) = (tmp_path / "out" / "cache").glob("choose-*")
        assert json.loads((choose / "choice.json").read_text())["chosen"] in (
            "generated_labels",
            "labels_only",
        )


def test_what_no_setting_touches_is_done_before_the_trials(model, tmp_path):
    config = settings("token-classification", model, tmp_path)
    assert stages_before(config, {"finetune.lr": [1e-3, 2e-3]}) == ["prepare", "augment"]


@pytest.mark.parametrize("task", task_names())
def test_a_metric_that_the_task_lacks_is_refused_at_the_start(task, model, tmp_path):
    config = load_config(
        flags={
            "task": task,
            "data.labeled": "missing.csv",
            "output": str(tmp_path),
            "finetune.metric": "perplexity",
        }
    )
    for start in (run, tune):
        with pytest.raises(ConfigError, match=r"finetune\.metric = 'perplexity'") as told:
            start(config, quiet=True)
        assert all(name in str(told.value) for name in get_task(task).metrics)
    assert not list(tmp_path.iterdir())


def test_a_search_asks_for_what_the_labeler_has(tmp_path):
    flags = {"task": "token-classification", "data.labeled": "missing.csv", "output": str(tmp_path)}
    space = find_space(load_config(flags={**flags, "tune.stage": "run"}))
    assert "finetune.lr" in space
    assert not [key for key in space if key.startswith("lgan.")]
    with pytest.raises(ConfigError, match="expected finetune or run"):
        tune(load_config(flags={**flags, "tune.stage": "lgan"}), quiet=True)


def test_the_metric_itself_is_not_searched(tmp_path):
    space = {"finetune.metric": ["macro_f1", "accuracy"]}
    flags = {"data.labeled": "missing.csv", "output": str(tmp_path), "tune.space": space}
    with pytest.raises(ConfigError, match="trials are compared by it"):
        tune(load_config(flags=flags), quiet=True)


def test_a_column_with_a_second_text_means_pairs_in_a_search_too(tmp_path):
    flags = {"data.labeled": "missing.csv", "output": str(tmp_path), "data.columns.text_pair": "second"}
    with pytest.raises(InputError, match=r"missing\.csv"):  # the columns are accepted, the file is missing
        tune(load_config(flags=flags), quiet=True)
