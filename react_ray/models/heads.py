"""Pretrained models with a new head: sequence and token classifiers that transformers can load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from react_ray.models.pooling import pools_by_mean, set_head, set_mean_layer
from react_ray.models.pretrained import load_pretrained, load_weights

__all__ = [
    "load_question_answerer",
    "load_sequence_classifier",
    "load_token_classifier",
    "set_dropout",
    "start_from",
]


def load_sequence_classifier(
    name: str, labels: Sequence[str], dropout: float | None, problem: str, *, pool: bool = True
) -> PreTrainedModel:
    """Load a sequence classifier for ``labels``; a head for other labels is replaced.

    ``problem`` is the ``problem_type`` of transformers. With ``pool``, sentence encoders keep their mean
    pooling.
    """
    config = _load_config(name, labels, dropout)
    config.problem_type = problem  # type: ignore[assignment]
    mean_pooling = pool and config.model_type == "bert" and pools_by_mean(name)
    if mean_pooling:
        config.num_hidden_layers += 1

    def is_new(model: PreTrainedModel, weight: str) -> bool:
        """Whether the weight is new: that of the head, of a missing pooler, or of the mean layer."""
        body = weight.startswith(f"{model.base_model_prefix}.") and "pooler" not in weight
        return not body or (mean_pooling and f".layer.{config.num_hidden_layers - 1}." in weight)

    model = _load(AutoModelForSequenceClassification, name, is_new, config)
    if mean_pooling:
        set_mean_layer(cast(BertForSequenceClassification, model))
    return model


def load_token_classifier(name: str, labels: Sequence[str], dropout: float | None) -> PreTrainedModel:
    """Load a token classifier for ``labels``; a head for other labels is replaced."""
    return _load(AutoModelForTokenClassification, name, _is_outside, _load_config(name, labels, dropout))


def load_question_answerer(name: str, outputs: Sequence[str], dropout: float | None) -> PreTrainedModel:
    """Load a model with a logit for the start and one for the end of an answer at each token."""
    return _load(AutoModelForQuestionAnswering, name, _is_outside, _load_config(name, outputs, dropout))


def start_from(model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor) -> bool:
    """Initialize the head from a linear classifier of the model's sentence embeddings.

    ``weights`` is K x d, ``bias`` K. Returns False if the head does not use sentence embeddings.
    """
    if not (isinstance(model, BertForSequenceClassification) and pools_by_mean(name)):
        return False
    set_head(model, weights, bias)
    return True


def _is_outside(model: PreTrainedModel, weight: str) -> bool:
    """Whether a weight is not part of the encoder: it may be new."""
    return not weight.startswith(f"{model.base_model_prefix}.") or "pooler" in weight


def _load_config(name: str, labels: Sequence[str], dropout: float | None) -> PretrainedConfig:
    config: PretrainedConfig = load_pretrained(AutoConfig, name)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    if dropout is not None:
        set_dropout(config, dropout)
    return config


def _load(
    auto: Any, name: str, is_new: Callable[[PreTrainedModel, str], bool], config: PretrainedConfig
) -> PreTrainedModel:
    # in full precision, because small updates are lost in half precision; autocast provides the speed
    return load_weights(auto, name, is_new, config=config, dtype=torch.float32)


def set_dropout(config: PretrainedConfig, rate: float) -> None:
    """Set all dropout rates, whose names depend on the architecture (hidden_dropout_prob, resid_pdrop).

    Those of whole layers (encoder_layerdrop) stay as they are.
    """
    for key, value in config.to_dict().items():
        if "drop" in key and "layerdrop" not in key and isinstance(value, float):
            setattr(config, key, rate)
