"""Objective of a search: the score on validation rows. Test rows are never used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from react_ray import lgan
from react_ray.answer import load_answers
from react_ray.config.settings import Config
from react_ray.errors import ConfigError, InputError
from react_ray.pipeline.arms import choice_of
from react_ray.pipeline.context import Context
from react_ray.pipeline.graph import prerequisites
from react_ray.pipeline.graph import stages_of as stages_of_run
from react_ray.tasks import Task
from react_ray.tasks.closed import ranked

__all__ = ["MIN_ROWS", "check_validation", "score", "stages_of"]

MIN_ROWS = 30
"""Minimum validation rows of a search: with fewer, the best trial is decided by chance."""
LAST = {"lgan": "lgan", "finetune": "finetune", "run": "choose"}
"""Setting tune.stage -> last stage of a trial."""


def stages_of(config: Config) -> list[str]:
    """Return the stages of a trial, in order. Raises ConfigError if the run has no such stage."""
    stages = stages_of_run(config)
    last = LAST[config.tune.stage]
    if last not in [stage.name for stage in stages]:
        raise ConfigError(
            f"tune.stage = {config.tune.stage!r}: a run of {config.task} has no such stage; "
            "expected finetune or run"
        )
    return prerequisites(stages, last)


def check_validation(task: Task, prepared: Path) -> None:
    """Raise InputError if there are too few validation rows to compare settings."""
    name = task.target.name
    rows = pq.read_table(prepared / "rows.parquet", columns=[name], filters=[("part", "=", "validation")])
    evidence = task.evidence(rows[name].to_pylist())
    if evidence < MIN_ROWS:
        few = f" that hold {evidence} entities" if evidence < len(rows) else ""
        raise InputError(
            f"a search compares settings on validation rows: there are {len(rows)}{few}, at least {MIN_ROWS} "
            "are needed; give labelled rows with --validation FILE (they are never trained on)"
        )


def score(context: Context) -> float:
    """Return the validation score of ``context.stages``, by the metric that chooses checkpoints.

    It is the score of G_y for lgan, of the best checkpoint for finetune, and of the chosen arm for run.
    """
    metric = context.config.finetune.metric or context.task.training_metric
    if context.config.tune.stage == "finetune":
        return _best_round(context.stages["finetune"], metric)
    rows, labels = context.rows("validation"), context.labels().names
    if context.config.tune.stage == "run":
        chosen = choice_of(context.stages)["chosen"]
        answers = load_answers(context.stages["choose"] / "validation" / f"{chosen}.jsonl")
    else:
        inputs = lgan.LganInputs.load(context.stages["pretrain"] / "inputs")
        networks_folder = context.stages["lgan"] / "players"
        generator = lgan.TrainedLabelGenerator(inputs.names, networks_folder, context.config.seed)
        answers = ranked(generator.predict_proba(context.features().of("validation")), labels)
    return context.task.measure(answers, rows, labels)[metric]


def _best_round(folder: Path, metric: str) -> float:
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    rounds: list[Mapping[str, float]] = [json.loads(line) for line in lines]
    return max(entry[metric] for entry in rounds if metric in entry)
