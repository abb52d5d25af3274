"""The search for hyperparameters, from a configuration to the best one found."""

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
from react_ray.pipeline.run import advance, cache_of, check_ready, check_task, located
from react_ray.pipeline.store import digest
from react_ray.tasks import get_task
from react_ray.tune.board import Board
from react_ray.tune.journal import Journal, Trial
from react_ray.tune.objective import check_validation, stages_of
from react_ray.tune.space import Space, Values, corners, find_space, holds, values_of
from react_ray.tune.trial import run_trial, rungs_of

__all__ = ["Search", "stages_before", "tune"]

BUDGET = {"trials", "minutes", "concurrent", "sampler", "scheduler"}
"""What may differ between two commands that go on with one search."""


@dataclass(frozen=True)
class Search:
    """A search: all its trials, the best one, and the configuration with its settings.

    ``given`` is the score of the settings as they were, where these were tried.
    """

    trials: list[Trial]
    best: Trial
    given: float | None
    config: Config
    folder: Path

    def summary(self) -> str:
        """What was found and where it stands, in a few lines."""
        folder, tried = Path(self.config.output), len(self.trials)
        given = "" if self.given is None else f", {self.given:.3f} with the settings as given"
        ends = [trial.status for trial in self.trials]
        lines = [
            f"best of {tried} trials ({ends.count('stopped')} stopped early, {ends.count('failed')} failed): "
            f"{self.best.score:.3f} on validation rows{given}",
            *(f"  {key} = {value}" for key, value in self.best.values.items()),
            f"configuration: {folder / 'best.yaml'}   ({command('run', folder / 'best.yaml')})",
            f"page:          {folder / 'search.html'}",
            f"trials:        {self.folder / 'trials.jsonl'}",
        ]
        return "\n".join(lines)


def tune(config: Config, *, verbose: bool = False, quiet: bool = False) -> Search:
    """Search ``config.tune.space`` for the settings with the best validation score.

    Stages that no searched setting touches are done once, before the trials. The search goes on
    where it was when the same command is given again, also with a larger budget. Leaves best.yaml
    and search.html in ``config.output``.

    Raises ConfigError (the space), InputError (too few validation rows), ClusterError, and
    TrainingError where no trial came to its end.
    """
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
        reporter.say(f"search in {config.output} (stages are kept in {store.root})")
        prepared = advance(config, session, reporter, store, ["prepare"])["prepare"]
        check_validation(get_task(config.task), prepared)
        advance(config, session, reporter, store, stages_before(config, space))
        folder = _folder(config, space)
        journal = Journal(folder / "trials.jsonl")
        reporter.say(f"  {config.tune.trials} trials, {len(journal.finished())} of them done before")
        _run_trials(config, space, session, reporter, journal)
    found = _found(config, values_of(config, space), journal, folder)
    _publish(found, space)
    return found


def stages_before(config: Config, space: Space) -> list[str]:
    """The first stages of a trial, which are done once: those that no setting in ``space`` changes.

    Texts are always encoded before the trials: each takes over the features of texts that it has too.
    """
    tried = [
        with_settings(config, {key: value}) for key, values in space.items() for value in corners(values)
    ]
    names = stages_of(config)
    stages = stages_of_run(config)
    start = "encode" if any(stage.name == "encode" for stage in stages) else "augment"
    before = prerequisites(stages, start)
    for stage in (stage for stage in stages if stage.name in names):
        own = stage.settings(config)
        if any(stage.settings(other) != own for other in tried):
            break
        if stage.name not in before:
            before.append(stage.name)
    return before


def _folder(config: Config, space: Space) -> Path:
    """Of this search: another one in the same run's folder has trials of its own."""
    whole = config.model_dump(exclude={"output": True, "cluster": True, "tune": BUDGET}, mode="json")
    settings = masked(whole)  # a signed address changes from day to day, and means the same
    first = stages_of_run(config)[0].settings(config)
    key = digest({"config": settings, "space": _plain(space), "data": first})
    folder = Path(config.output) / "search" / key
    make_private_folder(folder)
    return folder


def _run_trials(config: Config, space: Space, session: Session, reporter: Reporter, journal: Journal) -> None:
    cut_off = [trial.values for trial in journal.unfinished()]
    known = [EvaluatedTrial(trial.values, trial.score) for trial in journal.finished()]
    own = values_of(config, space)
    first = cut_off if known or own in cut_off or not holds(space, own) else [own, *cut_off]
    rungs = config.tune.repeats * rungs_of(config)
    state = journal.path.parent / "ray"
    try:
        with Board(journal, config.tune, rungs, reporter) as board:
            search_on_ray(
                partial(run_trial, config.model_dump(mode="json")),
                space,
                config.tune,
                rungs=rungs,
                folder=state,
                session=session,
                listener=board,
                first=first,
                evaluated=known,
                seed=config.seed,
            )
    finally:
        remove_folder(state)


def _found(config: Config, own: Values, journal: Journal, folder: Path) -> Search:
    best = journal.best()
    if best is None:
        failures = [f"trial {trial.number}: {trial.failure}" for trial in journal.finished() if trial.failure]
        reasons = "\n".join(failures[:3]) or "the time was up before the first one ended: raise tune.minutes"
        raise TrainingError(f"no trial came to its end\n{reasons}\nall trials: {folder / 'trials.jsonl'}")
    trials = journal.finished()
    given = next((t.score for t in trials if t.values == own and t.status == "complete"), None)
    return Search(trials, best, given, with_settings(config, best.values), folder)


def _publish(found: Search, space: Space) -> None:
    output, config = Path(found.config.output), found.config
    replace_file(output / "best.yaml", config.save)
    write_search_page(
        output / "search.html",
        {
            "title": output.name,
            "about": f"{len(found.trials)} trials of the stage {config.tune.stage}; the best is trial "
            f"{found.best.number} with {found.best.score:.3f}. Its settings are in best.yaml.",
            "metric": config.finetune.metric or get_task(config.task).training_metric,
            "repeats": config.tune.repeats,
            "trials": [asdict(trial) for trial in found.trials],
            "space": _plain(space),
        },
    )


def _plain(space: Space) -> dict[str, Any]:
    return {k: v.model_dump() if isinstance(v, Range) else list(v) for k, v in space.items()}
