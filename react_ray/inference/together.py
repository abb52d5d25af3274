"""Several classifiers of the same texts; an encoder that all of them share runs once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from react_ray.errors import InputError
from react_ray.inference.classifier import Classifier, load
from react_ray.inference.inputs import parts_of
from react_ray.inference.prediction import Prediction
from react_ray.inference.saved import Input
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks.batches import run_batches
from react_ray.tasks.running import BATCH_TOKENS
from react_ray.tasks.task import Example, Inputs, Outputs

__all__ = ["ClassifierGroup", "load_together"]


class ClassifierGroup:
    """Classifiers that answer the same texts; made by :func:`load_together`.

    Attributes
    ----------
    models
        The classifiers, each with one label as its answer.
    shared
        Whether all have the same encoder, with the same weights and tokenizer, which runs once then. So it is
        with models that were trained from one pretrained model with ``finetune.freeze=encoder``.

    Example
    -------
    >>> import react_ray
    >>> group = react_ray.load_together(["out/sentiment", "out/topic"])  # doctest: +SKIP
    >>> sentiments, topics = group.predict(["The parcel is late"])  # doctest: +SKIP
    """

    def __init__(self, models: Sequence[Classifier]):
        self.models = list(models)
        first = self.models[0]
        self.shared = len(self.models) > 1 and all(_same_encoder(first, model) for model in self.models[1:])
        if self.shared:
            self._encoder = _EncodeOnce(first.model.base_model)
            for model in self.models:
                setattr(model.model, model.model.base_model_prefix, self._encoder)

    def predict(self, inputs: Sequence[Input]) -> list[list[Prediction]]:
        """Return the most probable label of each input, a list for each model; InputError as Classifier."""
        if not self.shared:
            return [model.predict(inputs) for model in self.models]
        first, results = self.models[0], [list[Prediction]() for _ in self.models]
        for rows in parts_of(first.task, first.rows(inputs)):
            examples = first.examples(rows)
            for model, outputs, predictions in zip(self.models, self._run(examples), results, strict=True):
                answers = model.decode(outputs, examples, rows, 1)
                predictions += [Prediction(answer.value, answer.score) for answer in answers]
        return results

    def _run(self, examples: Sequence[Example]) -> list[Outputs]:
        """Return the outputs of each model; each batch is encoded once."""
        first = self.models[0]

        def call(arrays: Inputs) -> NDArray[np.float32]:
            inputs = {name: torch.from_numpy(array).to(first.model.device) for name, array in arrays.items()}
            with torch.inference_mode(), self._encoder:
                outputs = [model.task.infer(model.model, inputs) for model in self.models]
            logits: NDArray[np.float32] = torch.cat(outputs, -1).float().cpu().numpy()
            return logits

        joint = run_batches(first.task, examples, first.padding, BATCH_TOKENS, call, first.settings)
        ends = np.cumsum([len(model.labels) for model in self.models])[:-1]
        return [list(outputs) for outputs in zip(*(np.split(output, ends) for output in joint), strict=True)]


def load_together(paths: Sequence[str | Path], use_gpu: bool = True) -> ClassifierGroup:
    """Load classifiers of the same texts, each as :func:`load` does.

    Raises InputError as :func:`load`, and for a model that gives no single label.

    Example
    -------
    >>> import react_ray
    >>> react_ray.load_together(["out/sentiment", "out/topic"]).shared  # doctest: +SKIP
    False
    """
    models = []
    for path in paths:
        model = load(path, use_gpu)
        if model.task.answers != "label":
            raise InputError(f"{path}: a model for {model.task.title}; expected one that gives a label")
        models.append(model)
    return ClassifierGroup(models)


class _EncodeOnce(nn.Module):
    """Encoder that, in its ``with`` block, gives the last output again for the same tensors."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self._last: tuple[list[Any], Any] | None = None

    def forward(self, *positional: Any, **named: Any) -> Any:
        """Encode a batch."""
        arguments = [*positional, *(part for item in sorted(named.items()) for part in item)]
        if self._last is None or not _identical(self._last[0], arguments):
            self._last = arguments, self.encoder(*positional, **named)
        return self._last[1]

    def __enter__(self) -> None:
        self._last = None

    def __exit__(self, *_: object) -> None:
        self._last = None


def _identical(arguments: Sequence[Any], earlier_arguments: Sequence[Any]) -> bool:
    """Return whether all arguments are the same tensors, or equal numbers and names."""
    return len(arguments) == len(earlier_arguments) and all(
        argument is earlier or (isinstance(argument, str | int | float) and argument == earlier)
        for argument, earlier in zip(arguments, earlier_arguments, strict=True)
    )


def _texts(tokenizer: TransformersTokenizer) -> tuple[Any, ...]:
    """Return all that the token ids of a text depend on."""
    wrapped = tokenizer.tokenizer
    content = wrapped.backend_tokenizer.to_str() if wrapped.is_fast else wrapped.get_vocab()
    limits = (tokenizer.max_length, tokenizer.most_windows, tokenizer.side, tokenizer.prefix)
    return content, type(wrapped), tokenizer.reads_types, *limits


def _same_encoder(first: Classifier, second: Classifier) -> bool:
    """Return whether both models make the same features of any text."""
    if type(first.task) is not type(second.task) or type(first.model) is not type(second.model):
        return False
    if first.model.base_model is first.model:  # it has no head apart
        return False
    if _texts(first.tokenizer) != _texts(second.tokenizer) or first.padding != second.padding:
        return False
    weights, other_weights = first.model.base_model.state_dict(), second.model.base_model.state_dict()
    return weights.keys() == other_weights.keys() and all(
        torch.equal(weights[name], other_weights[name]) for name in weights
    )
