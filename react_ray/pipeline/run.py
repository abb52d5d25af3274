"""Execution of a run: all stages of its graph, then publishing of the results.

Each stage writes a folder of the run's cache and is skipped if that folder already
exists, see :mod:`react_ray.pipeline.store`. The stages are in :mod:`react_ray.pipeline.stages`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from react_ray.cluster.preflight import missing_package
from react_ray.cluster.readiness import Readiness, Requirements, check_cluster
from react_ray.cluster.session import Session, check_job_output
from react_ray.config.settings import SCRATCH, Config
from react_ray.console.reporter import Reporter, log_to, quiet_libraries
from react_ray.data.columns import check_columns
from react_ray.errors import ConfigError
from react_ray.inference.classifier import Classifier, load
from react_ray.pipeline.context import Context
from react_ray.pipeline.graph import FILES, Stage, stages_of
from react_ray.pipeline.publish import publish, summarise
from react_ray.pipeline.store import Store, content_of
from react_ray.tasks import effective_task, get_task

__all__ = ["Run", "advance", "cache_of", "check_ready", "check_task", "located", "run", "with_task"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Result of a run: its folder, metrics (the content of metrics.json) and folders of stages.

    ``ready`` is the result of the preflight check of a cluster; None without one.

    Example
    -------
    >>> import react_ray
    >>> result = react_ray.run(react_ray.load_config("out/config.yaml"))  # doctest: +SKIP
    >>> result.metrics["test"]["macro_f1"], result.classifier().predict(["a text"])  # doctest: +SKIP
    """

    folder: Path
    metrics: dict[str, Any]
    stages: dict[str, Path]
    ready: Readiness | None = None

    def classifier(self) -> Classifier:
        """Load the trained classifier."""
        return load(self.folder)

    def summary(self) -> str:
        """Summarize the result and its files in a few lines."""
        return summarise(self.folder, self.metrics)


def run(config: Config, *, until: str | None = None, verbose: bool = False, quiet: bool = False) -> Run:
    """Run all stages, S1 to S6, with results in ``config.output``.

    Stages that are complete for the same inputs and settings are skipped, so a killed run resumes
    when it is called again. ``until`` stops after a stage.

    Raises InputError (data or settings), TrainingError (a worker failed) or ClusterError (no cluster, or
    not enough resources).

    Example
    -------
    >>> import react_ray
    >>> config = react_ray.load_config(flags={"data.labeled": "labels.csv", "data.unlabeled": "pool.csv"})
    >>> print(react_ray.run(config).summary())  # doctest: +SKIP
    """
    check_job_output(config.output)
    config = located(config)
    names = [stage.name for stage in stages_of(config)]
    if until is not None and until not in names:
        raise ConfigError(f"--until {until}: expected one of {', '.join(names)}")
    quiet_libraries(verbose)
    folder = Path(config.output)
    store = cache_of(folder)
    reporter = Reporter(quiet)
    with (
        store.locked(),
        log_to(store.root / "run.log", reporter),
        Session(config.cluster, verbose) as session,
    ):
        ready = check_ready(config, session, reporter)
        return replace(_run_stages(config, session, reporter, store, until), ready=ready)


def check_ready(config: Config, session: Session, reporter: Reporter) -> Readiness | None:
    """Check that the nodes of a cluster meet the requirements of the run; ClusterError if not.

    Without a cluster, check the packages of this machine; ConfigError if one is missing.
    """
    required = Requirements.of(config)
    if session.address is None:
        session.check_cores()
        missing = [missing_package(*package) for package in required.packages]
        if problems := [problem for problem in missing if problem]:
            raise ConfigError("; ".join(problems))
        return None
    return check_cluster(session, required, session.demand(), reporter)


def check_task(config: Config) -> None:
    """Raise ConfigError if the task is unknown, or lacks a package, or what the settings name."""
    task, metric = get_task(config.task), config.finetune.metric
    check_columns(task, config.data)
    if config.model == SCRATCH and not task.generates:
        raise ConfigError(
            f"model = {SCRATCH}: an encoder-decoder without training cannot do {task.title}; give a "
            "pretrained model, such as embedded"
        )
    if config.data.passages and not (task.answers == "span" and config.proposals.cloze):
        raise ConfigError(
            "data.passages = true: contexts without a question only give cloze questions, for question "
            "answering; set proposals.cloze=true, or leave the setting out"
        )
    for package, hint in task.packages:
        if problem := missing_package(package, hint):
            raise ConfigError(f"task = {task.name}: {problem}")
    if metric is not None and metric not in task.metrics:
        raise ConfigError(
            f"finetune.metric = {metric!r}: not a metric of {task.title}; "
            f"expected one of {', '.join(task.metrics)}"
        )
    if unknown := [name for name in config.augment.operations or () if name not in task.operations]:
        operations = ", ".join(task.operations)
        raise ConfigError(
            f"augment.operations: {unknown[0]!r} is not an operation of {task.title}; expected {operations}"
        )
    if config.augment.search and not (task.answers == "label" and len(task.inputs) == 1):
        raise ConfigError(
            f"augment.search = true: there is no search for {task.title}, only for tasks with one label for "
            "one text; set augment.operations and augment.strength"
        )


def located(config: Config) -> Config:
    """Return the configuration with its task and absolute paths, because workers run in other folders.

    Raises ConfigError if the settings do not fit the task.
    """
    config = with_task(config)
    check_task(config)

    def absolute(path: str | None) -> str | None:
        return path if path is None or "://" in path else str(Path(path).expanduser().absolute())

    def model(name: str | None) -> str | None:
        return absolute(name) if name and Path(name).expanduser().is_dir() else name

    data = config.data.model_copy(update={key: absolute(getattr(config.data, key)) for key in FILES})
    encoder = config.encoder
    paths = {
        "output": absolute(config.output),
        "model": model(config.model),
        "encoder": [model(name) for name in encoder] if isinstance(encoder, list) else model(encoder),
    }
    return config.model_copy(update={"data": data, **paths})


def with_task(config: Config) -> Config:
    """Return the configuration with the effective task and its defaults for training.

    See :func:`react_ray.tasks.effective_task` and :meth:`react_ray.tasks.Task.training_defaults`.
    It depends on the columns that the settings name, not on the columns that a file has.
    """
    named = config.data.columns.model_dump(exclude_none=True)
    task = effective_task(config.task, named)
    defaults = get_task(task).training_defaults(config.model)
    unset = {name: value for name, value in defaults.items() if name not in config.finetune.model_fields_set}
    finetune = config.finetune.model_copy(update=unset)
    return config.model_copy(update={"task": task, "finetune": finetune})


def cache_of(folder: Path) -> Store:
    """Return the stage cache of the run in ``folder``."""
    return Store(folder / "cache")


def _run_stages(config: Config, session: Session, reporter: Reporter, store: Store, until: str | None) -> Run:
    folder = Path(config.output)
    reporter.say(f"run in {folder} (stages are kept in {store.root})")
    names = [stage.name for stage in stages_of(config)]
    selected = names[: names.index(until) + 1] if until else names
    stages = advance(config, session, reporter, store, selected)
    if until:
        return Run(folder, {"stopped_after": until, "seconds": store.seconds, "reused": store.reused}, stages)
    with reporter.step("report"):
        metrics = publish(config, stages, store)
    return Run(folder, dict(metrics), stages)


def advance(
    config: Config,
    session: Session,
    reporter: Reporter,
    store: Store,
    names: Collection[str],
    stages: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Path]:
    """Run the stages ``names``, given the folders of finished ``stages``; return the folder of each."""
    stages = dict(stages)
    for stage in (stage for stage in stages_of(config) if stage.name in names):
        stages[stage.name] = _run_stage(stage, config, session, reporter, store, stages)
    return stages


def _run_stage(
    stage: Stage, config: Config, session: Session, reporter: Reporter, store: Store, stages: dict[str, Path]
) -> Path:
    needed = {name: stages[name] for name in stage.needs}
    settings = stage.settings(config)
    same = {key: settings[key] for key in stage.reuse_keys}
    earlier = store.matching_stages(stage.name, same) if same else []

    def work(folder: Path) -> None:
        with reporter.step(stage.name) as progress:
            stage.work(Context(stage.view(config), session, needed, folder, progress, earlier))

    inputs = {**settings, "inputs": {name: content_of(path) for name, path in needed.items()}}
    folder = store.stage(stage.name, inputs, work)
    if stage.name in store.reused:
        reporter.say(f"  {stage.name}: reused from the cache")
    return folder
