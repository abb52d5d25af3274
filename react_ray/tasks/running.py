"""Inference with a model in memory on rows of a task, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from react_ray.answer import Answer
from react_ray.models.folder import label_names
from react_ray.models.pretrained import padding_side
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.batches import run_batches
from react_ray.tasks.task import Example, Inputs, Outputs, Padding, Task

__all__ = [
    "BATCH_TOKENS",
    "calibrate",
    "classes_of",
    "padding_of",
    "predict",
    "run_model",
    "settings_of",
    "settle",
]

BATCH_TOKENS = 4096


def predict(task: Task, model: PreTrainedModel, tokenizer: TextTokenizer, rows: pa.Table) -> list[Answer]:
    """Return the answers of a model in evaluation mode for ``rows``, in order."""
    labels = classes_of(task, model)
    examples = task.encode(tokenizer, rows, labels)
    return task.decode(run_model(task, model, examples), examples, rows, labels, settings_of(model))


def calibrate(
    task: Task, model: PreTrainedModel, tokenizer: TextTokenizer, rows: pa.Table
) -> dict[str, float]:
    """Calibrate the scores of the model's answers on ``rows``, in place; return the changes for the log."""
    labels = classes_of(task, model)
    examples = task.encode(tokenizer, rows, labels)
    return task.calibrate(model, run_model(task, model, examples), examples, rows, labels)


def settle(
    task: Task,
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    examples: Sequence[Example],
    unlabeled: pa.Table | None = None,
) -> dict[str, float]:
    """Calibrate without validation rows: on training ``examples`` and rows without targets."""
    unseen = [] if unlabeled is None else task.encode(tokenizer, unlabeled, classes_of(task, model))
    return task.settle(model, examples, unseen, partial(run_model, task, model))


def run_model(task: Task, model: PreTrainedModel, examples: Sequence[Example]) -> Outputs:
    """Compute the output of ``model`` for each example, in batches of similar length."""

    def call(arrays: Inputs) -> NDArray[np.float32]:
        inputs = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
        with torch.no_grad():  # inference mode would leave tensors that a sharded model cannot train on
            output: NDArray[np.float32] = task.infer(model, inputs).float().cpu().numpy()
        return output

    return run_batches(task, examples, padding_of(model), BATCH_TOKENS, call, settings_of(model))


def padding_of(model: PreTrainedModel) -> Padding:
    """Return the padding of batches for ``model``."""
    return Padding(int(model.config.pad_token_id or 0), padding_side(model))


def classes_of(task: Task, model: PreTrainedModel) -> list[str]:
    """Return the classes of ``model``, in the order of its outputs."""
    return task.classes_of(label_names({"id2label": model.config.id2label}))


def settings_of(model: PreTrainedModel) -> dict[str, Any]:
    """Return this package's settings in the configuration of a saved model, such as its task."""
    return dict(getattr(model.config, "react_ray", None) or {})
