"""From a pretrained model to the one that is trained, and back to a plain one that can be saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from react_ray.config.settings import FinetuneConfig
from react_ray.tasks import Task
from react_ray.training.lora import add_adapters, merge_adapters
from react_ray.training.optimizer import freeze, layers_of
from react_ray.training.parallel import shard
from react_ray.training.state import set_weights
from react_ray.training.worker import Worker

__all__ = ["Built", "Recipe"]


@dataclass(frozen=True)
class Built:
    """A model as it is trained; ``adapted`` is peft's handle on its adapters, where it has any."""

    model: PreTrainedModel
    adapted: Any | None = None


@dataclass(frozen=True)
class Recipe:
    """All that the model of a run is made of, so that every rank and every attempt makes the same."""

    task: Task
    name: str
    labels: Sequence[str]
    config: FinetuneConfig
    seed: int
    pad_token_id: int

    def build(self, worker: Worker) -> Built:
        """The model on the worker's device: frozen, adapted, compiled, sharded, as is asked."""
        built = self._whole()
        sharded = self.config.sharding == "full" and worker.world_size > 1
        if not sharded:
            built.model.to(worker.device)  # type: ignore[arg-type]
        if self.config.compile:
            for layer in layers_of(built.model):  # alike, so that one is compiled and serves for all
                layer.compile()
        if sharded:
            shard(built.model, worker)
        return built

    def plain(self, built: Built, weights: dict[str, torch.Tensor] | None) -> PreTrainedModel:
        """A whole model without adapters; a sharded one is built again on the CPU from its ``weights``."""
        if weights is not None:
            settings = built.model.config.react_ray  # with what calibration found
            built = self._whole()
            built.model.config.react_ray = settings
            set_weights(built.model, weights, sharded=False)
        return merge_adapters(built.adapted) if built.adapted is not None else built.model

    def _whole(self) -> Built:
        torch.manual_seed(self.seed)  # weights that the pretrained model lacks are drawn
        model = self.task.load_model(self.name, self.labels, self.config.dropout)
        model.config.react_ray = {"task": self.task.name}  # it is saved with the model
        model.config.pad_token_id = self.pad_token_id
        freeze(model, self.config.freeze)
        return Built(model, add_adapters(model, self.config) if self.config.lora_rank else None)
