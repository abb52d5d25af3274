"""A trial: runs the stages of a search for each seed, and reports intermediate scores."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from react_ray.cluster.session import Session
from react_ray.config.file import with_settings
from react_ray.config.masking import mask
from react_ray.config.settings import Config
from react_ray.console.reporter import Reporter, quiet_libraries
from react_ray.errors import ReactRayError
from react_ray.pipeline.context import Context
from react_ray.pipeline.run import advance, cache_of
from react_ray.pipeline.store import Store, stage_of
from react_ray.tune.objective import score, stages_of
from react_ray.tune.space import Values

__all__ = ["Report", "run_trial", "rungs_of"]


class Report(Protocol):
    """Callback with which a trial reports its score."""

    def __call__(
        self,
        score: float,
        rung: int,
        failure: str = "",
        checkpoint: Path | None = None,
        work: Path | None = None,
    ) -> None:
        """Report ``score`` (0 to 1) after ``rung`` rungs; ``failure`` is the reason why a trial failed.

        Another trial may start from ``checkpoint``; ``work`` is the folder of this trial's own checkpoints.
        """


def rungs_of(config: Config) -> int:
    """Return how often a trial reports its score per seed: once for the label GAN alone."""
    return 1 if config.tune.stage == "lgan" else config.finetune.evaluations


def run_trial(settings: Mapping[str, Any], values: Values, report: Report, start: Path | None = None) -> None:
    """Run the stages of a trial that are not cached; ``settings`` is a Config as a dictionary.

    The score is the mean over the seeds so far. During fine-tuning on D_aug, the score of a seed is that of
    its best evaluation so far, which approximates the score of the chosen model of a run. Errors are reported
    as failures with score 0. ``start`` is the checkpoint of another trial to start from.
    """
    quiet_libraries()
    config = Config.model_validate(settings)
    scores: list[float] = []
    try:
        for seed in range(config.seed, config.seed + config.tune.repeats):
            scores.append(_score_seed(config, {**values, "seed": seed}, scores, report, start))
            report(float(np.mean(scores)), len(scores) * rungs_of(config))
    except ReactRayError as error:
        report(0.0, config.tune.repeats * rungs_of(config), str(error))
    except Exception as error:
        logging.getLogger(__name__).exception("the trial failed")
        message = traceback.format_exception_only(error)[-1].strip()
        report(0.0, config.tune.repeats * rungs_of(config), mask(message))


def _score_seed(
    config: Config, values: Values, scores: list[float], report: Report, start: Path | None
) -> float:
    population = config.tune.scheduler == "pbt"

    def on_report(metrics: Mapping[str, Any], checkpoint: Path) -> None:
        if stage_of(checkpoint) != "finetune" or "round" not in metrics:
            return
        rung = len(scores) * rungs_of(config) + min(metrics["round"], rungs_of(config) - 1)
        resumable, work = (checkpoint, None) if population else (None, checkpoint.parent)
        report(float(np.mean([*scores, metrics["best"]])), rung, checkpoint=resumable, work=work)

    trial_config = with_settings(config, values)
    session, quiet = Session.of_trial(config.cluster, on_report, start), Reporter(quiet=True)
    shared, names = cache_of(Path(config.output)), stages_of(trial_config)
    if not population:
        return _score(trial_config, session, advance(trial_config, session, quiet, shared, names))
    # the settings change during training, so the result must not be cached for these settings
    with tempfile.TemporaryDirectory() as folder:
        stages = advance(trial_config, session, quiet, shared, names[:-1])
        stages = advance(trial_config, session, quiet, Store(Path(folder)), names[-1:], stages)
        return _score(trial_config, session, stages)


def _score(config: Config, session: Session, stages: dict[str, Path]) -> float:
    return score(Context(config, session, stages, Path(config.output), _ignore))


def _ignore(done: int, total: int, note: str = "") -> None:
    """Progress callback of a trial, which shows nothing."""
