"""Settings of pretraining an encoder by masked language modelling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from react_ray.config.sections.base import Settings
from react_ray.config.sections.cluster import ClusterConfig
from react_ray.config.sections.training import FinetuneConfig

__all__ = ["FROM_SCRATCH", "PretrainConfig"]

FROM_SCRATCH = "none"
"""The name in place of a model that trains one from random weights."""


class PretrainConfig(Settings):
    """Settings of ``react-ray pretrain``, loaded by :func:`react_ray.config.file.load_pretrain_config`."""

    input: str = Field(min_length=1, description="Texts: a file, folder or glob, local or s3://")
    output: str = Field(min_length=1, description="Folder of the result, on a mounted file system")
    model: str = Field(
        FROM_SCRATCH,
        min_length=1,
        description="Encoder to adapt: embedded, multilingual, hub name or folder; none: train a small BERT "
        "with a vocabulary of the texts",
    )
    text_column: str = Field("text", min_length=1, description="Name of the column with the text")
    max_chars: int = Field(100_000, ge=1, description="Longer texts are rejected")
    seed: int = Field(0, ge=0, lt=1 << 32, description="Seed of every random choice")
    tokenizer: Literal["wordpiece", "bpe"] = Field(
        "wordpiece",
        description="Vocabulary from scratch: wordpiece as of BERT (Chinese by characters), or bpe of bytes, "
        "for languages without spaces such as Thai",
    )
    vocabulary: int = Field(8000, ge=300, le=500_000, description="Most tokens of a vocabulary from scratch")
    lowercase: bool = Field(True, description="Whether a wordpiece vocabulary is in lower case")
    layers: int = Field(4, ge=1, le=48, description="Layers of a model from scratch")
    hidden: int = Field(256, ge=8, le=4096, description="Dimensions of its hidden states")
    heads: int = Field(4, ge=1, le=64, description="Its attention heads, which divide hidden")
    intermediate: int = Field(1024, ge=8, le=16384, description="Dimensions inside its layers")
    max_length: int = Field(
        128, ge=8, le=8192, description="Longest sequence, in tokens; longer texts become several sequences"
    )
    masked: float = Field(0.15, gt=0, lt=1, description="Share of the tokens to predict")
    whole_words: bool = Field(
        True,
        description="Whether all tokens of a word are masked together; Chinese characters are words here",
    )
    epochs: float = Field(10.0, gt=0, description="Most passes over the texts")
    steps: int | None = Field(None, ge=1, description="Most optimizer steps; None: no limit")
    minutes: float | None = Field(
        None, gt=0, description="Time to train in, from the speed of the first steps; None: no limit"
    )
    lr: float = Field(5e-4, gt=0, description="Highest learning rate; to adapt a model, 5e-5 is usual")
    batch_size: int = Field(64, ge=1, description="Sequences of an optimizer step, over all workers")
    accumulation: int = Field(
        1, ge=1, description="Micro-batches into which each worker divides a step, to save memory"
    )
    warmup: float = Field(
        0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises from 0"
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout probability; 0: the same results on any number of workers"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="Number format of training; auto: bf16 or fp16 on a GPU, fp32 on a CPU"
    )
    validation: float = Field(
        0.02, ge=0, le=0.5, description="Share of the texts that measure the perplexity, at most 2,000 texts"
    )
    evaluations: int = Field(5, ge=1, description="Number of times that the perplexity is measured")
    cluster: ClusterConfig = Field(ClusterConfig(), description="Where the work runs")

    @field_validator("output")
    @classmethod
    def _check_output(cls, output: str) -> str:
        if "://" in output:
            raise ValueError(f"output = {output!r}: expected a folder on a file system, local or mounted")
        return output

    @model_validator(mode="after")
    def _check_heads(self) -> PretrainConfig:
        if self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not a multiple of heads = {self.heads}")
        return self

    def optimization(self) -> FinetuneConfig:
        """Return the settings of the optimizer under the names of fine-tuning; training never stops early."""
        names = FinetuneConfig.model_fields.keys() & type(self).model_fields.keys()
        shared = {name: getattr(self, name) for name in names}
        return FinetuneConfig(**shared, patience=self.evaluations)
