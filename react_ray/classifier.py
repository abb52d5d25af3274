"""A trained classifier loaded from disk: texts in, labels and scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from react_ray.batching import token_batches
from react_ray.errors import InputError
from react_ray.pretrained import load_pretrained, load_tokenizer
from react_ray.worker import pick_device

__all__ = ["Classifier", "Prediction", "label_names", "load", "model_folder", "predict_logits"]

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Prediction:
    """A label and the probability the model gives it, 0 to 1."""

    label: str
    score: float


class Classifier:
    """A saved model with its tokenizer, on one device; safe to share between threads."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.labels: list[str] = label_names(model)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities, one row a text, one column a label in the order of ``labels``."""
        logits = predict_logits(self.model, self.tokenizer, texts, self.max_length)
        return torch.softmax(torch.from_numpy(logits), dim=1).numpy()

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The most probable label of each text."""
        return [ranking[0] for ranking in self.rank(texts, top=1)]

    def rank(self, texts: Sequence[str], top: int | None = None) -> list[list[Prediction]]:
        """The labels of each text, best first, at most ``top`` of them."""
        probabilities = self.predict_proba(texts)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return [
            [Prediction(self.labels[i], float(row[i])) for i in best]
            for row, best in zip(probabilities, order, strict=True)
        ]


def load(path: str | Path, use_gpu: bool = True) -> Classifier:
    """Load a run's folder, the ``model/`` inside it, or any sequence classifier.

    Raises InputError when there is no model at ``path``.
    """
    folder = model_folder(path)
    model = load_pretrained(AutoModelForSequenceClassification, str(folder), use_safetensors=True)
    tokenizer = load_tokenizer(str(folder))
    longest = getattr(model.config, "max_position_embeddings", None) or 512
    return Classifier(
        model.to(pick_device(use_gpu)), tokenizer, max_length=min(tokenizer.model_max_length, longest)
    )


def model_folder(path: str | Path) -> Path:
    """The folder with config.json that ``path`` (a run, or the model itself) means."""
    given = Path(path)
    for folder in (given, given / "model"):
        if (folder / "config.json").is_file():
            return folder
    hint = "the run is not finished: give the same run command again" if given.is_dir() else "no such folder"
    raise InputError(f"{path}: no model found there ({hint})")


def label_names(model: PreTrainedModel) -> list[str]:
    """Label of each output column, from the model's configuration."""
    names = {int(index): str(name) for index, name in (model.config.id2label or {}).items()}
    return [names[index] for index in range(len(names))]


def predict_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> NDArray[np.float32]:
    """Logits of ``texts`` (n x classes), computed in length-sorted batches."""
    classes = len(label_names(model))
    if not len(texts):
        return np.zeros((0, classes), dtype=np.float32)
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    logits = np.empty((len(texts), classes), dtype=np.float32)
    for batch in token_batches([len(ids) for ids in encoded], BATCH_TOKENS):
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in batch]}, return_tensors="pt")
        with torch.inference_mode():
            output = model(**inputs.to(model.device)).logits
        logits[batch] = output.float().cpu().numpy()
    return logits
