"""Text classification: one text, one of several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from react_ray.models import tokens
from react_ray.models.pooling import pools_by_mean, set_head, set_mean_layer
from react_ray.models.pretrained import load_pretrained, load_weights
from react_ray.tasks.closed import ClosedTask
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.task import Example

__all__ = ["TextClassification", "distributions"]


class TextClassification(ClosedTask):
    """One of several classes for a text: sentiment, topic, intent."""

    name = "text-classification"
    title = "text classification"

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """A sequence classifier over ``labels``; a head for other labels is replaced."""
        config = load_pretrained(AutoConfig, name)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
        config.problem_type = "single_label_classification"
        if dropout is not None:
            _set_dropout(config, dropout)
        mean = config.model_type == "bert" and pools_by_mean(name)
        if mean:
            config.num_hidden_layers += 1

        def is_new(model: PreTrainedModel, weight: str) -> bool:
            """The head is, as is a pooler that came without one, and the layer that takes the mean."""
            body = weight.startswith(f"{model.base_model_prefix}.") and "pooler" not in weight
            return not body or (mean and f".layer.{config.num_hidden_layers - 1}." in weight)

        model = load_weights(
            AutoModelForSequenceClassification,
            name,
            is_new,
            config=config,
            dtype=torch.float32,  # half precision loses small updates; autocast is for speed
        )
        if mean:
            set_mean_layer(cast(BertForSequenceClassification, model))
        return model

    def encode(
        self, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, labels: Sequence[str], max_length: int
    ) -> list[Example]:
        """Column text and, if present, label (a name or a distribution over ``labels``) and weight."""
        texts, given = rows["text"].to_pylist(), set(rows.column_names)
        ids = tokens.encode(tokenizer, texts, max_length)
        targets = distributions(rows["label"], labels) if "label" in given else [None] * len(rows)
        weights = rows["weight"].to_numpy() if "weight" in given else np.ones(len(rows))
        return [Example(i, t, float(w)) for i, t, w in zip(ids, targets, weights, strict=True)]

    def collate(
        self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Padded token ids with their mask, and distributions (n x classes)."""
        inputs = tokenizer.pad({"input_ids": [e.ids for e in examples]}, return_tensors="pt")
        targets = torch.from_numpy(np.stack([e.target for e in examples]))
        return dict(inputs), targets

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Make the model say at once what the linear classifier says (sentence encoders only)."""
        if not (isinstance(model, BertForSequenceClassification) and pools_by_mean(name)):
            return False
        set_head(model, weights, bias)
        return True


def distributions(column: pa.ChunkedArray, labels: Sequence[str]) -> NDArray[np.float32]:
    """Label column (names, or lists of probabilities) as an n x classes array."""
    if pa.types.is_list(column.type):
        numbers = column.combine_chunks().flatten().to_numpy().astype(np.float32)
        return numbers.reshape(len(column), len(labels))
    known = LabelMap(tuple(labels)).indices(column.to_pylist())
    return (known[:, None] == np.arange(len(labels))).astype(np.float32)


def _set_dropout(config: PretrainedConfig, rate: float) -> None:
    """Set every dropout; architectures have their own names (hidden_dropout_prob, resid_pdrop)."""
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, rate)
