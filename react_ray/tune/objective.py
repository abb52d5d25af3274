"""What a trial is worth: its score on the validation rows. No test row is read."""

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
"""Validation rows that a search needs: with fewer it would pick what chance likes."""
LAST = {"lgan": "lgan", "finetune": "finetune", "run": "choose"}
"""The stage that a trial ends with."""


def stages_of(config: Config) -> list[str]:
    """The stages that a trial goes through, in order."""
    stages = stages_of_run(config)
    last = LAST[config.tune.stage]
    if last not in [stage.name for stage in stages]:
        raise ConfigError(
            f"tune.stage = {config.tune.stage!r}: a run of {config.task} has no such stage; "
            "give finetune or run"
        )
    return prerequisites(stages, last)


def check_validation(task: Task, prepared: Path) -> None:
    """Raise InputError where there are too few validation rows to compare settings on."""
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
    """The metric that picks checkpoints on the validation rows, from the stages in ``context.done``.

    lgan: of G_y; finetune: of the checkpoint that is kept; run: of the arm that is chosen.
    """
    metric = context.config.finetune.metric or context.task.training_metric
    if context.config.tune.stage == "finetune":
        return _best_round(context.done["finetune"], metric)
    rows, labels = context.rows("validation"), context.labels().names
    if context.config.tune.stage == "run":
        chosen = choice_of(context.done)["chosen"]
        answers = load_answers(context.done["choose"] / "validation" / f"{chosen}.jsonl")
    else:
        inputs = lgan.LganInputs.load(context.done["pretrain"] / "inputs")
        players = context.done["lgan"] / "players"
        generator = lgan.Labeler(inputs.names, players, context.config.seed)
        answers = ranked(generator.predict_proba(context.features().of("validation")), labels)
    return context.task.measure(answers, rows, labels)[metric]


def _best_round(folder: Path, metric: str) -> float:
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    rounds: list[Mapping[str, float]] = [json.loads(line) for line in lines]
    return max(entry[metric] for entry in rounds if metric in entry)
