"""Hyperparameter search: from a configuration to the best one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from react_ray.cluster.search import EvaluatedTrial
from react_ray.cluster.search import search as search_on_ray
from react_ray.cluster.session import Session, check_job_output
from react_ray.config.file import with_settings
from react_ray.config.masking import masked
from react_ray.config.settings import Config, Range
from react_ray.console.reporter import Reporter, log_to, quiet_libraries
from react_ray.console.terminal import command
from react_ray.errors import TrainingError
from react_ray.evaluate.search_page import write_search_page
from react_ray.folders import make_private_folder, remove_folder, replace_file
from react_ray.pipeline.graph import prerequisites
from react_ray.pipeline.graph import stages_of as stages_of_run
from react_ray.pipeline.run import advance, cache_of, check_ready, check_task, located, with_task
from react_ray.pipeline.store import digest
from react_ray.tasks import get_task
from react_ray.tune.board import Board
from react_ray.tune.journal import Journal, Trial
from react_ray.tune.objective import check_validation, stages_of
from react_ray.tune.space import Space, Values, corners, find_space, holds, values_of
from react_ray.tune.trial import run_trial, rungs_of

__all__ = ["Search", "stages_before", "tune"]

BUDGET_KEYS = {"trials", "minutes", "concurrent", "sampler", "scheduler"}
"""Settings that may change when a search is resumed."""


@dataclass(frozen=True)
class Search:
    """Result of a search: all trials, the best one, and the configuration with its settings.

    ``default_score`` is the score of the original settings; None if they were not tried.
    """

    trials: list[Trial]
    best: Trial
    default_score: float | None
    config: Config
    folder: Path

    def summary(self) -> str:
        """Summarize the result and its files in a few lines."""
        folder, tried = Path(self.config.output), len(self.trials)
        default = self.default_score
        default_text = "" if default is None else f", {default:.3f} with the original settings"
        ends = [trial.status for trial in self.trials]
        lines = [
            f"best of {tried} trials ({ends.count('stopped')} stopped early, {ends.count('failed')} failed): "
            f"{self.best.score:.3f} on validation rows{default_text}",
            *(f"  {key} = {value}" for key, value in self.best.values.items()),
            f"configuration: {folder / 'best.yaml'}   ({command('run', folder / 'best.yaml')})",
            f"page:          {folder / 'search.html'}",
            f"trials:        {self.folder / 'trials.jsonl'}",
        ]
        return "\n".join(lines)


def tune(config: Config, *, verbose: bool = False, quiet: bool = False) -> Search:
    """Search ``config.tune.space`` for the settings with the best validation score.

    Stages that do not depend on the space are run once, before the trials. The same command resumes a
    search, also with a larger budget. Writes best.yaml and search.html into ``config.output``.

    Raises ConfigError (the space), InputError (too few validation rows), ClusterError, and TrainingError (no
    trial completed).
    """
    config = with_task(config)
    check_task(config)
    stages_of(config)  # raises ConfigError where the run has no such stage
    space = find_space(config)
    quiet_libraries(verbose)
    check_job_output(config.output)
    config, reporter = located(config), Reporter(quiet)
    store = cache_of(Path(config.output))
    with (
        store.locked(),
        log_to(store.root / "run.log", reporter),
        Session(config.cluster, verbose) as session,
    ):
        check_ready(config, session, reporter)
        reporter.say(f"search in {config.output} (cached stages in {store.root})")
        prepared = advance(config, session, reporter, store, ["prepare"])["prepare"]
        check_validation(get_task(config.task), prepared)
        advance(config, session, reporter, store, stages_before(config, space))
        folder = _folder(config, space)
        journal = Journal(folder / "trials.jsonl")
        reporter.say(f"  {config.tune.trials} trials, {len(journal.finished())} of them already done")
        _run_trials(config, space, session, reporter, journal)
    result = _result(config, values_of(config, space), journal, folder)
    _publish(result, space)
    return result


def stages_before(config: Config, space: Space) -> list[str]:
    """Return the first stages of a trial, which no setting in ``space`` changes; they are run once.

    Texts are always encoded before the trials, because every trial reuses the cached features.
    """
    variants = [
        with_settings(config, {key: value}) for key, values in space.items() for value in corners(values)
    ]
    names = stages_of(config)
    stages = stages_of_run(config)
    start = "encode" if any(stage.name == "encode" for stage in stages) else "augment"
    before = prerequisites(stages, start)
    for stage in (stage for stage in stages if stage.name in names):
        settings = stage.settings(config)
        if any(stage.settings(variant) != settings for variant in variants):
            break
        if stage.name not in before:
            before.append(stage.name)
    return before


def _folder(config: Config, space: Space) -> Path:
    """Create the folder of this search; different searches of a run have different folders."""
    content = config.model_dump(exclude={"output": True, "cluster": True, "tune": BUDGET_KEYS}, mode="json")
    settings = masked(content)  # the signature of an address changes, but not its content
    first = stages_of_run(config)[0].settings(config)
    key = digest({"config": settings, "space": _serializable(space), "data": first})
    folder = Path(config.output) / "search" / key
    make_private_folder(folder)
    return folder


def _run_trials(config: Config, space: Space, session: Session, reporter: Reporter, journal: Journal) -> None:
    interrupted = [trial.values for trial in journal.unfinished()]
    evaluated = [EvaluatedTrial(trial.values, trial.score) for trial in journal.finished()]
    defaults = values_of(config, space)
    is_tried = bool(evaluated) or defaults in interrupted
    first = [defaults, *interrupted] if holds(space, defaults) and not is_tried else interrupted
    rungs = config.tune.repeats * rungs_of(config)
    ray_folder = journal.path.parent / "ray"
    try:
        with Board(journal, config.tune, rungs, reporter) as board:
            search_on_ray(
                partial(run_trial, config.model_dump(mode="json")),
                space,
                config.tune,
                rungs=rungs,
                folder=ray_folder,
                session=session,
                listener=board,
                first=first,
                evaluated=evaluated,
                seed=config.seed,
            )
    finally:
        remove_folder(ray_folder)


def _result(config: Config, defaults: Values, journal: Journal, folder: Path) -> Search:
    best = journal.best()
    if best is None:
        failures = [f"trial {trial.number}: {trial.failure}" for trial in journal.finished() if trial.failure]
        timeout = "the time limit was reached before the first trial ended: increase tune.minutes"
        reasons = "\n".join(failures[:3]) or timeout
        raise TrainingError(f"no trial completed\n{reasons}\nall trials: {folder / 'trials.jsonl'}")
    trials = journal.finished()
    default_score = next((t.score for t in trials if t.values == defaults and t.status == "complete"), None)
    return Search(trials, best, default_score, with_settings(config, best.values), folder)


def _publish(result: Search, space: Space) -> None:
    output, config = Path(result.config.output), result.config
    replace_file(output / "best.yaml", config.save)
    write_search_page(
        output / "search.html",
        {
            "title": output.name,
            "about": f"{len(result.trials)} trials of the stage {config.tune.stage}; the best is trial "
            f"{result.best.number} with {result.best.score:.3f}. Its settings are in best.yaml.",
            "metric": config.finetune.metric or get_task(config.task).training_metric,
            "repeats": config.tune.repeats,
            "trials": [asdict(trial) for trial in result.trials],
            "space": _serializable(space),
        },
    )


def _serializable(space: Space) -> dict[str, Any]:
    return {k: v.model_dump() if isinstance(v, Range) else list(v) for k, v in space.items()}
