"""Estimated cost of a run of a task that generates texts, measured with its model on a few rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import torch

from react_ray.config.settings import Config
from react_ray.data.target_texts import read_target_texts
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import Task
from react_ray.tasks.running import padding_of, run_model
from react_ray.training.batches import plan_epochs, share_budget, validation_sample_size

__all__ = ["generation_cost"]

TIMED_ROWS = 8
BACKWARD = 3.0
"""Time of a training step, relative to its forward pass."""
BYTES_A_WEIGHT = 16
"""Bytes of a weight, its gradient and its state of AdamW."""
BASE_GB = 1.0


def generation_cost(
    config: Config, task: Task, rows: pa.Table, parts: dict[str, int], model: str, cut: dict[str, float]
) -> dict[str, float]:
    """Estimate the cost of training on all ``parts``, and of the answers for their rows.

    ``rows`` is a sample with the task's inputs, ``cut`` says what is too long for the model. An answer is
    taken to be as long as its input.
    """
    network = task.load_model(model, ()).eval()
    tokenizer = load_tokenizer(model)
    task.configure(network, tokenizer, task.settings(config.generation))
    texts = TransformersTokenizer(tokenizer, config.finetune.max_length)
    examples = task.encode(texts, rows, ())
    pairs = [replace(example, target=example.ids) for example in examples]
    tokens = sum(task.size(pair) for pair in pairs) / max(1, len(pairs))
    few = examples[:TIMED_ROWS]
    inputs = task.collate(pairs[:TIMED_ROWS], padding_of(network))
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.no_grad():
        forward = _seconds(lambda: network(**task.model_inputs(network, tensors))) / len(few)
        answer = _seconds(lambda: run_model(task, network, few)) / len(few)
    proposed = min(config.candidates.rows, parts["unlabeled"])
    back = len(read_target_texts(config.data, task, config.candidates.rows))
    trained = [parts["labeled"]]
    trained += [parts["labeled"]] if back else []  # the reverse model
    trained += [parts["labeled"] + proposed + back] if proposed or back else []
    settings = share_budget(config.finetune, len(trained))
    passes = sum(count * plan_epochs(count, tokens, settings) for count in trained if count)
    rounds = config.finetune.evaluations * validation_sample_size(parts["validation"], task.validation_rows)
    answered = len(trained) * (rounds + parts["validation"] + parts["test"]) + proposed + back
    return {
        **cut,
        "encode_tokens": 0.0,
        "tokens_per_second": tokens / forward,
        "tokens_per_row": tokens,
        "encode_minutes": 0.0,
        "training_steps": passes / config.finetune.batch_size,
        "label_minutes": (proposed + back) * answer / 60,
        "minutes": (passes * BACKWARD * forward + answered * answer) / 60,
        "memory_gb": BASE_GB + BYTES_A_WEIGHT * sum(p.numel() for p in network.parameters()) / 1e9,
    }


def _seconds(call: Callable[[], object]) -> float:
    """Measure a call after a warm-up."""
    call()
    started = time.monotonic()
    call()
    return time.monotonic() - started
