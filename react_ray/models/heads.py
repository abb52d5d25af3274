"""Pretrained models with a new head: sequence and token classifiers that plain transformers loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from react_ray.models.pooling import pools_by_mean, set_head, set_mean_layer
from react_ray.models.pretrained import load_pretrained, load_weights

__all__ = ["load_sequence_classifier", "load_token_classifier", "start_from"]


def load_sequence_classifier(
    name: str, labels: Sequence[str], dropout: float | None, problem: str, *, pool: bool = True
) -> PreTrainedModel:
    """A sequence classifier over ``labels``; a head for other labels is replaced.

    ``problem`` is transformers' ``problem_type``. With ``pool``, sentence encoders keep their mean pooling.
    """
    config = _configured(name, labels, dropout)
    config.problem_type = problem  # type: ignore[assignment]
    mean = pool and config.model_type == "bert" and pools_by_mean(name)
    if mean:
        config.num_hidden_layers += 1

    def is_new(model: PreTrainedModel, weight: str) -> bool:
        """The head is, as is a pooler that came without one, and the layer that takes the mean."""
        body = weight.startswith(f"{model.base_model_prefix}.") and "pooler" not in weight
        return not body or (mean and f".layer.{config.num_hidden_layers - 1}." in weight)

    model = _load(AutoModelForSequenceClassification, name, is_new, config)
    if mean:
        set_mean_layer(cast(BertForSequenceClassification, model))
    return model


def load_token_classifier(name: str, labels: Sequence[str], dropout: float | None) -> PreTrainedModel:
    """A token classifier over ``labels``; a head for other labels is replaced."""
    config = _configured(name, labels, dropout)

    def is_new(model: PreTrainedModel, weight: str) -> bool:
        return not weight.startswith(f"{model.base_model_prefix}.") or "pooler" in weight

    return _load(AutoModelForTokenClassification, name, is_new, config)


def start_from(model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor) -> bool:
    """Initialize the model so that it computes a linear classifier of its sentence features.

    ``weights`` K x d, ``bias`` K; False where the head does not read those features.
    """
    if not (isinstance(model, BertForSequenceClassification) and pools_by_mean(name)):
        return False
    set_head(model, weights, bias)
    return True


def _configured(name: str, labels: Sequence[str], dropout: float | None) -> PretrainedConfig:
    config: PretrainedConfig = load_pretrained(AutoConfig, name)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    if dropout is not None:
        _set_dropout(config, dropout)
    return config


def _load(
    auto: Any, name: str, is_new: Callable[[PreTrainedModel, str], bool], config: PretrainedConfig
) -> PreTrainedModel:
    # in full precision: half loses small updates, and autocast is for speed
    return load_weights(auto, name, is_new, config=config, dtype=torch.float32)


def _set_dropout(config: PretrainedConfig, rate: float) -> None:
    """Set every dropout; architectures have their own names (hidden_dropout_prob, resid_pdrop)."""
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, rate)
