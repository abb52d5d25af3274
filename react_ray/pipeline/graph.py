"""The stages of a run in order, and all that the output of each depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from react_ray.config.masking import masked
from react_ray.config.settings import Config
from react_ray.data.shards import INPUTS
from react_ray.data.sources import fingerprint as fingerprint_files
from react_ray.data.views import BLOCKS
from react_ray.models.pretrained import fingerprint as fingerprint_model
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages import candidates, export, features, judge, label_gan, rows, train
from react_ray.tasks import get_task

__all__ = ["FILES", "GRAPHS", "Stage", "prerequisites", "stages_of"]

FILES = (*INPUTS, "labels")
"""Settings of ``data`` that name files."""


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


def _data_settings(config: Config) -> dict[str, Any]:
    sources = {key: getattr(config.data, key) for key in FILES}
    files = {key: fingerprint_files(source) for key, source in sources.items() if source}
    models = {"model": fingerprint_model(config.model), **_encoder(config)}
    return {"task": config.task, "data": masked(config.data.model_dump()), "files": files, **models}


def _encoder(config: Config) -> dict[str, Any]:
    return {"encoder": fingerprint_model(config.encoder or config.model)}


def _text_settings(config: Config) -> dict[str, Any]:
    """What the features of a text depend on, beside the text."""
    settings = {"encode": config.encode.model_dump(exclude={"prompts"}), "blocks": BLOCKS, **_encoder(config)}
    return {"task": config.task, **settings}


def _encode_settings(config: Config) -> dict[str, Any]:
    return {"texts": _text_settings(config), "prompts": config.encode.prompts}


def _augment_settings(config: Config) -> dict[str, Any]:
    """The search needs the encoder; changes that are given do not."""
    encoding = _text_settings(config) if config.augment.search else {}
    return {"task": config.task, "augment": config.augment.model_dump(), "seed": config.seed, **encoding}


def _lgan_settings(*keys: str) -> Callable[[Config], dict[str, Any]]:
    """These settings of the label GAN (all where none is named) and the seed."""
    return lambda c: {"lgan": c.lgan.model_dump(include=set(keys) or None), "seed": c.seed}


def _propose_settings(config: Config) -> dict[str, Any]:
    return {"rows": config.candidates.rows, **_text_settings(config)}


def _judge_settings(config: Config) -> dict[str, Any]:
    return {"verifier": config.candidates.verifier, "seed": config.seed}


def _finetune_settings(config: Config) -> dict[str, Any]:
    model = fingerprint_model(config.model)
    return {
        "task": config.task,
        "model": model,
        "finetune": config.finetune.model_dump(),
        "seed": config.seed,
    }


def _seed(config: Config) -> dict[str, Any]:
    return {"seed": config.seed}


def _onnx(config: Config) -> dict[str, Any]:
    return {"onnx": config.onnx}


FEATURES = ("prepare", "augment", "encode")
PLAYERS = (*FEATURES, "pretrain", "lgan", "generate")
MODELS = ("labels_only", "finetune")

LABEL_GAN = (
    Stage(rows.prepare, _data_settings),
    Stage(rows.augment, _augment_settings, ("prepare",)),
    Stage(features.encode, _encode_settings, ("prepare", "augment"), alike=("texts",)),
    Stage(
        label_gan.pretrain, _lgan_settings("names", "rounds", "pretrain_steps", "batch_size", "lr"), FEATURES
    ),
    Stage(label_gan.lgan, _lgan_settings(), ("pretrain",)),
    Stage(
        label_gan.generate,
        _lgan_settings("names", "rounds", "verifier", "foreign"),
        ("prepare", "augment", "pretrain", "lgan"),
    ),
    Stage(train.labels_only, _finetune_settings, ("prepare",)),
    Stage(train.finetune, _finetune_settings, ("prepare", "pretrain", "generate")),
    Stage(judge.choose, _seed, (*PLAYERS, *MODELS)),
    Stage(train.distil, _finetune_settings, ("prepare", "augment", "pretrain", "generate", "choose")),
    Stage(judge.evaluate, _seed, (*PLAYERS, *MODELS, "choose", "distil")),
    Stage(export.export, _onnx, ("prepare", *MODELS, "choose", "distil")),
)
"""Of tasks whose pool gets its labels from the label GAN, on frozen features."""

CANDIDATES = (
    Stage(rows.prepare, _data_settings),
    Stage(rows.augment, _augment_settings, ("prepare",)),
    Stage(train.labels_only, _finetune_settings, ("prepare",)),
    Stage(candidates.propose, _propose_settings, ("prepare", "labels_only")),
    Stage(candidates.generate, _judge_settings, ("prepare", "augment", "propose")),
    Stage(train.finetune, _finetune_settings, ("prepare", "generate")),
    Stage(judge.choose, _seed, ("prepare", "generate", *MODELS)),
    Stage(judge.evaluate, _seed, ("prepare", "propose", "generate", *MODELS, "choose")),
    Stage(export.export, _onnx, ("prepare", *MODELS, "choose")),
)
"""Of tasks whose pool gets its labels from the fine-tuned model, judged out of fold."""

GRAPHS = {"label_gan": LABEL_GAN, "candidates": CANDIDATES}


def stages_of(config: Config) -> tuple[Stage, ...]:
    """The stages of a run, in order."""
    return GRAPHS[get_task(config.task).labeler]


def prerequisites(stages: tuple[Stage, ...], name: str) -> list[str]:
    """The stages that stage ``name`` is made from, in order, and itself."""
    needed = {name}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {*stage.needs}
    return [stage.name for stage in stages if stage.name in needed]
