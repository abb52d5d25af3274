"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685): only few weights are trained.

Adapters start as the identity, so a head that is fitted to frozen features is still valid. The head is
trained completely.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import ConfigError

__all__ = ["add_adapters", "merge_adapters"]

SCALE = 2
"""Scale of adapters: alpha / rank."""


def add_adapters(model: PreTrainedModel, config: FinetuneConfig) -> Any:
    """Add adapters of ``lora_rank`` to linear layers in place; returns the model for :func:`merge_adapters`.

    Frozen layers get no adapters. All weights except adapters and head become frozen. Raises ConfigError if
    peft is not installed or no layer can be adapted.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError(
            f"finetune.lora_rank = {config.lora_rank} needs peft ({error}): pip install 'react-ray[lora]', "
            "on every node of a cluster"
        ) from None
    head = {id(p) for p in model.parameters()} - {id(p) for p in model.base_model.parameters()}
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=SCALE * config.lora_rank,
        target_modules=_targets(model, config),
    )
    adapted = get_peft_model(model, settings)
    for parameter in model.parameters():
        if id(parameter) in head:
            parameter.requires_grad_(True)
    return adapted


def merge_adapters(adapted: Any) -> PreTrainedModel:
    """Return the plain model, with each adapter merged into its layer."""
    model: PreTrainedModel = adapted.merge_and_unload()
    return model


def _targets(model: PreTrainedModel, config: FinetuneConfig) -> list[str]:
    """Return the names of the linear layers to adapt."""
    base = set(model.base_model.modules())
    linear = [
        name
        for name, module in model.named_modules()
        if module in base and isinstance(module, nn.Linear | Conv1D) and module.weight.requires_grad
    ]
    if config.lora_targets == "default":
        linear = [name for name in linear if name.split(".")[-1] in _default_targets(model)]
    if not linear:
        raise ConfigError(
            f"finetune.lora_rank = {config.lora_rank} with finetune.freeze = {config.freeze} leaves no "
            "layer to adapt: freeze fewer layers, or set lora_rank to 0"
        )
    return linear


def _default_targets(model: PreTrainedModel) -> list[str]:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kind = model.config.model_type
    if kind not in KNOWN:
        raise ConfigError(
            f"finetune.lora_targets = default: peft has no default layers for {kind}; set it to all-linear"
        )
    return list(KNOWN[kind])
