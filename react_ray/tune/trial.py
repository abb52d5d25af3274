"""One trial: the stages of a search, for each of its seeds, and a score as they go."""

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
    """How a trial tells its score."""

    def __call__(
        self,
        score: float,
        rung: int,
        failure: str = "",
        checkpoint: Path | None = None,
        work: Path | None = None,
    ) -> None:
        """``score``, 0 to 1, after ``rung`` rungs; ``failure`` says why a trial is given up.

        ``checkpoint`` is what another trial may go on from, ``work`` the folder of what this one would.
        """


def rungs_of(config: Config) -> int:
    """How often a trial that is not stopped tells its score, per seed: the label GAN alone does it once."""
    return 1 if config.tune.stage == "lgan" else config.finetune.evaluations


def run_trial(settings: Mapping[str, Any], values: Values, report: Report, start: Path | None = None) -> None:
    """Do the work that is not in the cache yet; ``settings`` is a Config as a dict.

    The score is the mean over the seeds so far; in fine-tuning on D_aug, a seed's is that of its best
    round so far (which for a whole run stands for the model that will be chosen). What goes wrong
    is reported as a failure, with score 0. ``start`` is the checkpoint of another trial to go on
    from, with these values.
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

    def hear(metrics: Mapping[str, Any], checkpoint: Path) -> None:
        if stage_of(checkpoint) != "finetune" or "round" not in metrics:
            return
        rung = len(scores) * rungs_of(config) + min(metrics["round"], rungs_of(config) - 1)
        kept, work = (checkpoint, None) if population else (None, checkpoint.parent)
        report(float(np.mean([*scores, metrics["best"]])), rung, checkpoint=kept, work=work)

    own = with_settings(config, values)
    session, quiet = Session.of_trial(config.cluster, hear, start), Reporter(quiet=True)
    shared, names = cache_of(Path(config.output)), stages_of(own)
    if not population:
        return _score(own, session, advance(own, session, quiet, shared, names))
    # settings change on the way: what comes of it is not what these settings give, so none of it is kept
    with tempfile.TemporaryDirectory() as passing:
        done = advance(own, session, quiet, shared, names[:-1])
        return _score(own, session, advance(own, session, quiet, Store(Path(passing)), names[-1:], done))


def _score(config: Config, session: Session, done: dict[str, Path]) -> float:
    return score(Context(config, session, done, Path(config.output), _ignore))


def _ignore(done: int, total: int, note: str = "") -> None:
    """Progress within a trial is not shown."""
