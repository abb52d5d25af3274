"""How weights are updated: which are free, their decay, the schedule, the precision."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from react_ray.config import FinetuneConfig
from react_ray.errors import ConfigError

__all__ = ["freeze", "make_optimizer", "make_schedule", "pick_precision", "precision_context"]


def freeze(model: PreTrainedModel, what: str | int) -> None:
    """Freeze nothing, the embeddings, the whole encoder, or embeddings and lowest N layers."""
    if what == "none":
        return
    base = model.base_model
    layers = _layers(base)
    lowest = int(what) if isinstance(what, int) else 0
    if lowest > len(layers):
        raise ConfigError(f"finetune.freeze = {what}: the model has {len(layers)} layers")
    inside = {id(p): i for i, layer in enumerate(layers) for p in layer.parameters()}
    above = False
    for parameter in base.parameters():  # in the order of the forward pass: embeddings come first
        layer = inside.get(id(parameter))
        above = above or layer is not None
        below = not above if layer is None else layer < lowest
        if what == "encoder" or below:
            parameter.requires_grad_(False)


def _layers(base: nn.Module) -> nn.ModuleList:
    lists = [m for m in base.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def make_optimizer(model: nn.Module, config: FinetuneConfig) -> torch.optim.AdamW:
    """AdamW over the free weights; biases and norms do not decay."""
    free = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in free if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in free if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: float) -> LambdaLR:
    """Linear rise over the first ``warmup`` share of ``steps``, then linear fall to 0."""
    rise = math.ceil(steps * warmup)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return max(0.0, (steps - step) / max(1, steps - rise))

    return LambdaLR(optimizer, factor)


def pick_precision(setting: str, device: torch.device) -> str:
    """The precision ``auto`` stands for on ``device``; ConfigError for fp16 without a GPU."""
    if setting == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if setting == "fp16" and device.type != "cuda":
        raise ConfigError("finetune.precision = fp16 needs a CUDA GPU; use auto, fp32 or bf16")
    return setting


def precision_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast region of a forward pass."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)
