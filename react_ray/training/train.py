"""Training loop for fine-tuning on weighted rows (S5), for one or more workers.

The loss is L2 of docs/method.md: the weighted mean over the global batch. All randomness is a function of
(seed, step), so that a killed run resumes with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import PreTrainedModel

from react_ray.config.settings import FinetuneConfig
from react_ray.models.pretrained import load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import DEFAULT_TASK, Example, get_task
from react_ray.tasks.running import calibrate, classes_of, padding_of, predict, settings_of, settle
from react_ray.tasks.windows import saved_windows
from react_ray.training.batches import (
    MAX_VALIDATION,
    MicroBatch,
    draw_rows,
    plan_epochs,
    read_rows,
    read_validation,
)
from react_ray.training.optimizer import precision_context, tf32_matmul
from react_ray.training.parallel import writable
from react_ray.training.recipe import BuiltModel, Recipe
from react_ray.training.state import trained_weights
from react_ray.training.steps import Training
from react_ray.training.worker import Worker, checkpoint_to_load

__all__ = ["loop"]

WARM_START_TOKENS = 30_000
"""Tokens for the initialization of the head: about 7 s on a CPU core, and enough for a linear fit."""
LENGTH_SAMPLE = 500
"""Rows of which the mean length is measured to plan the steps."""


def loop(
    worker: Worker,
    *,
    model: str,
    labels: Sequence[str],
    train: str,
    validation: str | None,
    config: dict[str, Any],
    seed: int = 0,
    task: str = DEFAULT_TASK,
    probe: str | None = None,
    unlabeled: str | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train a model, and save ``model/`` and ``history.jsonl`` in the last checkpoint.

    Parameters
    ----------
    model, labels, task
        Name of the pretrained model, names of the labels, and name of the task.
    train
        Parquet file or folder with inputs, target (label, or distribution over ``labels``), and optionally
        weight and origin.
    validation
        Parquet file with the task's inputs and target.
    config
        A FinetuneConfig as a dictionary.
    probe
        Safetensors file with ``weights`` (K x d) and ``bias`` (K) of a classifier of the model's frozen
        features, to initialize the head.
    unlabeled
        Parquet file with inputs that the model is not trained on, to calibrate on without validation rows.
    settings
        Settings of the task that are saved with the model.
    """
    checkpoint = checkpoint_to_load(worker)
    if checkpoint and (checkpoint / "model").is_dir():
        return
    task_interface = get_task(task)
    validation_rows = read_validation(task_interface, validation, seed) if validation else None
    parsed = FinetuneConfig.model_validate(config)
    recipe = Recipe(task_interface, model, labels, parsed, seed, load_tokenizer(model), settings or {})
    run = _Run(worker, recipe, train, validation_rows)
    with tf32_matmul(run.precision):
        if checkpoint:
            run.load(checkpoint)
        elif run.config.head_start and run.calls_model:
            run.start_head(model, probe)
        run.run()
        run.finish(read_rows(unlabeled, task_interface) if unlabeled else None)


class _Run(Training):
    """Model, data and optimizer of a training run on one worker."""

    def __init__(self, worker: Worker, recipe: Recipe, train: str, validation: pa.Table | None):
        task, config = recipe.task, recipe.config
        self.task, self.validation = task, validation
        self.tokenizer, self.recipe = recipe.tokenizer, recipe
        built = recipe.build(worker)
        self.model: PreTrainedModel = built.model
        self.adapted = built.adapted
        self.padding = padding_of(built.model)
        self.tokenizer.padding_side = self.padding.side
        longest = longest_text(built.model, self.tokenizer, config.max_length)
        self.tokenizer.model_max_length = longest
        settings = settings_of(built.model)
        prefix, windows = str(settings.get("prefix", "")), saved_windows(settings)
        self.text_tokenizer = TransformersTokenizer(self.tokenizer, longest, prefix, windows)
        self.examples, steps = self._plan(read_rows(train, task), recipe)
        self.step_tokens = task.step_tokens
        super().__init__(
            worker,
            built.model,
            config,
            lengths=[task.size(example) for example in self.examples],
            steps=steps,
            seed=recipe.seed,
            metric=config.metric or task.training_metric,
        )
        task.record(self.model, self.examples)

    def _plan(self, rows: pa.Table, recipe: Recipe) -> tuple[list[Example], int]:
        config, labels, seed = recipe.config, recipe.labels, recipe.seed
        sample = np.random.default_rng(seed).permutation(len(rows))[:LENGTH_SAMPLE]
        sample_examples = self.task.encode(self.text_tokenizer, rows.take(np.sort(sample)), labels)
        tokens = sum(self.task.size(example) for example in sample_examples) / len(sample)
        epochs = plan_epochs(len(rows), tokens, config)
        examples = self.task.encode(self.text_tokenizer, draw_rows(rows, epochs, seed), labels)
        per_epoch = math.ceil(len(examples) / config.batch_size)
        return examples, max(1, round(max(epochs, 1.0) * per_epoch))

    def start_head(self, model: str, probe: str | None) -> None:
        """Initialize the head from ``probe``, or by a linear fit to a sample of WARM_START_TOKENS tokens."""
        classifier = load_file(probe) if probe else None
        with writable(self.model):
            if classifier and self.task.start_from(
                self.model, model, classifier["weights"], classifier["bias"]
            ):
                return
            order = np.random.default_rng(self.seed).permutation(len(self.examples))
            token_counts = np.cumsum([len(self.examples[i].ids) for i in order])
            rows = order[: max(1, int((token_counts <= WARM_START_TOKENS).sum()))]
            self.task.warm_start(self.model, [self.examples[i] for i in rows], self.padding)

    def weight_of(self, batch: NDArray[np.int64], step: int) -> float:
        """Return the sum of the weights of the rows."""
        return sum(self.examples[index].weight for index in batch)

    def loss_of(self, parallel: torch.nn.Module, part: MicroBatch, step: int) -> torch.Tensor:
        """Return the sum of the losses of the rows, each times its weight."""
        examples = [self.examples[i] for i in part.rows]
        inputs = self.task.collate(examples, self.padding)
        targets = torch.from_numpy(self.task.targets(examples, self.padding))
        weights = torch.tensor([e.weight if part.counts else 0.0 for e in examples])
        with precision_context(self.precision, self.worker.device):
            tensors = {key: self.to_device(torch.from_numpy(value)) for key, value in inputs.items()}
            output = parallel(**self.task.model_inputs(self.model, tensors))
        return (self.task.loss(output, self.to_device(targets)) * self.to_device(weights)).sum()

    def score(self) -> float | None:
        """Return the metric of the validation rows."""
        if self.validation is None:
            return None
        self.model.eval()
        with self.task.quick(self.model):
            answers = predict(self.task, self.model, self.text_tokenizer, self.validation)
        labels = classes_of(self.task, self.model)
        return self.task.measure(answers, self.validation, labels)[self.metric]

    def finish(self, unlabeled: pa.Table | None) -> None:
        """Calibrate the best (or last) weights, and save them in the final checkpoint."""
        if self.calls_model:
            self._calibrate(unlabeled)
        weights = trained_weights(self.model, keep=self.worker.rank == 0) if self.sharded else None

        def save(folder: Path) -> None:
            plain = self.recipe.plain(BuiltModel(self.model, self.adapted), weights)
            plain.config.react_ray = self.model.config.react_ray  # with the result of calibration
            plain.save_pretrained(folder / "model", safe_serialization=True)
            self.tokenizer.save_pretrained(folder / "model")
            self.write_history(folder)

        self.worker.report({"step": self.progress.step}, save)

    def _calibrate(self, unlabeled: pa.Table | None) -> None:
        """Restore the best weights, and calibrate them on validation rows, or else on training rows."""
        self.restore_best()
        self.model.eval()
        if self.task.generates:
            return
        with writable(self.model):
            if self.validation is not None:
                results = calibrate(self.task, self.model, self.text_tokenizer, self.validation)
            else:
                order = np.random.default_rng(self.seed).permutation(len(self.examples))[:MAX_VALIDATION]
                sample = [self.examples[i] for i in np.sort(order)]
                results = settle(self.task, self.model, self.text_tokenizer, sample, unlabeled)
        self.progress.history[-1].update(results)
