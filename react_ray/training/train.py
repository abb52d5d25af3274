"""Fine-tuning on weighted rows (S5): one plain loop for one worker or many.

The loss is L2 of the method: each row's loss times its weight, divided by the sum of
weights of the global batch. What is random is a function of (seed, step), so a run
that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import TrainingError
from react_ray.models.pretrained import load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import DEFAULT_TASK, Example, Task, get_task
from react_ray.tasks.running import calibrate, classes_of, padding_of, predict, run_model
from react_ray.training.batches import (
    MicroBatch,
    draw_rows,
    epoch_batches,
    plan_epochs,
    read_rows,
    split_batch,
)
from react_ray.training.optimizer import (
    make_optimizer,
    make_schedule,
    matrix_products,
    pick_precision,
    precision_context,
)
from react_ray.training.parallel import copy_to_ranks, is_sharded, unsynced, writable
from react_ray.training.recipe import Built, Recipe
from react_ray.training.state import Progress, Snapshot, restore, set_weights, trained_weights
from react_ray.training.worker import Worker, checkpoint_to_load

__all__ = ["loop"]

MIN_VALIDATION = 30
"""Rows: with fewer, the score of a checkpoint is chance (10 rows: 14 points of standard error)."""
MAX_VALIDATION = 1000
"""Rows: 1.5 points of standard error at most; more would cost more time than training."""
WARM_START_TOKENS = 30_000
"""Tokens the head is started on: some 7 s of one core, enough for a linear fit."""
SAVE_S = 600
"""A killed run, or one whose number of workers changes, loses ten minutes at most."""
LOG_STEPS = 10
"""Steps between two figures in the log; the loss there is their mean."""
LENGTH_SAMPLE = 500
"""Rows whose mean length stands for all when steps are planned."""


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
) -> None:
    """Train, then leave ``model/`` and ``history.jsonl`` in the last checkpoint.

    ``train`` is a parquet file or folder with the inputs of the task, its target (as people gave it, or as
    a distribution over ``labels``), weight and origin (both optional); ``validation`` has inputs and targets.
    ``config`` is a FinetuneConfig as a dictionary. ``probe`` is a safetensors file with ``weights`` (K x d)
    and ``bias`` (K): a classifier of the model's own frozen features for the head to start from.
    """
    checkpoint = checkpoint_to_load(worker)
    if checkpoint and (checkpoint / "model").is_dir():
        return
    known = get_task(task)
    held_out = _read_validation(known, validation, seed) if validation else None
    run = _Run(worker, known, model, labels, train, FinetuneConfig.model_validate(config), seed)
    with matrix_products(run.precision):
        if checkpoint:
            run.load(checkpoint)
        elif run.config.head_start and run.looks:
            run.start_head(model, probe)
        run.train(held_out)
        run.finish(held_out)


class _Run:
    """Model, data and optimiser of one training run on one worker."""

    def __init__(
        self,
        worker: Worker,
        task: Task,
        model: str,
        labels: Sequence[str],
        train: str,
        config: FinetuneConfig,
        seed: int,
    ):
        self.worker, self.task, self.config, self.seed = worker, task, config, seed
        self.metric = config.metric or task.training_metric
        self.precision = pick_precision(config, worker.device)
        self.tokenizer = load_tokenizer(model)
        self.recipe = Recipe(task, model, labels, config, seed, self.tokenizer.pad_token_id)
        built = self.recipe.build(worker)
        self.model, self.adapted = built.model, built.adapted
        self.sharded = is_sharded(self.model)
        self.padding = padding_of(self.model)
        self.tokenizer.padding_side = self.padding.side
        longest = longest_text(self.model, self.tokenizer, config.max_length)
        self.tokenizer.model_max_length = longest
        self.texts = TransformersTokenizer(self.tokenizer, longest)
        self.examples, self.steps = self._plan(read_rows(train, task), labels)
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.precision == "fp16")
        self.optimizer = make_optimizer(self.model, config)
        self.schedule = make_schedule(self.optimizer, self.steps, config.warmup)
        self.at = Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None  # on rank 0
        self.saved = self.logged = time.monotonic()
        self.tokens = 0  # trained on since the last figures

    def _plan(self, rows: pa.Table, labels: Sequence[str]) -> tuple[list[Example], int]:
        sample = np.random.default_rng(self.seed).permutation(len(rows))[:LENGTH_SAMPLE]
        known = self.task.encode(self.texts, rows.take(np.sort(sample)), labels)
        tokens = sum(len(e.ids) for e in known) / len(sample)
        epochs = plan_epochs(len(rows), tokens, self.config)
        examples = self.task.encode(self.texts, draw_rows(rows, epochs, self.seed), labels)
        per_epoch = math.ceil(len(examples) / self.config.batch_size)
        return examples, max(1, round(max(epochs, 1.0) * per_epoch))

    @property
    def looks(self) -> bool:
        """Whether this rank calls the model outside of a step: rank 0, and all that hold a share of it."""
        return self.sharded or self.worker.rank == 0

    def start_head(self, model: str, probe: str | None) -> None:
        """Take over ``probe``, or fit the head to as many rows as fit in WARM_START_TOKENS."""
        known = load_file(probe) if probe else None
        with writable(self.model):
            if known and self.task.start_from(self.model, model, known["weights"], known["bias"]):
                return
            order = np.random.default_rng(self.seed).permutation(len(self.examples))
            used = np.cumsum([len(self.examples[i].ids) for i in order])
            rows = order[: max(1, int((used <= WARM_START_TOKENS).sum()))]
            self.task.warm_start(self.model, [self.examples[i] for i in rows], self.padding)

    def train(self, validation: pa.Table | None) -> None:
        """Take the steps that are left; stop early where ``validation`` no longer gains."""
        if self._stopped():  # killed between the last round and the end
            return
        parallel = copy_to_ranks(self.model, self.worker)
        lengths = [len(e.ids) for e in self.examples]
        rounds = self.config.evaluations
        marks = {round(self.steps * (i + 1) / rounds) for i in range(rounds)}
        batches: list[NDArray[np.int64]] = []
        per_epoch = math.ceil(len(lengths) / self.config.batch_size)
        for step in range(self.at.step, self.steps):
            epoch, position = divmod(step, per_epoch)
            if not batches or position == 0:
                batches = epoch_batches(lengths, self.config.batch_size, self.seed, epoch)
            loss, late = self._step(parallel, batches[position], step)
            self._note(step + 1, loss, sum(lengths[i] for i in batches[position]))
            if step + 1 in marks and self._round_ends(validation):
                break
            if late and step + 1 not in marks:
                self._keep(None)

    def _step(self, parallel: torch.nn.Module, batch: NDArray[np.int64], step: int) -> tuple[float, bool]:
        """One update; the loss of the global batch, and whether a checkpoint is due on rank 0."""
        worker = self.worker
        self.model.train()
        torch.manual_seed((self.seed * 1_000_003 + step) * worker.world_size + worker.rank)  # for dropout
        total = sum(self.examples[i].weight for i in batch)
        parts = split_batch(batch, worker.rank, worker.world_size, self.config.accumulation)
        share = torch.zeros(2, device=worker.device)
        share[1] = float(worker.rank == 0 and time.monotonic() - self.saved > SAVE_S)
        for i, part in enumerate(parts):
            with unsynced(parallel, last=i + 1 == len(parts)):
                loss = self._loss(parallel, part) / total
                self.scaler.scale(loss * worker.world_size).backward()
            share[0] += loss.detach()
        if worker.world_size > 1:
            torch.distributed.all_reduce(share)
        loss_of_batch, late = share.tolist()
        self._update(loss_of_batch, step)
        return loss_of_batch, late > 0

    def _loss(self, parallel: torch.nn.Module, part: MicroBatch) -> torch.Tensor:
        examples = [self.examples[i] for i in part.rows]
        inputs = self.task.collate(examples, self.padding)
        targets = torch.from_numpy(self.task.targets(examples, self.padding))
        weights = torch.tensor([e.weight if part.counts else 0.0 for e in examples])
        with precision_context(self.precision, self.worker.device):
            output = parallel(**{key: self._there(torch.from_numpy(value)) for key, value in inputs.items()})
        return (self.task.loss(output, self._there(targets)) * self._there(weights)).sum()

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` on the worker's device; a GPU goes on with its work during the copy."""
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

    def _note(self, step: int, loss: float, tokens: int) -> None:
        self.at.step = step
        self.at.history.append({"step": step, "loss": loss, "lr": self.schedule.get_last_lr()[0]})
        self.schedule.step()
        self.tokens += tokens
        if step % LOG_STEPS == 0 or step == self.steps:
            self._log(step)
        best = "" if self.at.best is None else f", best {self.metric} {self.at.best:.3f}"
        self.worker.progress(step, self.steps, f"steps, loss {loss:.3f}{best}")

    def _log(self, step: int) -> None:
        recent, now = self.at.history[-LOG_STEPS:], time.monotonic()
        self.worker.log(
            step,
            {
                "loss": sum(entry["loss"] for entry in recent) / len(recent),
                "lr": recent[-1]["lr"],
                "tokens_per_second": self.tokens / max(now - self.logged, 1e-9),
            },
        )
        self.logged, self.tokens = now, 0

    def _round_ends(self, validation: pa.Table | None) -> bool:
        """Score, keep a checkpoint, and say whether every rank is to stop."""
        score = self._score(validation) if validation is not None and self.looks else None
        score = self.worker.broadcast(score)
        if score is not None:
            self.at.history[-1][self.metric] = score
            self.worker.log(self.at.step, {self.metric: score})
            self._compare(score)
        if self.at.step < self.steps:
            self._keep(score)
        return self._stopped()

    def _stopped(self) -> bool:
        return self.at.rounds_without_gain >= self.config.patience

    def _score(self, validation: pa.Table) -> float:
        self.model.eval()
        answers = predict(self.task, self.model, self.texts, validation)
        labels = classes_of(self.task, self.model)
        return self.task.measure(answers, validation, labels)[self.metric]

    def _compare(self, score: float) -> None:
        gained = self.at.best is None or score > self.at.best
        self.at.rounds_without_gain = 0 if gained else self.at.rounds_without_gain + 1
        # among equals the later one is kept: its learning rate is lower
        if (gained or score == self.at.best) and self.looks:
            weights = trained_weights(self.model, keep=self.worker.rank == 0, copy=True)
            self.best_weights = weights if self.worker.rank == 0 else None
        self.at.best = score if gained else self.at.best

    def _keep(self, score: float | None) -> None:
        """Leave a checkpoint to go on from; every rank takes part."""
        state = {"schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict()}
        first = self.worker.rank == 0
        snapshot = Snapshot.take(self.model, self.optimizer, state, keep=first) if self.looks else None

        def save(folder: Path) -> None:
            assert snapshot is not None
            snapshot.save(folder, self.best_weights, self.at)

        rounds = sum(self.metric in entry for entry in self.at.history)
        scored = {} if score is None else {"best": self.at.best, "round": rounds}
        self.worker.report({"step": self.at.step, **scored}, save)
        self.saved = time.monotonic()

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        self.at, state, self.best_weights = restore(
            folder, self.model, self.optimizer, keep=self.worker.rank == 0
        )
        rates = self.schedule.base_lrs  # the settings count: a search may change them on the way
        self.schedule.load_state_dict(state["schedule"] | {"base_lrs": rates})
        at, factors = self.schedule.last_epoch, self.schedule.lr_lambdas
        rates = [rate * factor(at) for rate, factor in zip(rates, factors, strict=True)]
        self.schedule._last_lr = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(state["scaler"])

    def finish(self, validation: pa.Table | None) -> None:
        """Leave the best (or last) weights, calibrated, in the final checkpoint."""
        if self.looks:
            self._settle(validation)
        weights = trained_weights(self.model, keep=self.worker.rank == 0) if self.sharded else None

        def save(folder: Path) -> None:
            plain = self.recipe.plain(Built(self.model, self.adapted), weights)
            plain.config.react_ray = self.model.config.react_ray  # with what was found on the way
            plain.save_pretrained(folder / "model", safe_serialization=True)
            self.tokenizer.save_pretrained(folder / "model")
            lines = [json.dumps(entry) for entry in self.at.history]
            (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

        self.worker.report({"step": self.at.step}, save)

    def _settle(self, validation: pa.Table | None) -> None:
        """Take the best weights, and make their answers fit the validation rows, or else what is known."""
        if self.at.best is not None:
            set_weights(self.model, self.best_weights, self.sharded)
        self.model.eval()
        with writable(self.model):
            if validation is not None:
                changed = calibrate(self.task, self.model, self.texts, validation)
            else:
                order = np.random.default_rng(self.seed).permutation(len(self.examples))[:MAX_VALIDATION]
                known = [self.examples[i] for i in np.sort(order)]
                changed = self.task.settle(self.model, known, partial(run_model, self.task, self.model))
        self.at.history[-1].update(changed)


def _read_validation(task: Task, path: str, seed: int) -> pa.Table | None:
    """What decides: a sample when there is much, nothing when there is too little."""
    rows = pq.read_table(path, columns=[field.name for field in (*task.inputs, task.target)])
    evidence = task.evidence(rows[task.target.name].to_pylist())
    count = rows_that_decide(len(rows)) if evidence >= MIN_VALIDATION else 0
    return rows.take(np.random.default_rng(seed).permutation(len(rows))[:count]) if count else None


def rows_that_decide(validation: int) -> int:
    """How many of so many validation rows are looked at in each round."""
    return min(validation, MAX_VALIDATION) if validation >= MIN_VALIDATION else 0
