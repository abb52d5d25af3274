"""The stages of a run in order, and all that the output of each depends on."""

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
from react_ray.models.choices import encoder_choices, encoder_setting, model_choices
from react_ray.models.pretrained import fingerprint as fingerprint_model
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages import candidates, export, features, judge, label_gan, rows, train
from react_ray.tasks import get_task

__all__ = ["FILES", "GRAPHS", "Stage", "prerequisites", "stages_of"]

FILES = (*INPUTS, "labels")
"""Settings of ``data`` that name files."""


Keys = tuple[str, ...]
"""Names of settings or groups of them, dotted where they are in a group."""
ALWAYS = ("task",)
"""Settings that every stage depends on."""
FREE = ("output", "cluster")
"""Settings that no output depends on: where a run works."""


@dataclass(frozen=True)
class Stage:
    """A step of the run: what it does, and all that its output depends on.

    It sees the settings in ``reads`` and no others, the folders of the stages in ``needs``, and those that it
    left itself when the settings in ``alike`` were the same, whatever the rows: parts of these it may take
    over. ``encoder`` stands for the model that encodes, whichever setting names it.
    """

    work: Callable[[Context], None]
    reads: Keys | Callable[[Config], Keys]
    needs: tuple[str, ...] = ()
    alike: Keys = ()

    @property
    def name(self) -> str:
        """Name of the stage, of its folder in the cache and of ``--until``."""
        return self.work.__name__

    def settings(self, config: Config) -> dict[str, Any]:
        """The part of the stage's key that ``config`` decides."""
        return {key: _content(config, key) for key in self._keys(config)}

    def view(self, config: Config) -> Config:
        """``config`` with the settings of the key alone; reading any other raises AttributeError."""
        encoder = encoder_setting(config.encoder, config.model)
        whole = config.model_copy(update={"encoder": encoder})
        return whole.only((*self._keys(config), *FREE))

    def _keys(self, config: Config) -> Keys:
        return (*ALWAYS, *(self.reads(config) if callable(self.reads) else self.reads))


def _content(config: Config, key: str) -> Any:
    """What a setting says, and for files and models what they hold."""
    if key == "data":
        sources = {name: getattr(config.data, name) for name in FILES}
        files = {name: fingerprint_files(source) for name, source in sources.items() if source}
        return {"settings": masked(config.data.model_dump()), "files": files}
    if key == "model":
        return {"models": [fingerprint_model(name) for name in model_choices(config.model)]}
    if key == "encoder":
        names = encoder_choices(config.encoder, config.model)
        models = [fingerprint_model(name) for name in names]
        automatic = encoder_setting(config.encoder, config.model) == AUTO
        return {"models": models, "automatic": automatic, "blocks": BLOCKS}
    value = attrgetter(key)(config)
    return value.model_dump() if isinstance(value, Settings) else value


TEXTS = ("encoder", *(f"encode.{name}" for name in EncodeConfig.model_fields if name != "prompts"))
"""What the features of a text depend on, beside the text."""
TEACHER = ("lgan.names", "lgan.rounds")
PHASE1 = ("lgan.pretrain_steps", "lgan.batch_size", "lgan.lr")
FINETUNE = ("model", "finetune", "seed")
FEATURES = ("prepare", "augment", "encode")
PLAYERS = (*FEATURES, "pretrain", "lgan", "generate")
MODELS = ("labels_only", "finetune")


def _augment_reads(config: Config) -> Keys:
    """The search needs the encoder; changes that are given do not."""
    return ("augment", "seed", *(TEXTS if config.augment.search else ()))


PREPARE = Stage(rows.prepare, ("data", "model", "encoder"))
AUGMENT = Stage(rows.augment, _augment_reads, ("prepare",))
LABELS_ONLY = Stage(train.labels_only, FINETUNE, ("prepare",))

LABEL_GAN = (
    PREPARE,
    AUGMENT,
    Stage(features.encode, (*TEXTS, "encode.prompts"), ("prepare", "augment"), alike=(*ALWAYS, *TEXTS)),
    Stage(label_gan.pretrain, (*TEACHER, *PHASE1, "seed"), FEATURES),
    Stage(label_gan.lgan, ("lgan", "seed"), ("pretrain",)),
    Stage(
        label_gan.generate,
        (*TEACHER, "lgan.verifier", "lgan.foreign", "seed"),
        ("prepare", "augment", "pretrain", "lgan"),
    ),
    LABELS_ONLY,
    Stage(train.finetune, (*FINETUNE, "encoder"), ("prepare", "pretrain", "generate")),
    Stage(judge.choose, ("seed",), (*PLAYERS, *MODELS)),
    Stage(train.distil, (*FINETUNE, "encoder"), ("prepare", "augment", "pretrain", "generate", "choose")),
    Stage(judge.evaluate, ("seed",), (*PLAYERS, *MODELS, "choose", "distil")),
    Stage(export.export, ("onnx",), ("prepare", *MODELS, "choose", "distil")),
)
"""Of tasks whose pool gets its labels from the label GAN, on frozen features."""

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
"""Of tasks whose pool gets its labels from the fine-tuned model, judged out of fold."""

GRAPHS = {"label_gan": LABEL_GAN, "candidates": CANDIDATES}


def stages_of(config: Config) -> tuple[Stage, ...]:
    """The stages of a run, in order."""
    stages = GRAPHS[get_task(config.task).labeler]
    if config.model == AUTO and stages is LABEL_GAN:  # the teacher says which model
        return tuple(replace(s, needs=(*s.needs, "pretrain")) if s is LABELS_ONLY else s for s in stages)
    return stages


def prerequisites(stages: tuple[Stage, ...], name: str) -> list[str]:
    """The stages that stage ``name`` is made from, in order, and itself."""
    needed = {name}
    for stage in reversed(stages):
        if stage.name in needed:
            needed |= {*stage.needs}
    return [stage.name for stage in stages if stage.name in needed]
