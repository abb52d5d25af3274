"""Training loop for fine-tuning on weighted rows (S5), for one or more workers.

The loss is L2 of docs/method.md: the weighted mean over the global batch. All randomness is a function of
(seed, step), so that a killed run resumes with the same result.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import TrainingError
from react_ray.models.pretrained import load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import DEFAULT_TASK, Example, get_task
from react_ray.tasks.running import calibrate, classes_of, padding_of, predict, settings_of, settle
from react_ray.training.batches import (
    MAX_VALIDATION,
    MicroBatch,
    draw_rows,
    epoch_batches,
    plan_epochs,
    read_rows,
    read_validation,
    split_batch,
)
from react_ray.training.optimizer import (
    make_optimizer,
    make_schedule,
    pick_precision,
    precision_context,
    tf32_matmul,
)
from react_ray.training.parallel import copy_to_ranks, is_sharded, unsynced, writable
from react_ray.training.recipe import BuiltModel, Recipe
from react_ray.training.state import Progress, Snapshot, restore, set_weights, trained_weights
from react_ray.training.worker import Worker, checkpoint_to_load

__all__ = ["loop"]

WARM_START_TOKENS = 30_000
"""Tokens for the initialization of the head: about 7 s on a CPU core, and enough for a linear fit."""
SAVE_INTERVAL_S = 600
"""Seconds between checkpoints: the most that is lost by a kill or a change in the number of workers."""
LOG_STEPS = 10
"""Steps between log entries; the logged loss is their mean."""
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
    run = _Run(worker, recipe, train)
    with tf32_matmul(run.precision):
        if checkpoint:
            run.load(checkpoint)
        elif run.config.head_start and run.calls_model:
            run.start_head(model, probe)
        run.train(validation_rows)
        run.finish(validation_rows, read_rows(unlabeled, task_interface) if unlabeled else None)


class _Run:
    """Model, data and optimizer of a training run on one worker."""

    def __init__(self, worker: Worker, recipe: Recipe, train: str):
        task, config = recipe.task, recipe.config
        self.worker, self.task, self.config, self.seed = worker, task, config, recipe.seed
        self.metric = config.metric or task.training_metric
        self.precision = pick_precision(config, worker.device)
        self.tokenizer, self.recipe = recipe.tokenizer, recipe
        built = self.recipe.build(worker)
        self.model, self.adapted = built.model, built.adapted
        self.sharded = is_sharded(self.model)
        self.padding = padding_of(self.model)
        self.tokenizer.padding_side = self.padding.side
        longest = longest_text(self.model, self.tokenizer, config.max_length)
        self.tokenizer.model_max_length = longest
        prefix = str(settings_of(self.model).get("prefix", ""))
        self.text_tokenizer = TransformersTokenizer(self.tokenizer, longest, prefix)
        self.examples, self.steps = self._plan(read_rows(train, task), recipe.labels)
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.precision == "fp16")
        self.optimizer = make_optimizer(self.model, config)
        self.schedule = make_schedule(self.optimizer, self.steps, config.warmup)
        self.progress = Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None  # on rank 0
        self.saved_at = self.logged_at = time.monotonic()
        self.tokens = 0  # since the last log entry

    def _plan(self, rows: pa.Table, labels: Sequence[str]) -> tuple[list[Example], int]:
        sample = np.random.default_rng(self.seed).permutation(len(rows))[:LENGTH_SAMPLE]
        sample_examples = self.task.encode(self.text_tokenizer, rows.take(np.sort(sample)), labels)
        tokens = sum(len(e.ids) for e in sample_examples) / len(sample)
        epochs = plan_epochs(len(rows), tokens, self.config)
        examples = self.task.encode(self.text_tokenizer, draw_rows(rows, epochs, self.seed), labels)
        per_epoch = math.ceil(len(examples) / self.config.batch_size)
        return examples, max(1, round(max(epochs, 1.0) * per_epoch))

    @property
    def calls_model(self) -> bool:
        """Whether this rank calls the model outside of training steps: rank 0, or all ranks if sharded."""
        return self.sharded or self.worker.rank == 0

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

    def train(self, validation: pa.Table | None) -> None:
        """Run the remaining steps; stop early when the validation score no longer improves."""
        if self._is_stopped():  # the run was killed after its last evaluation
            return
        parallel = copy_to_ranks(self.model, self.worker)
        lengths = [len(e.ids) for e in self.examples]
        rounds = self.config.evaluations
        evaluation_steps = {round(self.steps * (i + 1) / rounds) for i in range(rounds)}
        batches: list[NDArray[np.int64]] = []
        per_epoch = math.ceil(len(lengths) / self.config.batch_size)
        for step in range(self.progress.step, self.steps):
            epoch, position = divmod(step, per_epoch)
            if not batches or position == 0:
                batches = epoch_batches(lengths, self.config.batch_size, self.seed, epoch)
            loss, is_checkpoint_due = self._step(parallel, batches[position], step)
            self._record_step(step + 1, loss, sum(lengths[i] for i in batches[position]))
            if step + 1 in evaluation_steps and self._evaluate(validation):
                break
            if is_checkpoint_due and step + 1 not in evaluation_steps:
                self._save_checkpoint(None)

    def _step(self, parallel: torch.nn.Module, batch: NDArray[np.int64], step: int) -> tuple[float, bool]:
        """Run a step; returns the loss of the global batch, and whether a checkpoint is due."""
        worker = self.worker
        self.model.train()
        torch.manual_seed((self.seed * 1_000_003 + step) * worker.world_size + worker.rank)  # for dropout
        total = sum(self.examples[index].weight for index in batch)
        parts = split_batch(batch, worker.rank, worker.world_size, self.config.accumulation)
        reduced = torch.zeros(2, device=worker.device)
        reduced[1] = float(worker.rank == 0 and time.monotonic() - self.saved_at > SAVE_INTERVAL_S)
        for index, part in enumerate(parts):
            with unsynced(parallel, last=index + 1 == len(parts)):
                loss = self._loss(parallel, part) / total
                self.scaler.scale(loss * worker.world_size).backward()
            reduced[0] += loss.detach()
        if worker.world_size > 1:
            torch.distributed.all_reduce(reduced)
        loss_of_batch, is_due = reduced.tolist()
        self._update(loss_of_batch, step)
        return loss_of_batch, is_due > 0

    def _loss(self, parallel: torch.nn.Module, part: MicroBatch) -> torch.Tensor:
        examples = [self.examples[i] for i in part.rows]
        inputs = self.task.collate(examples, self.padding)
        targets = torch.from_numpy(self.task.targets(examples, self.padding))
        weights = torch.tensor([e.weight if part.counts else 0.0 for e in examples])
        with precision_context(self.precision, self.worker.device):
            tensors = {key: self._to_device(torch.from_numpy(value)) for key, value in inputs.items()}
            output = parallel(**self.task.model_inputs(self.model, tensors))
        return (self.task.loss(output, self._to_device(targets)) * self._to_device(weights)).sum()

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy ``tensor`` to the worker's device, asynchronously for a GPU."""
        if self.worker.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.worker.device, non_blocking=True)

    def _update(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a smaller finetune.lr")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _record_step(self, step: int, loss: float, tokens: int) -> None:
        self.progress.step = step
        self.progress.history.append({"step": step, "loss": loss, "lr": self.schedule.get_last_lr()[0]})
        self.schedule.step()
        self.tokens += tokens
        if step % LOG_STEPS == 0 or step == self.steps:
            self._log(step)
        best = "" if self.progress.best is None else f", best {self.metric} {self.progress.best:.3f}"
        self.worker.progress(step, self.steps, f"steps, loss {loss:.3f}{best}")

    def _log(self, step: int) -> None:
        recent, now = self.progress.history[-LOG_STEPS:], time.monotonic()
        self.worker.log(
            step,
            {
                "loss": sum(entry["loss"] for entry in recent) / len(recent),
                "lr": recent[-1]["lr"],
                "tokens_per_second": self.tokens / max(now - self.logged_at, 1e-9),
            },
        )
        self.logged_at, self.tokens = now, 0

    def _evaluate(self, validation: pa.Table | None) -> bool:
        """Compute the validation score and save a checkpoint; returns whether to stop."""
        score = self._score(validation) if validation is not None and self.calls_model else None
        score = self.worker.broadcast(score)
        if score is not None:
            self.progress.history[-1][self.metric] = score
            self.worker.log(self.progress.step, {self.metric: score})
            self._update_best(score)
        if self.progress.step < self.steps:
            self._save_checkpoint(score)
        return self._is_stopped()

    def _is_stopped(self) -> bool:
        return self.progress.rounds_without_gain >= self.config.patience

    def _score(self, validation: pa.Table) -> float:
        self.model.eval()
        answers = predict(self.task, self.model, self.text_tokenizer, validation)
        labels = classes_of(self.task, self.model)
        return self.task.measure(answers, validation, labels)[self.metric]

    def _update_best(self, score: float) -> None:
        gained = self.progress.best is None or score > self.progress.best
        self.progress.rounds_without_gain = 0 if gained else self.progress.rounds_without_gain + 1
        # of equal scores, the later is used, because its learning rate is lower
        if (gained or score == self.progress.best) and self.calls_model:
            weights = trained_weights(self.model, keep=self.worker.rank == 0, copy=True)
            self.best_weights = weights if self.worker.rank == 0 else None
        self.progress.best = score if gained else self.progress.best

    def _save_checkpoint(self, score: float | None) -> None:
        """Save a checkpoint to resume from; a collective call."""
        state = {"schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict()}
        snapshot = None
        if self.calls_model:
            keep = self.worker.rank == 0
            snapshot = Snapshot.take(self.model, self.optimizer, state, keep)

        def save(folder: Path) -> None:
            assert snapshot is not None
            snapshot.save(folder, self.best_weights, self.progress)

        rounds = sum(self.metric in entry for entry in self.progress.history)
        score_entries = {} if score is None else {"best": self.progress.best, "round": rounds}
        self.worker.report({"step": self.progress.step, **score_entries}, save)
        self.saved_at = time.monotonic()

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint."""
        self.progress, state, self.best_weights = restore(
            folder, self.model, self.optimizer, keep=self.worker.rank == 0
        )
        rates = self.schedule.base_lrs  # those of the settings, which a search may have changed
        self.schedule.load_state_dict(state["schedule"] | {"base_lrs": rates})
        epoch, factors = self.schedule.last_epoch, self.schedule.lr_lambdas
        rates = [rate * factor(epoch) for rate, factor in zip(rates, factors, strict=True)]
        self.schedule._last_lr = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(state["scaler"])

    def finish(self, validation: pa.Table | None, unlabeled: pa.Table | None) -> None:
        """Calibrate the best (or last) weights, and save them in the final checkpoint."""
        if self.calls_model:
            self._calibrate(validation, unlabeled)
        weights = trained_weights(self.model, keep=self.worker.rank == 0) if self.sharded else None

        def save(folder: Path) -> None:
            plain = self.recipe.plain(BuiltModel(self.model, self.adapted), weights)
            plain.config.react_ray = self.model.config.react_ray  # with the result of calibration
            plain.save_pretrained(folder / "model", safe_serialization=True)
            self.tokenizer.save_pretrained(folder / "model")
            lines = [json.dumps(entry) for entry in self.progress.history]
            (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

        self.worker.report({"step": self.progress.step}, save)

    def _calibrate(self, validation: pa.Table | None, unlabeled: pa.Table | None) -> None:
        """Restore the best weights, and calibrate them on validation rows, or else on what there is."""
        if self.progress.best is not None:
            set_weights(self.model, self.best_weights, self.sharded)
        self.model.eval()
        if self.task.generates:
            return
        with writable(self.model):
            if validation is not None:
                results = calibrate(self.task, self.model, self.text_tokenizer, validation)
            else:
                order = np.random.default_rng(self.seed).permutation(len(self.examples))[:MAX_VALIDATION]
                sample = [self.examples[i] for i in np.sort(order)]
                results = settle(self.task, self.model, self.text_tokenizer, sample, unlabeled)
        self.progress.history[-1].update(results)
