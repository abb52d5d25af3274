"""Hyperparameter search on Ray Tune: Optuna proposes, the scheduler stops trials that lag."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from react_ray.cluster.resources import Demand, lacking
from react_ray.cluster.session import Session, environment
from react_ray.config.settings import Range, TuneConfig
from react_ray.errors import ClusterError

__all__ = ["Evaluated", "Listener", "search"]

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials are kept in our own journal
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the search; the same command goes on with it
    "RAY_AIR_NEW_OUTPUT": "0",  # it prints at verbosity 0 too
}
REDUCTION = 3
"""ASHA keeps the best third of the trials at each rung, as in Li et al. 2020 (arXiv:1810.05934)."""


@dataclass(frozen=True)
class Evaluated:
    """A trial of an earlier session, for the sampler. ``score`` None: it has none."""

    values: Mapping[str, Any]
    score: float | None


class Listener(Protocol):
    """Hears of trials as they go; numbers are the listener's own."""

    def start(self, values: dict[str, Any]) -> int:
        """A trial begins; its number."""

    def hear(self, number: int, values: dict[str, Any], score: float, rung: int, failure: str) -> None:
        """A score on the way, and the values it was reached with, which a scheduler may change."""

    def end(self, number: int, failure: str | None, work: Path | None = None) -> None:
        """A trial ended by itself, was stopped, or (with ``failure``) was lost with its process.

        ``work`` is the folder that it said it works in.
        """


def search(
    trial: Callable[[dict[str, Any], Callable[..., None], Path | None], None],
    space: Mapping[str, Range | Sequence[Any]],
    config: TuneConfig,
    *,
    rungs: int,
    folder: Path,
    session: Session,
    listener: Listener,
    first: Sequence[Mapping[str, Any]] = (),
    known: Sequence[Evaluated] = (),
    seed: int = 0,
) -> None:
    """Run the remaining of ``config.trials`` after the ``known`` ones, ``first`` first.

    ``trial(values, report, start)`` runs in a process of its own and calls ``report(score, rung,
    failure, checkpoint, work)`` up to ``rungs``; higher scores are better. With ``pbt`` it may be started
    again from the checkpoint folder of a better trial, with other values. ``folder`` must be seen by
    all nodes; what Ray keeps there may be deleted afterwards. Raises ClusterError where a trial asks
    for more than there is.
    """
    left = config.trials - len(known)
    if left <= 0:
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
                search_alg=_sampler(space, config, first, known, seed),
                scheduler=_scheduler(space, config, rungs, seed),
                num_samples=left,
                max_concurrent_trials=config.concurrent or None,
                time_budget_s=config.minutes * 60 if config.minutes else None,
                reuse_actors=True,  # else each trial waits for the imports of torch
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
        kept = None if checkpoint is None else tune.Checkpoint.from_directory(checkpoint)
        report = {"score": score, "rung": rung, "failure": failure, "work": work and str(work)}
        tune.report(report, checkpoint=kept)

    start = tune.get_checkpoint()
    with nullcontext() if start is None else start.as_directory() as folder:
        trial(values, report, None if folder is None else Path(folder))


def _resources(session: Session) -> dict[str, float]:
    """Return the resources of a trial; ClusterError where no node has them."""
    trial = Demand(1, 0, session.cluster.cpus_per_worker, int(session.use_gpu()))
    if missing := lacking(session.nodes(), trial):
        raise ClusterError(missing)
    return {"CPU": trial.cpus, "GPU": trial.gpus}


def _sampler(
    space: Mapping[str, Range | Sequence[Any]],
    config: TuneConfig,
    first: Sequence[Mapping[str, Any]],
    known: Sequence[Evaluated],
    seed: int,
) -> Any:
    import optuna
    from ray.tune.search.basic_variant import BasicVariantGenerator
    from ray.tune.search.optuna import OptunaSearch

    if config.scheduler == "pbt":  # which takes no other
        return BasicVariantGenerator(
            points_to_evaluate=[dict(values) for values in first], random_state=seed + len(known)
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    # with as many trials known the seed moves on: the same draws would only repeat those
    sampler = samplers[config.sampler](seed=seed + len(known))
    found = OptunaSearch(
        {key: _distribution(values) for key, values in space.items()},
        metric="score",
        mode="max",
        sampler=sampler,
        points_to_evaluate=[dict(values) for values in first],
    )
    for trial in known:
        found.add_evaluated_point(dict(trial.values), trial.score or 0.0, error=trial.score is None)
    return found


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
    random.seed(seed)  # it draws from the global generator
    return PopulationBasedTraining(
        time_attr="rung",
        perturbation_interval=1,
        hyperparam_mutations={key: _draws(values) for key, values in space.items()},
        custom_explore_fn=partial(_within, space),
        log_config=False,
    )


def _population(space: Mapping[str, Range | Sequence[Any]]) -> dict[str, Any]:
    """What the first members of a population are drawn from."""
    from ray import tune

    drawn = {key: _draws(values) for key, values in space.items()}
    return {key: tune.choice(found) if isinstance(found, list) else found for key, found in drawn.items()}


def _draws(values: Range | Sequence[Any]) -> Any:
    """Values for population based training: a function to sample from, or a list to step through."""
    from ray import tune

    if not isinstance(values, Range):
        return list(values)
    return (tune.loguniform if values.log else tune.uniform)(float(values.low), float(values.high))


def _within(space: Mapping[str, Range | Sequence[Any]], moved: dict[str, Any]) -> dict[str, Any]:
    """Values that a step carried out of their range, back at its end; whole numbers are whole."""
    found = dict(moved)
    for key, values in space.items():
        if isinstance(values, Range):
            whole = isinstance(values.low, int) and isinstance(values.high, int)
            value = min(max(moved[key], values.low), values.high)
            found[key] = round(value) if whole else float(value)
    return found


def _callback(listener: Listener) -> Any:
    from ray.tune import Callback

    class Hand(Callback):
        """Hands Tune's events on."""

        def __init__(self, listener: Listener) -> None:
            self._listener = listener
            self._numbers: dict[str, int] = {}
            self._work: dict[str, Path] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune keeps its callbacks for restoring; ours goes on from the listener's journal

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            if trial.trial_id not in self._numbers:  # not when it starts again after its process died
                self._numbers[trial.trial_id] = self._listener.start(dict(trial.config))

        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            number = self._numbers[trial.trial_id]
            scored = result["score"], result["rung"], result["failure"]
            if result["work"]:
                self._work[trial.trial_id] = Path(result["work"])
            self._listener.hear(number, dict(trial.config), *scored)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._listener.end(self._numbers[trial.trial_id], None, self._work.get(trial.trial_id))

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self._listener.end(self._numbers[trial.trial_id], str(trial.get_error() or "its process died"))

    return Hand(listener)
