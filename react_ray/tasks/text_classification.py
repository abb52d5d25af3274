"""Text classification: one text, one of several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from react_ray import tokens
from react_ray.classifier import label_names, predict_logits
from react_ray.labels import LabelMap
from react_ray.pretrained import load_pretrained, load_weights
from react_ray.tasks.base import Example
from react_ray.tasks.head import best_temperature, final_linear, fit_head, head_features, scale_logits
from react_ray.tasks.pooling import pools_by_mean, set_head, set_mean_layer

__all__ = ["TextClassification", "distributions"]


class TextClassification:
    """Sentiment, topic, intent: see :class:`react_ray.tasks.base.Task`."""

    name: str = "text-classification"
    columns: tuple[str, ...] = ("text", "label")
    metrics: tuple[str, ...] = ("macro_f1", "accuracy")
    augmentations: tuple[str, ...] = ("delete", "swap", "crop", "typo")

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
        """Columns text, label (a name or a distribution over ``labels``) and, if there, weight."""
        ids = tokens.encode(tokenizer, rows["text"].to_pylist(), max_length)
        targets = distributions(rows["label"], labels)
        weights = rows["weight"].to_numpy() if "weight" in rows.column_names else np.ones(len(rows))
        return [Example(i, t, float(w)) for i, t, w in zip(ids, targets, weights, strict=True)]

    def collate(
        self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Padded token ids with their mask, and distributions (n x classes)."""
        inputs = tokenizer.pad({"input_ids": [e.ids for e in examples]}, return_tensors="pt")
        targets = torch.from_numpy(np.stack([e.target for e in examples]))
        return dict(inputs), targets

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with each row's label distribution."""
        return -(targets * torch.log_softmax(output.logits.float(), dim=1)).sum(dim=1)

    def warm_start(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
    ) -> bool:
        """Fit the last layer by logistic regression (linear probing then fine-tuning).

        Kumar et al. 2022, arXiv:2202.10054: a random head's first gradients distort
        features that are good already.
        """
        head = final_linear(model)
        if head is None:
            return False
        features = head_features(model, head, tokenizer, [e.ids for e in examples])
        targets = torch.from_numpy(np.stack([e.target for e in examples]))
        fit_head(head, features, targets, torch.tensor([e.weight for e in examples]))
        return True

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Make the model say at once what the linear classifier says (sentence encoders only)."""
        if not (isinstance(model, BertForSequenceClassification) and pools_by_mean(name)):
            return False
        set_head(model, weights, bias)
        return True

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> dict[str, float]:
        """Macro-F1 over the classes that occur in ``rows``, and accuracy; 0 to 1."""
        logits, truth = self._predict(model, tokenizer, rows, max_length)
        predicted = logits.argmax(axis=1)
        present = np.unique(truth)
        macro = f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
        return {"macro_f1": float(macro), "accuracy": float(accuracy_score(truth, predicted))}

    def calibrate(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> dict[str, float]:
        """Fold the best temperature for ``rows`` into the last layer."""
        head = final_linear(model)
        if head is None:
            return {}
        temperature = best_temperature(*self._predict(model, tokenizer, rows, max_length))
        scale_logits(head, 1 / temperature)
        return {"temperature": temperature}

    def _predict(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: pa.Table, max_length: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        logits = predict_logits(model, tokenizer, rows["text"].to_pylist(), max_length)
        names = LabelMap(tuple(label_names(model)))
        return logits, names.indices(rows["label"].to_pylist())


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
