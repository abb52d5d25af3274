"""How weights are updated: which are free, their decay, the schedule, the precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import ConfigError

__all__ = [
    "freeze",
    "layers_of",
    "make_optimizer",
    "make_schedule",
    "matrix_products",
    "pick_precision",
    "precision_context",
]

ADAPTER_LR = 10.0
"""Adapters learn best at ten times the rate of whole weights (Biderman et al. 2024, arXiv:2405.09673)."""


def freeze(model: PreTrainedModel, what: str | int) -> None:
    """Freeze nothing, the embeddings, the whole encoder, or embeddings and lowest N layers."""
    if what == "none":
        return
    base = model.base_model
    layers = layers_of(model)
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


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The layers of the encoder or decoder, lowest first; empty where it has none."""
    lists = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def make_optimizer(model: nn.Module, config: FinetuneConfig) -> torch.optim.AdamW:
    """AdamW over the free weights; biases and norms do not decay."""
    free = {name: p for name, p in model.named_parameters() if p.requires_grad}
    adapters = [p for name, p in free.items() if ".lora_" in name]
    whole = [p for name, p in free.items() if ".lora_" not in name]
    decay = config.weight_decay
    groups = [
        {"params": [p for p in whole if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in whole if p.ndim < 2], "weight_decay": 0.0},
        {"params": adapters, "weight_decay": decay, "lr": config.lr * ADAPTER_LR},
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


def pick_precision(config: FinetuneConfig, device: torch.device) -> str:
    """The precision ``auto`` stands for on ``device``; ConfigError for one that does not work there."""
    setting = config.precision
    if setting == "auto":
        if device.type != "cuda":
            return "fp32"
        setting = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if setting in ("fp16", "tf32") and device.type != "cuda":
        raise ConfigError(f"finetune.precision = {setting} needs a CUDA GPU; use auto, fp32 or bf16")
    if setting == "fp16" and config.sharding == "full":  # each rank would scale by what its share shows
        raise ConfigError("finetune.sharding = full does not go with fp16; set finetune.precision to fp32")
    return setting


def precision_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast region of a forward pass."""
    if precision in ("fp32", "tf32"):
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Let matrix products of float32 use the tensor cores while the block runs, for ``tf32``."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
