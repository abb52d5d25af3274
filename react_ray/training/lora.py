"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685): few weights trained, the others as they are.

An adapter starts as a change of nothing. So a head fitted to the frozen features is as
right with adapters as without, and the head is trained whole beside them.
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
"""How much an adapter's product counts, for any rank (alpha over rank)."""


def add_adapters(model: PreTrainedModel, config: FinetuneConfig) -> Any:
    """Put adapters of ``lora_rank`` beside linear layers, in place; what :func:`merge_adapters` takes.

    Layers that are frozen get none; all other weights of the base are frozen from now on.
    Raises ConfigError where peft is not installed, or no layer is left to adapt.
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
    """The plain model again, each adapter added to the weights it stood beside."""
    model: PreTrainedModel = adapted.merge_and_unload()
    return model


def _targets(model: PreTrainedModel, config: FinetuneConfig) -> list[str]:
    """Names of the linear layers to adapt."""
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
            "layer to adapt: freeze less, or set lora_rank to 0"
        )
    return linear


def _default_targets(model: PreTrainedModel) -> list[str]:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    kind = model.config.model_type
    if kind not in KNOWN:
        raise ConfigError(
            f"finetune.lora_targets = default: peft names no layers for {kind}; set it to all-linear"
        )
    return list(KNOWN[kind])
