"""One trial: the stages of a search, for each of its seeds, and a score as they go."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from react_ray.cluster.session import Session
from react_ray.config import Config
from react_ray.config_file import with_settings
from react_ray.console import Reporter, quiet_libraries
from react_ray.errors import ReactRayError
from react_ray.pipeline import advance, cache_of
from react_ray.stages import Context
from react_ray.tune.objective import score, stages_of
from react_ray.tune.space import Values

__all__ = ["Report", "run_trial", "rungs_of"]


class Report(Protocol):
    """How a trial tells its score."""

    def __call__(self, score: float, rung: int, failure: str = "") -> None:
        """``score``, 0 to 1, after ``rung`` rungs; ``failure`` says why a trial is given up."""


def rungs_of(config: Config) -> int:
    """How often a trial that is not stopped tells its score, per seed."""
    return config.finetune.evaluations if config.tune.stage == "finetune" else 1


def run_trial(settings: Mapping[str, Any], values: Values, report: Report) -> None:
    """Do the work that is not in the cache yet; ``settings`` is a Config as a dict.

    The score is the mean over the seeds so far; in fine-tuning, a seed's is that of its best
    round so far. What goes wrong is reported as a failure, with score 0.
    """
    quiet_libraries()
    config = Config.model_validate(settings)
    scores: list[float] = []
    try:
        for seed in range(config.seed, config.seed + config.tune.repeats):
            scores.append(_score_seed(config, {**values, "seed": seed}, scores, report))
            report(float(np.mean(scores)), len(scores) * rungs_of(config))
    except ReactRayError as error:
        report(0.0, config.tune.repeats * rungs_of(config), str(error))
    except Exception as error:
        logging.getLogger(__name__).exception("the trial failed")
        told = traceback.format_exception_only(error)[-1].strip()
        report(0.0, config.tune.repeats * rungs_of(config), told)


def _score_seed(config: Config, values: Values, scores: list[float], report: Report) -> float:
    rounds: list[float] = []

    def hear(metrics: Mapping[str, Any]) -> None:
        if config.tune.stage == "finetune" and metrics.get("score") is not None:
            rounds.append(metrics["score"])
            within = min(len(rounds), rungs_of(config) - 1)
            report(float(np.mean([*scores, max(rounds)])), len(scores) * rungs_of(config) + within)

    own = with_settings(config, values)
    session = Session.of_trial(config.cluster, hear)
    done = advance(own, session, Reporter(quiet=True), cache_of(Path(config.output)), stages_of(own))
    return score(Context(own, session, done, Path(config.output), _ignore))


def _ignore(done: int, total: int, note: str = "") -> None:
    """Progress within a trial is not shown."""
