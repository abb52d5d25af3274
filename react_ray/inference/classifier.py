"""A trained model loaded from disk, for inference with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from react_ray.errors import InputError
from react_ray.folders import model_folder, unchanged
from react_ray.inference.folder import check_saved
from react_ray.inference.inputs import rows_taken
from react_ray.inference.saved import PROBE_TOKENS, SavedModel
from react_ray.models.device import pick_device
from react_ray.models.pretrained import (
    TRIED_TEXTS,
    check_pair,
    load_tokenizer,
    load_weights,
    longest_text,
    set_padding,
)
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import DEFAULT_TASK, get_task
from react_ray.tasks.batches import run_batches
from react_ray.tasks.running import BATCH_TOKENS, classes_of, padding_of, run_model, settings_of
from react_ray.tasks.task import Example, Inputs, Outputs, Task
from react_ray.tasks.windows import saved_windows

__all__ = ["Classifier", "load", "model_folder"]


class Classifier(SavedModel):
    """A saved model on one device, returned by :func:`load`.

    Example
    -------
    >>> import react_ray
    >>> classifier = react_ray.load("out")  # doctest: +SKIP
    >>> classifier.predict(["Rain before noon"])  # doctest: +SKIP
    [[Prediction(label='weather', score=0.93), Prediction(label='sports', score=0.07)]]
    """

    tokenizer: TransformersTokenizer

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        task: Task | None = None,
    ):
        task = task or get_task(DEFAULT_TASK)
        settings = settings_of(model)
        prefix, windows = str(settings.get("prefix", "")), saved_windows(settings)
        texts = TransformersTokenizer(tokenizer, max_length, prefix, windows)
        super().__init__(task, classes_of(task, model), settings, texts, padding_of(model))
        self.model = model.eval()

    def run(self, examples: Sequence[Example]) -> Outputs:
        """Compute the output of each example, in batches of similar length."""
        if self.task.generates:
            return self._generate(examples)
        return run_model(self.task, self.model, examples)

    def generate(self, examples: Sequence[Example], limit: int) -> Outputs:
        """Compute the outputs as :meth:`run`, generating at most ``limit`` tokens for each example."""
        return self._generate(examples, limit=limit)

    def stream(
        self, example: Example, emit: Callable[[int], bool], limit: int | None = None
    ) -> NDArray[np.float32]:
        """Compute the output of an example by greedy search; ``emit`` gets each token as it is generated."""
        return self._generate([example], limit=limit, emit=emit)[0]

    def _generate(self, examples: Sequence[Example], **options: Any) -> Outputs:
        if not self.task.generates:
            raise InputError(f"a model for {self.task.title} generates no texts")
        from react_ray.models.seq2seq import generate

        def call(arrays: Inputs) -> NDArray[np.float32]:
            inputs = {name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()}
            with torch.inference_mode():
                output = generate(self.model, inputs, step=self.progress.add, **options)
            array: NDArray[np.float32] = output.cpu().numpy()
            return array

        return run_batches(self.task, examples, self.padding, BATCH_TOKENS, call, self.settings)


def load(path: str | Path, use_gpu: bool = True, version: str | None = None) -> Classifier:
    """Load a run's folder, the ``model/`` inside it, or any model that transformers saved for a known task.

    Raises InputError if there is no model at ``path``, if it is incomplete or has no trained head, or if it
    is not the expected ``version``.

    Example
    -------
    >>> import react_ray
    >>> classifier = react_ray.load("out", use_gpu=False)  # doctest: +SKIP
    """
    folder = model_folder(path)
    task = check_saved(folder)
    with unchanged(folder, version):
        auto = getattr(transformers, task.auto_model)
        model = load_weights(auto, str(folder), lambda *_: False)
        tokenizer = load_tokenizer(str(folder))
    check_pair(model, tokenizer, str(folder))
    set_padding(model, tokenizer)
    task.configure(model, tokenizer, settings_of(model))
    model.to(pick_device(use_gpu))  # type: ignore[arg-type]
    classifier = Classifier(model, tokenizer, longest_text(model, tokenizer), task)
    _try(classifier, folder)
    return classifier


def _try(classifier: Classifier, folder: Path) -> None:
    """Raise InputError if the model cannot compute finite scores for a text."""
    rows = rows_taken(classifier.task, TRIED_TEXTS)
    if not rows:  # a text alone is no input
        return
    try:
        examples = classifier.examples(classifier.rows(rows))
        generates = classifier.task.generates
        outputs = classifier.generate(examples, PROBE_TOKENS) if generates else classifier.run(examples)
    except Exception as error:  # of many kinds, for what may be wrong with a model
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder}: the model fails on a text: {reason}") from error
    if not all(np.isfinite(output).all() for output in outputs):
        raise InputError(f"{folder}: the model gives scores that are not finite: its weights are damaged")
