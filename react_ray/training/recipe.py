"""Build the model to train from a pretrained one, and convert it back to a plain model for saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from react_ray.config.settings import FinetuneConfig
from react_ray.tasks import Task
from react_ray.training.lora import add_adapters, merge_adapters
from react_ray.training.optimizer import freeze, layers_of
from react_ray.training.parallel import shard
from react_ray.training.state import set_weights
from react_ray.training.worker import Worker

__all__ = ["BuiltModel", "Recipe"]


@dataclass(frozen=True)
class BuiltModel:
    """A model to train; ``adapted`` is the PEFT model if it has adapters."""

    model: PreTrainedModel
    adapted: Any | None = None


@dataclass(frozen=True)
class Recipe:
    """Settings from which every rank and every attempt builds the same model."""

    task: Task
    name: str
    labels: Sequence[str]
    config: FinetuneConfig
    seed: int
    tokenizer: PreTrainedTokenizerBase
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self, worker: Worker) -> BuiltModel:
        """Build the model on the worker's device: frozen, adapted, compiled and sharded as configured."""
        built = self._build_full()
        sharded = self.config.sharding == "full" and worker.world_size > 1
        if not sharded:
            built.model.to(worker.device)  # type: ignore[arg-type]
        if self.config.compile:
            for layer in layers_of(built.model):  # layers are alike, so the compiled code is shared
                layer.compile()
        if sharded:
            shard(built.model, worker)
        return built

    def plain(self, built: BuiltModel, weights: dict[str, torch.Tensor] | None) -> PreTrainedModel:
        """Return the full model without adapters; a sharded one is rebuilt on the CPU from ``weights``."""
        if weights is not None:
            settings = built.model.config.react_ray  # includes the result of calibration
            built = self._build_full()
            built.model.config.react_ray = settings
            set_weights(built.model, weights, sharded=False)
        return merge_adapters(built.adapted) if built.adapted is not None else built.model

    def _windows(self) -> dict[str, int]:
        """Return the setting of a model that reads several windows of a long text."""
        several = self.config.windows > 1 and self.task.long_texts == "windows"
        return {"windows": self.config.windows} if several else {}

    def _build_full(self) -> BuiltModel:
        torch.manual_seed(self.seed)  # for weights that are initialized at random
        model = self.task.load_model(self.name, self.labels, self.config.dropout)
        model.config.react_ray = {"task": self.task.name, **self.settings, **self._windows()}  # saved with it
        model.config.pad_token_id = self.tokenizer.pad_token_id
        self.task.configure(model, self.tokenizer, self.settings)
        freeze(model, self.config.freeze)
        return BuiltModel(model, add_adapters(model, self.config) if self.config.lora_rank else None)
