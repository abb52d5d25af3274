"""A trained classifier loaded from disk: texts in, labels and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from react_ray.batching import token_batches
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.prediction import Prediction, rank
from react_ray.pretrained import load_pretrained, load_tokenizer, longest_text
from react_ray.tokenization import Side
from react_ray.worker import pick_device

__all__ = ["Classifier", "label_names", "load", "model_folder", "predict_logits"]

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
        return _encode(self.tokenizer, texts, self.max_length)

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
        logits = _logits(self.model, self.tokenizer, encoded)
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


def load(path: str | Path, use_gpu: bool = True) -> Classifier:
    """Load a run's folder, the ``model/`` inside it, or any sequence classifier.

    Raises InputError when there is no model at ``path``, or one without a trained head.
    """
    folder = model_folder(path)
    model, loading = load_pretrained(
        AutoModelForSequenceClassification, str(folder), use_safetensors=True, output_loading_info=True
    )
    if loading["missing_keys"]:  # transformers fills these in at random, with a warning only
        raise InputError(
            f"{folder} is not a trained classifier: its weights lack "
            f"{', '.join(sorted(loading['missing_keys']))}. Give the folder of a finished run."
        )
    tokenizer = load_tokenizer(str(folder))
    if model.config.pad_token_id is None:  # decoders find the last real token by it
        model.config.pad_token_id = tokenizer.pad_token_id
    return Classifier(model.to(pick_device(use_gpu)), tokenizer, max_length=longest_text(model, tokenizer))


def label_names(model: PreTrainedModel) -> list[str]:
    """Label of each output column, from the model's configuration."""
    names = {int(index): str(name) for index, name in (model.config.id2label or {}).items()}
    return [names[index] for index in range(len(names))]


def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> NDArray[np.float32]:
    """Logits of ``texts`` (n x classes), computed in length-sorted batches."""
    return _logits(model, tokenizer, _encode(tokenizer, texts, max_length))


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    if not len(texts):
        return []
    return tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]


def _logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoded: Sequence[list[int]]
) -> NDArray[np.float32]:
    logits = np.empty((len(encoded), len(label_names(model))), dtype=np.float32)
    for batch in token_batches([len(ids) for ids in encoded], BATCH_TOKENS):
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in batch]}, return_tensors="pt")
        with torch.no_grad():  # inference mode would leave tensors that a sharded model cannot train on
            output = model(**inputs.to(model.device)).logits
        logits[batch] = output.float().cpu().numpy()
    return logits
