"""Settings of fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from react_ray.config.sections.base import Count, Settings

__all__ = ["MOST_WINDOWS", "FinetuneConfig", "GenerationConfig"]

MOST_WINDOWS = 64


class FinetuneConfig(Settings):
    """Fine-tuning the pretrained model on the augmented training set (S5 in docs/method.md)."""

    lr: float = Field(
        5e-5, gt=0, description="Learning rate of weights and head; adapters (LoRA) use ten times as much"
    )
    batch_size: int = Field(16, ge=1, description="Rows of an optimizer step, over all workers")
    accumulation: int = Field(
        1, ge=1, description="Micro-batches into which each worker divides a step, to save memory"
    )
    max_length: int = Field(
        128, ge=8, description="Longest input of the model, in tokens; longer texts are cut"
    )
    windows: int = Field(
        1,
        ge=1,
        le=MOST_WINDOWS,
        description="Parts of max_length tokens that are read of a text to classify; 1: the rest is cut",
    )
    token_budget: int = Field(
        80_000,
        ge=1,
        description="Tokens trained on in total, used where epochs is None; the models of a run that "
        "generates texts share them",
    )
    max_epochs: float = Field(
        10,
        gt=0,
        description="Most passes over the training set, where token_budget allows more: with many, texts are "
        "memorized. Used where epochs is None",
    )
    epochs: float | None = Field(
        None,
        gt=0,
        description="Passes over the training set; None: as many as token_budget and max_epochs allow",
    )
    warmup: float = Field(
        0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises from 0"
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    dropout: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout probability; 0: the same results on any number of workers; None: the model's",
    )
    head_start: bool = Field(
        True,
        description="Start the head from a linear fit, so that the first steps do not damage the encoder",
    )
    freeze: Literal["none", "embeddings", "encoder"] | Count = Field(
        "none", description="Weights that are not trained; a number: the embeddings and the lowest N layers"
    )
    lora_rank: int = Field(
        0, ge=0, description="Rank of LoRA adapters, for models too large to train completely; 0: no adapters"
    )
    lora_targets: Literal["all-linear", "default"] = Field(
        "all-linear", description="Layers that get adapters; default: as peft has it for the model"
    )
    sharding: Literal["none", "full"] = Field(
        "none", description="Full: each worker has a shard of the weights (FSDP); none: a full copy"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="Number format of training; auto: bf16 or fp16 on a GPU, fp32 on a CPU"
    )
    compile: bool = Field(
        False, description="Use torch.compile: starts a minute or more later, for long runs on a GPU"
    )
    evaluations: int = Field(5, ge=1, description="Number of validation rounds during training")
    patience: int = Field(
        2, ge=1, description="Validation rounds without a better score after which training stops"
    )
    metric: str | None = Field(
        None, description="Validation metric that chooses the checkpoint; None: the task's own"
    )


class GenerationConfig(Settings):
    """How translations and summaries are generated, saved with the model."""

    beams: int = Field(4, ge=1, le=16, description="Hypotheses that beam search keeps; 1: greedy")
    length_penalty: float = Field(
        1.0, ge=-5, le=5, description="Power of the length that divides scores; above 1 prefers longer texts"
    )
    max_new_tokens: int = Field(128, ge=1, le=1024, description="Longest answer, in tokens")
    no_repeat_ngram: int = Field(
        0, ge=0, le=10, description="Length of the sequences of tokens that must not recur; 0: all may"
    )
    prefix: str | None = Field(
        None,
        max_length=200,
        description="Text before every input, such as 'summarize: ' for T5; None: no text",
    )
    source_language: str | None = Field(
        None, description="Code of the input's language, for mBART, NLLB and M2M100; None: not set"
    )
    target_language: str | None = Field(
        None, description="Code of the answer's language, for mBART, NLLB and M2M100; None: not set"
    )
