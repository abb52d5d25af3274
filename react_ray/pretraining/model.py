"""Models for masked language modelling: from random weights, or an encoder with a new or its own head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.errors import InputError
from react_ray.models.heads import set_dropout
from react_ray.models.pretrained import check_pair, load_pretrained, load_weights

__all__ = ["MaskedTokens", "load_for_training", "load_to_adapt", "new_model"]

HEADS = {"bert": "cls", "roberta": "lm_head", "xlm-roberta": "lm_head"}
"""Attribute of the head by type of model: it can be called for the masked tokens alone."""


def new_model(tokenizer: PreTrainedTokenizerBase, config: PretrainConfig) -> PreTrainedModel:
    """Make a BERT with random weights for a vocabulary."""
    torch.manual_seed(config.seed)
    model: PreTrainedModel = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.intermediate,
            max_position_embeddings=config.max_length,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return model


def load_to_adapt(
    name: str, tokenizer: PreTrainedTokenizerBase, seed: int
) -> tuple[PreTrainedModel, list[str]]:
    """Load an encoder with a head for masked tokens; returns the model and its new weights.

    A head that the encoder lacks has random weights, and the embeddings of its tokens as output layer. Raises
    InputError if the model cannot predict masked tokens, or the tokenizer does not fit.
    """
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"{name}: its tokenizer has no mask token, so it cannot be trained by masked language modelling; "
            "give an encoder such as BERT, RoBERTa or XLM-RoBERTa, or --model none"
        )
    new: list[str] = []

    def is_new(model: PreTrainedModel, weight: str) -> bool:
        outside = not weight.startswith(f"{model.base_model_prefix}.")
        if outside:
            new.append(weight)
        return outside

    torch.manual_seed(seed)
    model = load_weights(AutoModelForMaskedLM, name, is_new, dtype=torch.float32)
    check_pair(model, tokenizer, name)
    return model, sorted(set(new))


def load_for_training(folder: Path, dropout: float) -> PreTrainedModel:
    """Load a model that :func:`new_model` or :func:`load_to_adapt` made."""
    config = load_pretrained(AutoConfig, str(folder))
    set_dropout(config, dropout)
    return load_weights(
        AutoModelForMaskedLM, str(folder), lambda *_: False, config=config, dtype=torch.float32
    )


class MaskedTokens(nn.Module):
    """Logits of a model at the masked positions alone, where its architecture allows that."""

    def __init__(self, pretrained: PreTrainedModel):
        super().__init__()
        self.pretrained = pretrained

    def forward(self, input_ids: Tensor, attention_mask: Tensor, places: Tensor) -> Tensor:
        """Return the logits (masked tokens x vocabulary) at ``places``, positions in the flat batch."""
        head = HEADS.get(self.pretrained.config.model_type)
        if head is None:
            output = self.pretrained(input_ids=input_ids, attention_mask=attention_mask)
            return output.logits.flatten(0, 1)[places]
        output = self.pretrained.base_model(input_ids=input_ids, attention_mask=attention_mask)
        hidden = output.last_hidden_state.flatten(0, 1)[places]
        return getattr(self.pretrained, head)(hidden)
