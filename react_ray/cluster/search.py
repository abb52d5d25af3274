"""Hyperparameter search on Ray Tune: Optuna samples settings, the scheduler stops poor trials."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from react_ray.cluster.resources import Demand, shortage
from react_ray.cluster.session import Session, environment
from react_ray.config.settings import Range, TuneConfig
from react_ray.errors import ClusterError

__all__ = ["EvaluatedTrial", "TrialListener", "search"]

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal records the trials
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the search; the same command resumes it
    "RAY_AIR_NEW_OUTPUT": "0",  # prints even at verbosity 0
}
REDUCTION = 3
"""ASHA keeps the best third of the trials at each rung, as in Li et al. 2020 (arXiv:1810.05934)."""


@dataclass(frozen=True)
class EvaluatedTrial:
    """A trial of an earlier session, for the sampler; ``score`` is None if it failed."""

    values: Mapping[str, Any]
    score: float | None


class TrialListener(Protocol):
    """Receives the events of trials; it assigns their numbers."""

    def start(self, values: dict[str, Any]) -> int:
        """Register a trial that starts, and return its number."""

    def report_score(
        self, number: int, values: dict[str, Any], score: float, rung: int, failure: str
    ) -> None:
        """Record an intermediate score and the trial's current values, which a scheduler may change."""

    def end(self, number: int, failure: str | None, work: Path | None = None) -> None:
        """Record that a trial completed or was stopped; with ``failure``, that its process was lost.

        ``work`` is the folder that it has reported.
        """


def search(
    trial: Callable[[dict[str, Any], Callable[..., None], Path | None], None],
    space: Mapping[str, Range | Sequence[Any]],
    config: TuneConfig,
    *,
    rungs: int,
    folder: Path,
    session: Session,
    listener: TrialListener,
    first: Sequence[Mapping[str, Any]] = (),
    evaluated: Sequence[EvaluatedTrial] = (),
    seed: int = 0,
) -> None:
    """Run trials until there are ``config.trials``, including the ``evaluated`` ones.

    Parameters
    ----------
    trial
        ``trial(values, report, start)`` runs in a process of its own and calls ``report(score, rung, failure,
        checkpoint, work)`` up to ``rungs`` times; higher scores are better. With ``pbt``, ``start`` may be
        the checkpoint of a better trial.
    folder
        Folder for Ray's files, visible to all nodes; it may be deleted afterwards.
    first
        Values of the first trials.
    evaluated
        Trials of earlier sessions.

    Raises
    ------
    ClusterError
        No node has the resources of a trial.
    """
    remaining = config.trials - len(evaluated)
    if remaining <= 0:
        return
    resources = _resources(session)
    from ray import tune

    if not session.verbose:
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
    with environment(QUIET):
        tuner = tune.Tuner(
            tune.with_resources(partial(_on_worker, trial=trial), resources),
            param_space=_population(space) if config.scheduler == "pbt" else None,
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                search_alg=_sampler(space, config, first, evaluated, seed),
                scheduler=_scheduler(space, config, rungs, seed),
                num_samples=remaining,
                max_concurrent_trials=config.concurrent or None,
                time_budget_s=config.minutes * 60 if config.minutes else None,
                reuse_actors=True,  # importing torch takes seconds
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=session.cluster.max_failures),
                callbacks=[_callback(listener)],
            ),
        )
        tuner.fit()


def _on_worker(values: dict[str, Any], trial: Any) -> None:
    from ray import tune

    def report(
        score: float, rung: int, failure: str = "", checkpoint: Path | None = None, work: Path | None = None
    ) -> None:
        saved = None if checkpoint is None else tune.Checkpoint.from_directory(checkpoint)
        report = {"score": score, "rung": rung, "failure": failure, "work": work and str(work)}
        tune.report(report, checkpoint=saved)

    start_checkpoint = tune.get_checkpoint()
    with nullcontext() if start_checkpoint is None else start_checkpoint.as_directory() as folder:
        trial(values, report, None if folder is None else Path(folder))


def _resources(session: Session) -> dict[str, float]:
    """Return the resources of a trial. Raises ClusterError if no node has them."""
    trial = Demand(1, 0, session.cluster.cpus_per_worker, int(session.use_gpu()))
    if missing := shortage(session.nodes(), trial):
        raise ClusterError(missing)
    return {"CPU": trial.cpus, "GPU": trial.gpus}


def _sampler(
    space: Mapping[str, Range | Sequence[Any]],
    config: TuneConfig,
    first: Sequence[Mapping[str, Any]],
    evaluated: Sequence[EvaluatedTrial],
    seed: int,
) -> Any:
    import optuna
    from ray.tune.search.basic_variant import BasicVariantGenerator
    from ray.tune.search.optuna import OptunaSearch

    if config.scheduler == "pbt":  # supports no other sampler
        return BasicVariantGenerator(
            points_to_evaluate=[dict(values) for values in first], random_state=seed + len(evaluated)
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    # another seed than in earlier sessions, so that their values are not sampled again
    sampler = samplers[config.sampler](seed=seed + len(evaluated))
    optuna_search = OptunaSearch(
        {key: _distribution(values) for key, values in space.items()},
        metric="score",
        mode="max",
        sampler=sampler,
        points_to_evaluate=[dict(values) for values in first],
    )
    for trial in evaluated:
        optuna_search.add_evaluated_point(dict(trial.values), trial.score or 0.0, error=trial.score is None)
    return optuna_search


def _distribution(values: Range | Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(list(values))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(float(values.low), float(values.high), log=values.log)


def _scheduler(space: Mapping[str, Range | Sequence[Any]], config: TuneConfig, rungs: int, seed: int) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining

    if config.scheduler == "fifo" or rungs < 2:
        return FIFOScheduler()
    if config.scheduler == "asha":
        return ASHAScheduler(time_attr="rung", max_t=rungs, grace_period=1, reduction_factor=REDUCTION)
    random.seed(seed)  # PBT uses the global generator
    return PopulationBasedTraining(
        time_attr="rung",
        perturbation_interval=1,
        hyperparam_mutations={key: _sampling(values) for key, values in space.items()},
        custom_explore_fn=partial(_clip_to_space, space),
        log_config=False,
    )


def _population(space: Mapping[str, Range | Sequence[Any]]) -> dict[str, Any]:
    """Return the distributions of the first generation of a population."""
    from ray import tune

    samplings = {key: _sampling(values) for key, values in space.items()}
    return {
        key: tune.choice(sampling) if isinstance(sampling, list) else sampling
        for key, sampling in samplings.items()
    }


def _sampling(values: Range | Sequence[Any]) -> Any:
    """Return the values for population based training: a distribution, or a list of choices."""
    from ray import tune

    if not isinstance(values, Range):
        return list(values)
    return (tune.loguniform if values.log else tune.uniform)(float(values.low), float(values.high))


def _clip_to_space(space: Mapping[str, Range | Sequence[Any]], perturbed: dict[str, Any]) -> dict[str, Any]:
    """Clip ``perturbed`` values to their ranges, and round those of integer ranges."""
    clipped = dict(perturbed)
    for key, values in space.items():
        if isinstance(values, Range):
            is_integer = isinstance(values.low, int) and isinstance(values.high, int)
            value = min(max(perturbed[key], values.low), values.high)
            clipped[key] = round(value) if is_integer else float(value)
    return clipped


def _callback(listener: TrialListener) -> Any:
    from ray.tune import Callback

    class Forwarder(Callback):
        """Forwards the events of Ray Tune to the listener."""

        def __init__(self, listener: TrialListener) -> None:
            self._listener = listener
            self._numbers: dict[str, int] = {}
            self._work: dict[str, Path] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles callbacks to restore them; we resume from the journal instead

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            if trial.trial_id not in self._numbers:  # else it restarts after its process died
                self._numbers[trial.trial_id] = self._listener.start(dict(trial.config))

        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            number = self._numbers[trial.trial_id]
            score = result["score"], result["rung"], result["failure"]
            if result["work"]:
                self._work[trial.trial_id] = Path(result["work"])
            self._listener.report_score(number, dict(trial.config), *score)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._listener.end(self._numbers[trial.trial_id], None, self._work.get(trial.trial_id))

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._listener.end(self._numbers[trial.trial_id], str(trial.get_error() or "its process died"))

    return Forwarder(listener)
