"""The run: its stages in order, what each depends on, and what comes out.

Each stage fills a folder of the run's cache and is skipped when that folder is
there already, see ``store``. What happens inside a stage is in ``stages``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from react_ray.cluster.look import missing
from react_ray.cluster.readiness import Asked, Readiness, check_cluster
from react_ray.cluster.session import Session, check_lasting
from react_ray.config.masking import masked
from react_ray.config.settings import Config
from react_ray.console.reporter import Reporter, log_to, quiet_libraries
from react_ray.data.columns import check_columns
from react_ray.data.shards import INPUTS
from react_ray.data.sources import fingerprint as fingerprint_files
from react_ray.data.views import BLOCKS
from react_ray.errors import ConfigError
from react_ray.inference.classifier import Classifier, load
from react_ray.models.pretrained import fingerprint as fingerprint_model
from react_ray.pipeline import stages
from react_ray.pipeline.context import Context
from react_ray.pipeline.publish import publish, summarise
from react_ray.pipeline.store import Store, content_of
from react_ray.tasks import get_task

__all__ = [
    "STAGES",
    "Run",
    "Stage",
    "advance",
    "cache_of",
    "check_ready",
    "located",
    "prerequisites",
    "run",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A step of the run: what it does, and all that its output depends on.

    It sees the folders of the stages in ``needs``, and those that it left itself when the settings
    named in ``alike`` were the same, whatever the rows: parts of these it may take over.
    """

    work: Callable[[Context], None]
    settings: Callable[[Config], dict[str, Any]]
    needs: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the stage, of its folder in the cache and of ``--until``."""
        return self.work.__name__


_FILES = (*INPUTS, "labels")


def _data_settings(config: Config) -> dict[str, Any]:
    sources = {key: getattr(config.data, key) for key in _FILES}
    files = {key: fingerprint_files(source) for key, source in sources.items() if source}
    models = {"model": fingerprint_model(config.model), **_encoder(config)}
    return {"task": config.task, "data": masked(config.data.model_dump()), "files": files, **models}


def _encoder(config: Config) -> dict[str, Any]:
    return {"encoder": fingerprint_model(config.encoder or config.model)}


def _text_settings(config: Config) -> dict[str, Any]:
    """What the features of a text depend on, beside the text."""
    return {"encode": config.encode.model_dump(exclude={"prompts"}), "blocks": BLOCKS, **_encoder(config)}


def _encode_settings(config: Config) -> dict[str, Any]:
    return {"texts": _text_settings(config), "prompts": config.encode.prompts}


def _augment_settings(config: Config) -> dict[str, Any]:
    """The search needs the encoder; changes that are given do not."""
    encoding = _text_settings(config) if config.augment.search else {}
    return {"task": config.task, "augment": config.augment.model_dump(), "seed": config.seed, **encoding}


def _lgan_settings(*keys: str) -> Callable[[Config], dict[str, Any]]:
    """These settings of the label GAN (all where none is named) and the seed."""
    return lambda c: {"lgan": c.lgan.model_dump(include=set(keys) or None), "seed": c.seed}


def _finetune_settings(config: Config) -> dict[str, Any]:
    model = fingerprint_model(config.model)
    return {"model": model, "finetune": config.finetune.model_dump(), "seed": config.seed}


def _seed(config: Config) -> dict[str, Any]:
    return {"seed": config.seed}


FEATURES = ("prepare", "augment", "encode")
PLAYERS = (*FEATURES, "pretrain", "lgan", "generate")
MODELS = ("labels_only", "finetune")

STAGES = (
    Stage(stages.prepare, _data_settings),
    Stage(stages.augment, _augment_settings, ("prepare",)),
    Stage(stages.encode, _encode_settings, ("prepare", "augment"), alike=("texts",)),
    Stage(stages.pretrain, _lgan_settings("names", "rounds", "pretrain_steps", "batch_size", "lr"), FEATURES),
    Stage(stages.lgan, _lgan_settings(), ("pretrain",)),
    Stage(
        stages.generate,
        _lgan_settings("names", "rounds", "verifier", "foreign"),
        ("prepare", "augment", "pretrain", "lgan"),
    ),
    Stage(stages.labels_only, _finetune_settings, ("prepare",)),
    Stage(stages.finetune, _finetune_settings, ("prepare", "pretrain", "generate")),
    Stage(stages.choose, _seed, (*PLAYERS, *MODELS)),
    Stage(stages.distil, _finetune_settings, ("prepare", "augment", "pretrain", "generate", "choose")),
    Stage(stages.evaluate, _seed, (*PLAYERS, *MODELS, "choose", "distil")),
    Stage(stages.export, lambda c: {"onnx": c.onnx}, ("prepare", *MODELS, "choose", "distil")),
)


@dataclass(frozen=True)
class Run:
    """A run: its folder, its figures (the content of metrics.json), its stages' folders.

    ``ready`` is what the nodes of a cluster answered before it began.
    """

    folder: Path
    metrics: dict[str, Any]
    stages: dict[str, Path]
    ready: Readiness | None = None

    def classifier(self) -> Classifier:
        """The trained classifier."""
        return load(self.folder)

    def summary(self) -> str:
        """The result in a few lines, and where to find everything."""
        return summarise(self.folder, self.metrics)


def run(config: Config, *, until: str | None = None, verbose: bool = False, quiet: bool = False) -> Run:
    """Go the whole road, S1 to S6, into ``config.output``.

    Stages that are done already with the same inputs and settings are not done
    again, so a killed run goes on when called again. ``until`` stops after a stage.

    Raises InputError (data or settings), TrainingError (a worker failed) or
    ClusterError (no cluster, or not the resources asked for).
    """
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise ConfigError(f"--until {until}: expected one of {', '.join(names)}")
    quiet_libraries(verbose)
    check_lasting(config.output)
    config = located(config)
    folder = Path(config.output)
    store = cache_of(folder)
    reporter = Reporter(quiet)
    with (
        store.locked(),
        log_to(store.root / "run.log", reporter),
        Session(config.cluster, verbose) as session,
    ):
        ready = check_ready(config, session, reporter)
        return replace(_go(config, session, reporter, store, until), ready=ready)


def check_ready(config: Config, session: Session, reporter: Reporter) -> Readiness | None:
    """What the nodes of a cluster say to what is asked; ClusterError where they cannot do it.

    ConfigError where a package is missing here, without a cluster.
    """
    asked = Asked.of(config)
    if session.address is None:
        session.check_cores()
        if problems := [told for package in asked.packages if (told := missing(*package))]:
            raise ConfigError("; ".join(problems))
        return None
    return check_cluster(session, asked, session.demand(), reporter)


def located(config: Config) -> Config:
    """The configuration with whole paths: workers have working directories of their own.

    Raises ConfigError where there is no such task, or it has not the columns that are named.
    """
    check_columns(get_task(config.task), config.data)

    def whole(path: str | None) -> str | None:
        return path if path is None or "://" in path else str(Path(path).expanduser().absolute())

    def model(name: str | None) -> str | None:
        return whole(name) if name and Path(name).expanduser().is_dir() else name

    data = config.data.model_copy(update={key: whole(getattr(config.data, key)) for key in _FILES})
    own = {"output": whole(config.output), "model": model(config.model), "encoder": model(config.encoder)}
    return config.model_copy(update={"data": data, **own})


def cache_of(folder: Path) -> Store:
    """The cached stages of the run in ``folder``."""
    return Store(folder / "cache")


def _go(config: Config, session: Session, reporter: Reporter, store: Store, until: str | None) -> Run:
    folder = Path(config.output)
    reporter.say(f"run in {folder} (stages are kept in {store.root})")
    names = [stage.name for stage in STAGES]
    asked = names[: names.index(until) + 1] if until else names
    done = advance(config, session, reporter, store, asked)
    if until:
        return Run(folder, {"stopped_after": until, "seconds": store.seconds, "reused": store.reused}, done)
    with reporter.step("report"):
        metrics = publish(config, done, store)
    return Run(folder, dict(metrics), done)


def advance(
    config: Config,
    session: Session,
    reporter: Reporter,
    store: Store,
    names: Collection[str],
    done: Mapping[str, Path] = MappingProxyType({}),
) -> dict[str, Path]:
    """Do the stages ``names`` after those ``done``, which hold all that they need; the folder of each."""
    done = dict(done)
    for stage in (stage for stage in STAGES if stage.name in names):
        done[stage.name] = _do(stage, config, session, reporter, store, done)
    return done


def prerequisites(name: str) -> list[str]:
    """The stages that stage ``name`` is made from, in order, and itself."""
    needed = {name}
    for stage in reversed(STAGES):
        if stage.name in needed:
            needed |= {*stage.needs}
    return [stage.name for stage in STAGES if stage.name in needed]


def _do(
    stage: Stage, config: Config, session: Session, reporter: Reporter, store: Store, done: dict[str, Path]
) -> Path:
    needed = {name: done[name] for name in stage.needs}
    settings = stage.settings(config)
    alike = {key: settings[key] for key in stage.alike}
    earlier = store.alike(stage.name, alike) if alike else []

    def work(folder: Path) -> None:
        with reporter.step(stage.name) as progress:
            stage.work(Context(config, session, needed, folder, progress, earlier))

    inputs = {**settings, "inputs": {name: content_of(path) for name, path in needed.items()}}
    folder = store.stage(stage.name, inputs, work)
    if stage.name in store.reused:
        reporter.say(f"  {stage.name}: done before, reused")
    return folder
