"""Stages of a run in order, with the settings and stages that each depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from react_ray.config.masking import masked
from react_ray.config.settings import AUTO, Config, EncodeConfig, Settings
from react_ray.data.shards import INPUTS
from react_ray.data.sources import fingerprint as fingerprint_files
from react_ray.data.views import BLOCKS
from react_ray.models.choices import encoder_choices, encoder_setting, encoding_model, model_choices
from react_ray.models.pretrained import fingerprint as fingerprint_model
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages import (
    back_translate,
    candidates,
    export,
    features,
    judge,
    label_gan,
    proposals,
    rows,
    train,
)
from react_ray.tasks import get_task

__all__ = ["FILES", "GRAPHS", "Stage", "prerequisites", "stages_of"]

FILES = (*INPUTS, "labels", "targets")
"""Settings of ``data`` that name files."""


Keys = tuple[str, ...]
"""Names of settings or groups of them, dotted where they are in a group."""
ALWAYS = ("task",)
"""Settings that every stage depends on."""
FREE = ("output", "cluster")
"""Settings that no output depends on."""


@dataclass(frozen=True)
class Stage:
    """A stage of the run: its function, and everything that its output depends on.

    A stage can read only the settings in ``reads`` and the folders of the stages in ``needs``. It may reuse
    parts of its own earlier folders in which the settings in ``reuse_keys`` are the same. ``encoder`` stands
    for the encoder model, whether ``encoder`` or ``model`` names it.
    """

    work: Callable[[Context], None]
    reads: Keys | Callable[[Config], Keys]
    needs: tuple[str, ...] = ()
    reuse_keys: Keys = ()

    @property
    def name(self) -> str:
        """Name of the stage: of its cache folder, and for ``--until``."""
        return self.work.__name__

    def settings(self, config: Config) -> dict[str, Any]:
        """Return the settings in the stage's cache key."""
        return {key: _content(config, key) for key in self._keys(config)}

    def view(self, config: Config) -> Config:
        """Return ``config`` restricted to the settings of the key; reading others raises AttributeError."""
        encoder = encoder_setting(config.encoder, _encoding_model(config))
        complete = config.model_copy(update={"encoder": encoder})
        return complete.only((*self._keys(config), *FREE))

    def _keys(self, config: Config) -> Keys:
        return (*ALWAYS, *(self.reads(config) if callable(self.reads) else self.reads))


def _content(config: Config, key: str) -> Any:
    """Return the value of a setting, with a fingerprint of the content of files and models."""
    if key == "data":
        sources = {name: getattr(config.data, name) for name in FILES}
        files = {name: fingerprint_files(source) for name, source in sources.items() if source}
        return {"settings": masked(config.data.model_dump()), "files": files}
    if key == "model":
        return {"models": [fingerprint_model(name) for name in model_choices(config.model)]}
    if key == "encoder":
        model = _encoding_model(config)
        models = [fingerprint_model(name) for name in encoder_choices(config.encoder, model)]
        automatic = encoder_setting(config.encoder, model) == AUTO
        return {"models": models, "automatic": automatic, "blocks": BLOCKS}
    value = attrgetter(key)(config)
    return value.model_dump(mode="json") if isinstance(value, Settings) else value


def _encoding_model(config: Config) -> str:
    return encoding_model(config.model, get_task(config.task).generates)


TEXTS = ("encoder", *(f"encode.{name}" for name in EncodeConfig.model_fields if name != "prompts"))
"""Settings that the features of a text depend on."""
TEACHER = ("lgan.names", "lgan.rounds")
PHASE1 = ("lgan.pretrain_steps", "lgan.batch_size", "lgan.lr")
FINETUNE = ("model", "finetune", "generation", "seed")
FINETUNE_TEXTS = (*FINETUNE, "data.targets")
"""The models of a run that generates texts share the tokens; with targets alone there is one more."""
FEATURES = ("prepare", "augment", "encode")
NETWORKS = (*FEATURES, "pretrain", "lgan", "generate")
MODELS = ("labels_only", "finetune")


def _augment_reads(config: Config) -> Keys:
    """Return the settings of the stage augment; only the search for augmentations needs the encoder."""
    return ("augment", "seed", *(TEXTS if config.augment.search else ()))


def _propose_reads(config: Config) -> Keys:
    """Return the settings of the stage propose of spans and texts; only D needs the encoder."""
    return ("candidates.rows", "proposals.verifier", "seed", *(TEXTS if config.proposals.verifier else ()))


PREPARE = Stage(rows.prepare, ("data", "model", "encoder"))
PREPARE_TEXTS = Stage(rows.prepare, ("data", "model", "encoder", "seed", "proposals.verifier"))
AUGMENT = Stage(rows.augment, _augment_reads, ("prepare",))
LABELS_ONLY = Stage(train.labels_only, FINETUNE, ("prepare",))

LABEL_GAN = (
    PREPARE,
    AUGMENT,
    Stage(features.encode, (*TEXTS, "encode.prompts"), ("prepare", "augment"), reuse_keys=(*ALWAYS, *TEXTS)),
    Stage(label_gan.pretrain, (*TEACHER, *PHASE1, "seed"), FEATURES),
    Stage(label_gan.lgan, ("lgan", "seed"), ("pretrain",)),
    LABELS_ONLY,
    Stage(label_gan.propose, ("lgan.fine_tuned",), ("prepare", "labels_only")),
    Stage(
        label_gan.generate,
        (*TEACHER, "lgan.verifier", "lgan.foreign", "seed"),
        ("prepare", "augment", "pretrain", "lgan", "propose"),
    ),
    Stage(train.finetune, (*FINETUNE, "encoder"), ("prepare", "pretrain", "generate")),
    Stage(judge.choose, ("seed",), (*NETWORKS, *MODELS)),
    Stage(train.distil, (*FINETUNE, "encoder"), ("prepare", "augment", "pretrain", "generate", "choose")),
    Stage(judge.evaluate, ("seed",), (*NETWORKS, *MODELS, "choose", "distil")),
    Stage(export.export, ("onnx",), ("prepare", *MODELS, "choose", "distil")),
)
"""Stages of tasks whose pool is labelled by the label GAN, on frozen features."""

CANDIDATES = (
    PREPARE,
    AUGMENT,
    LABELS_ONLY,
    Stage(candidates.propose, ("candidates.rows", *TEXTS, "encode.prompts"), ("prepare", "labels_only")),
    Stage(candidates.generate, ("candidates.verifier", "seed"), ("prepare", "augment", "propose")),
    Stage(train.finetune, FINETUNE, ("prepare", "generate")),
    Stage(judge.choose, ("seed",), ("prepare", "generate", *MODELS)),
    Stage(judge.evaluate, ("seed",), ("prepare", "propose", "generate", *MODELS, "choose")),
    Stage(export.export, ("onnx",), ("prepare", *MODELS, "choose")),
)
"""Stages of tasks whose pool is labelled by the fine-tuned model, judged out of fold."""

PROPOSALS = (
    PREPARE_TEXTS,
    AUGMENT,
    Stage(train.labels_only, FINETUNE_TEXTS, ("prepare",)),
    Stage(back_translate.back_translate, ("data", "candidates.rows", *FINETUNE), ("prepare",)),
    Stage(train.warm_up, (*FINETUNE, "proposals.cloze"), ("prepare",)),
    Stage(proposals.propose, _propose_reads, ("prepare", "labels_only", "back_translate")),
    Stage(
        proposals.generate,
        ("proposals.verifier", "seed"),
        ("prepare", "augment", "propose", "back_translate", "warm_up"),
    ),
    Stage(train.finetune, FINETUNE_TEXTS, ("prepare", "generate", "warm_up")),
    *CANDIDATES[-3:],
)
"""Stages of tasks whose answers are spans or texts: the fine-tuned model labels the pool."""

GRAPHS = {"label_gan": LABEL_GAN, "candidates": CANDIDATES, "proposals": PROPOSALS}


def stages_of(config: Config) -> tuple[Stage, ...]:
    """Return the stages of a run, in order."""
    stages = GRAPHS[get_task(config.task).labeler]
    if config.model == AUTO and stages is LABEL_GAN:  # the teacher selects the model
        return tuple(replace(s, needs=(*s.needs, "pretrain")) if s is LABELS_ONLY else s for s in stages)
    return stages


def prerequisites(stages: tuple[Stage, ...], name: str) -> list[str]:
    """Return the stages that stage ``name`` depends on, in order, and the stage itself."""
    needed = {name}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {*stage.needs}
    return [stage.name for stage in stages if stage.name in needed]
