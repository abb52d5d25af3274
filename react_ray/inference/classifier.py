"""A trained classifier loaded from disk: texts in, labels and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from react_ray.errors import InputError
from react_ray.folders import model_folder, unchanged
from react_ray.inference.prediction import Prediction, rank
from react_ray.models import tokens
from react_ray.models.batching import token_batches
from react_ray.models.device import pick_device
from react_ray.models.folder import check_classifier
from react_ray.models.folder import label_names as names_in
from react_ray.models.pretrained import (
    TRIED_TEXTS,
    check_pair,
    load_tokenizer,
    load_weights,
    longest_text,
    padding_side,
    set_padding,
)
from react_ray.models.tokens import Side

__all__ = ["Classifier", "label_names", "load", "model_folder"]

BATCH_TOKENS = 4096


class Classifier:
    """A saved model with its tokenizer, on one device; safe to share between threads."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.truncation_side: Side = "left" if tokenizer.truncation_side == "left" else "right"
        self.labels: list[str] = label_names(model)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at ``max_length``."""
        return tokens.encode(self.tokenizer, texts, self.max_length)

    def reach(self, text: str) -> int:
        """How many characters of ``text`` lie before the end of its last token, cut at ``max_length``."""
        if not self.tokenizer.is_fast:  # it does not tell where its tokens are
            return len(text)
        encoded = self.tokenizer(
            text, truncation=True, max_length=self.max_length, return_offsets_mapping=True
        )
        return max((end for _, end in encoded["offset_mapping"]), default=0)

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        """Probabilities of encoded texts (n x labels, in the order of ``labels``)."""
        logits = _logits(self.model, encoded)
        return torch.softmax(torch.from_numpy(logits), dim=1).numpy()

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities, one row a text, one column a label in the order of ``labels``."""
        return self.probabilities(self.encode(texts))

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The most probable label of each text."""
        return [ranking[0] for ranking in self.rank(texts, top=1)]

    def rank(self, texts: Sequence[str], top: int | None = None) -> list[list[Prediction]]:
        """The labels of each text, best first, at most ``top`` of them."""
        return [rank(row, self.labels, top) for row in self.predict_proba(texts)]


def load(path: str | Path, use_gpu: bool = True, version: str | None = None) -> Classifier:
    """Load a run's folder, the ``model/`` inside it, or any sequence classifier.

    Raises InputError when there is no model at ``path``, one that is not whole or without a trained head,
    or one that is not of ``version``, where that is given.
    """
    folder = model_folder(path)
    check_classifier(folder)
    with unchanged(folder, version):
        model = load_weights(AutoModelForSequenceClassification, str(folder), lambda *_: False)
        tokenizer = load_tokenizer(str(folder))
    check_pair(model, tokenizer, str(folder))
    set_padding(model, tokenizer)
    model.to(pick_device(use_gpu))  # type: ignore[arg-type]
    classifier = Classifier(model, tokenizer, longest_text(model, tokenizer))
    _try(classifier, folder)
    return classifier


def _try(classifier: Classifier, folder: Path) -> None:
    """Raise InputError where the model gives no scores for a text, whatever the reason."""
    try:
        scores = classifier.predict_proba(TRIED_TEXTS)
    except Exception as error:  # of many kinds, for what may be wrong with a model
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder}: the model fails on a text: {reason}") from error
    if not np.isfinite(scores).all():
        raise InputError(f"{folder}: the model gives scores that are not finite: its weights are damaged")


def label_names(model: PreTrainedModel) -> list[str]:
    """Label of each output column, from the model's configuration."""
    return names_in({"id2label": model.config.id2label})


def _logits(model: PreTrainedModel, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
    logits = np.empty((len(encoded), len(label_names(model))), dtype=np.float32)
    for batch in token_batches([len(ids) for ids in encoded], BATCH_TOKENS):
        ids, mask = tokens.pad([encoded[i] for i in batch], model.config.pad_token_id, padding_side(model))
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.no_grad():  # inference mode would leave tensors that a sharded model cannot train on
            output = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
        logits[batch] = output.float().cpu().numpy()
    return logits
