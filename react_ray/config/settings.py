"""Settings of a run, from all sections."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, field_validator, model_validator

from react_ray.config.masking import masked, texts_of
from react_ray.config.ranges import Range
from react_ray.config.sections.base import Settings
from react_ray.config.sections.cluster import ClusterConfig, TuneConfig
from react_ray.config.sections.data import AugmentConfig, Columns, DataConfig, EncodeConfig
from react_ray.config.sections.labels import CandidatesConfig, LganConfig, ProposalsConfig
from react_ray.config.sections.training import FinetuneConfig, GenerationConfig

__all__ = [
    "AugmentConfig",
    "CandidatesConfig",
    "ClusterConfig",
    "Columns",
    "Config",
    "DataConfig",
    "EncodeConfig",
    "FinetuneConfig",
    "GenerationConfig",
    "LganConfig",
    "ProposalsConfig",
    "Range",
    "Settings",
    "TuneConfig",
    "save_settings",
    "variable_of",
]

EMBEDDED = "embedded"
"""Name of the English MiniLM that is installed with the package, for use without a model hub."""
MULTILINGUAL = "multilingual"
"""Name of multilingual-e5-small, which reads 100 languages; needs the extra ``multilingual``."""
SCRATCH = "transformer-tiny"
"""Name of a small encoder-decoder with random weights, and a vocabulary of the run's own texts."""
AUTO = "auto"
"""Name that stands for the embedded models that are installed and read the texts."""


class Config(Settings):
    """All settings of a run.

    :func:`react_ray.load_config` reads them from files, ``key=value`` arguments and flags.

    >>> from react_ray import Config
    >>> config = Config(data={"labeled": "labels.csv"}, finetune={"epochs": 3})
    >>> config.finetune.epochs, config.output
    (3.0, 'out')
    """

    task: str = Field("text-classification", description="Name of the task, checked when a run starts")
    output: str = Field("out", min_length=1, description="Folder of the run, on a mounted file system")
    seed: int = Field(0, ge=0, lt=1 << 32, description="Seed of every random choice")
    model: str = Field(
        EMBEDDED,
        min_length=1,
        description="Model to train and serve: embedded (English), multilingual, auto (the better), "
        "transformer-tiny (from scratch), hub name or folder",
    )
    encoder: str | list[str] | None = Field(
        AUTO,
        description="Frozen encoder of the features, or a list; auto: the model, or all embedded that read "
        "the texts; None: the model",
    )
    onnx: bool = Field(
        True, description="Export the model for ONNX Runtime or CTranslate2 as well, which are faster on CPUs"
    )
    data: DataConfig = Field(DataConfig(), description="Input files, and which of their rows are used")
    encode: EncodeConfig = Field(EncodeConfig(), description="Features by the frozen encoder")
    augment: AugmentConfig = Field(AugmentConfig(), description="Changed copies of labelled texts")
    lgan: LganConfig = Field(LganConfig(), description="The label GAN")
    candidates: CandidatesConfig = Field(
        CandidatesConfig(), description="Labels by the fine-tuned model, verified out of fold"
    )
    proposals: ProposalsConfig = Field(
        ProposalsConfig(), description="Answers by the fine-tuned model, for spans and texts"
    )
    finetune: FinetuneConfig = Field(FinetuneConfig(), description="Fine-tuning of the pretrained model")
    generation: GenerationConfig = Field(
        GenerationConfig(), description="Generation of translations and summaries"
    )
    cluster: ClusterConfig = Field(ClusterConfig(), description="Where the work runs")
    tune: TuneConfig = Field(TuneConfig(), description="Search for hyperparameters")

    @field_validator("output")
    @classmethod
    def _check_output(cls, output: str) -> str:
        if "://" in output:
            raise ValueError(
                f"output = {output!r}: the output must be a folder on a file system, local or mounted "
                "on every node (only inputs may be remote)"
            )
        return output

    @model_validator(mode="after")
    def _check_labels(self) -> Config:
        if not (self.data.labeled or self.data.labels):
            raise ValueError(
                "data.labeled is missing: give a file with labels (--labeled FILE), "
                "or class names (--labels FILE) and unlabelled text"
            )
        return self

    def save(self, path: Path) -> None:
        """Write the configuration as YAML, see :func:`save_settings`."""
        save_settings(self, path)


def save_settings(settings: Settings, path: Path) -> None:
    """Write settings as YAML, with the secrets of addresses masked.

    Comments name the environment variables from which :func:`load_config` reads the full addresses.
    """
    tree = settings.model_dump(mode="json")
    masked_tree = masked(tree)
    secret_keys = [
        key
        for (key, text), (_, other) in zip(texts_of(tree), texts_of(masked_tree), strict=True)
        if text != other
    ]
    head = "".join(
        f"# {key} was saved without its secret: to repeat the run, set {variable_of(key)} to the full "
        "address.\n"
        for key in secret_keys
    )
    content = yaml.safe_dump(masked_tree, sort_keys=False, allow_unicode=True)
    path.write_text(head + content, encoding="utf-8")


def variable_of(key: str) -> str:
    """Return the environment variable for the full address of a setting that is saved masked."""
    return f"REACT_RAY_{key.upper().replace('.', '_')}"
