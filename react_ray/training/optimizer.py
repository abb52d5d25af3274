"""Optimization: frozen weights, AdamW, learning rate schedule and precision."""

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
    "pick_precision",
    "precision_context",
    "tf32_matmul",
]

ADAPTER_LR = 10.0
"""Relative learning rate of adapters (Biderman et al. 2024, arXiv:2405.09673)."""


def freeze(model: PreTrainedModel, setting: str | int) -> None:
    """Freeze nothing, the embeddings, the complete encoder, or the embeddings and the lowest N layers."""
    if setting == "none":
        return
    base = model.base_model
    layers = layers_of(model)
    lowest = int(setting) if isinstance(setting, int) else 0
    if lowest > len(layers):
        raise ConfigError(f"finetune.freeze = {setting}: the model has {len(layers)} layers")
    layer_of_parameter = {id(p): i for i, layer in enumerate(layers) for p in layer.parameters()}
    above_embeddings = False
    for parameter in base.parameters():  # in order of the forward pass, embeddings first
        layer = layer_of_parameter.get(id(parameter))
        above_embeddings = above_embeddings or layer is not None
        is_lowest = not above_embeddings if layer is None else layer < lowest
        if setting == "encoder" or is_lowest:
            parameter.requires_grad_(False)


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of the encoder or decoder, lowest first; empty if there are none."""
    lists = [m for m in model.base_model.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def make_optimizer(model: nn.Module, config: FinetuneConfig) -> torch.optim.AdamW:
    """Create AdamW for the trainable weights; biases and norms have no weight decay."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    adapters = [p for name, p in trainable.items() if ".lora_" in name]
    full_weights = [p for name, p in trainable.items() if ".lora_" not in name]
    decay = config.weight_decay
    groups = [
        {"params": [p for p in full_weights if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in full_weights if p.ndim < 2], "weight_decay": 0.0},
        {"params": adapters, "weight_decay": decay, "lr": config.lr * ADAPTER_LR},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: float) -> LambdaLR:
    """Create a schedule with linear warmup over a share ``warmup`` of ``steps``, then linear decay."""
    warmup_steps = math.ceil(steps * warmup)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return max(0.0, (steps - step) / max(1, steps - warmup_steps))

    return LambdaLR(optimizer, factor)


def pick_precision(config: FinetuneConfig, device: torch.device) -> str:
    """Resolve the precision for ``device``. Raises ConfigError if the device does not support it."""
    setting = config.precision
    if setting == "auto":
        if device.type != "cuda":
            return "fp32"
        setting = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if setting in ("fp16", "tf32") and device.type != "cuda":
        raise ConfigError(f"finetune.precision = {setting} needs a CUDA GPU; use auto, fp32 or bf16")
    if setting == "fp16" and config.sharding == "full":  # each rank would compute its own loss scale
        raise ConfigError("finetune.sharding = full does not support fp16; set finetune.precision to fp32")
    return setting


def precision_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context of a forward pass."""
    if precision in ("fp32", "tf32"):
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def tf32_matmul(precision: str) -> Iterator[None]:
    """Context manager: enable TF32 matrix multiplication if ``precision`` is ``tf32``."""
    previous = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else previous)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(previous)
