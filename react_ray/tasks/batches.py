"""Batching by length for any engine that runs the model; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.models.batching import token_batches
from react_ray.tasks.task import Example, Inputs, Outputs, Padding, Task

__all__ = ["run_batches"]


def run_batches(
    task: Task,
    examples: Sequence[Example],
    padding: Padding,
    budget: int,
    call: Callable[[Inputs], NDArray[np.float32]],
    settings: Mapping[str, Any],
) -> Outputs:
    """Compute the output of each example; ``call`` runs a batch of at most ``budget`` tokens.

    ``settings`` are those of the saved model.
    """
    outputs: Outputs = [np.zeros(0, np.float32)] * len(examples)
    for places in token_batches([task.size(example, settings) for example in examples], budget):
        batch = [examples[place] for place in places]
        batch_output = call(task.collate(batch, padding))
        for place, output in zip(places, task.split(batch_output, batch, padding), strict=True):
            outputs[place] = output
    return outputs
