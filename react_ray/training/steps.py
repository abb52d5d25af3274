"""Steps of a training run on one worker: optimizer, schedule, logs, evaluations and checkpoints.

Subclasses say what a row is and what its loss is. All randomness is a function of (seed, step), so that a
killed run resumes with the same result.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import TrainingError
from react_ray.training.batches import MicroBatch, epoch_batches, split_batch
from react_ray.training.optimizer import make_optimizer, make_schedule, pick_precision
from react_ray.training.parallel import copy_to_ranks, is_sharded, unsynced
from react_ray.training.state import Progress, Snapshot, restore, set_weights, trained_weights
from react_ray.training.worker import Worker

__all__ = ["Training"]

SAVE_INTERVAL_S = 600
"""Seconds between checkpoints: the most that is lost by a kill or a change in the number of workers."""
LOG_STEPS = 10
"""Steps between log entries; the logged loss is their mean."""


class Training(ABC):
    """Model, optimizer and progress of a training run on one worker.

    Parameters
    ----------
    lengths
        Tokens of each row; batches have rows of similar lengths.
    metric
        Name of the validation score; the best weights are kept.
    """

    section = "finetune"
    """Section of the settings, for messages."""
    lower_is_better = False
    step_tokens: int | None = None
    """Maximum tokens of a forward pass; longer steps have several micro-batches. None: no maximum."""

    def __init__(
        self,
        worker: Worker,
        model: torch.nn.Module,
        config: FinetuneConfig,
        *,
        lengths: Sequence[int] | NDArray[np.int64],
        steps: int,
        seed: int,
        metric: str,
    ):
        self.worker, self.model, self.config = worker, model, config
        self.lengths, self.steps, self.seed, self.metric = lengths, steps, seed, metric
        self.precision = pick_precision(config, worker.device)
        self.sharded = is_sharded(model)
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.precision == "fp16")
        self.optimizer = make_optimizer(model, config)
        self.schedule = make_schedule(self.optimizer, steps, config.warmup)
        self.progress = Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None  # on rank 0
        self.saved_at = self.logged_at = time.monotonic()
        self.tokens = 0  # since the last log entry

    @abstractmethod
    def loss_of(self, parallel: torch.nn.Module, part: MicroBatch, step: int) -> torch.Tensor:
        """Return the sum of the losses of some rows, weighted."""

    @abstractmethod
    def weight_of(self, batch: NDArray[np.int64], step: int) -> float:
        """Return the weight by which the losses of a global batch are divided."""

    @abstractmethod
    def score(self) -> float | None:
        """Return the validation score; None without validation rows."""

    @property
    def calls_model(self) -> bool:
        """Whether this rank calls the model outside of training steps: rank 0, or all ranks if sharded."""
        return self.sharded or self.worker.rank == 0

    @cached_property
    def parallel(self) -> torch.nn.Module:
        """The model whose backward pass averages gradients; on first use, all ranks get rank 0's weights."""
        return copy_to_ranks(self.model, self.worker)

    def run(self) -> None:
        """Run the remaining steps; stop early when the validation score no longer improves."""
        if self._is_stopped():  # the run was killed after its last evaluation
            return
        rounds = self.config.evaluations
        evaluation_steps = {round(self.steps * (i + 1) / rounds) for i in range(rounds)}
        batches: list[NDArray[np.int64]] = []
        per_epoch = math.ceil(len(self.lengths) / self.config.batch_size)
        for step in range(self.progress.step, self.steps):
            epoch, position = divmod(step, per_epoch)
            if not batches or position == 0:
                batches = epoch_batches(self.lengths, self.config.batch_size, self.seed, epoch)
            loss, is_checkpoint_due = self._step(batches[position], step)
            self._record_step(step + 1, loss, sum(int(self.lengths[i]) for i in batches[position]))
            if step + 1 in evaluation_steps and self._evaluate():
                break
            if is_checkpoint_due and step + 1 not in evaluation_steps:
                self.save_checkpoint(None)

    def _step(self, batch: NDArray[np.int64], step: int) -> tuple[float, bool]:
        """Run a step; returns the loss of the global batch, and whether a checkpoint is due."""
        worker = self.worker
        is_due = worker.rank == 0 and time.monotonic() - self.saved_at > SAVE_INTERVAL_S
        loss, due = self.backward(batch, step, float(is_due))
        self._update(loss, step)
        return loss, due > 0

    def backward(self, batch: NDArray[np.int64], step: int, value: float = 0.0) -> tuple[float, float]:
        """Add the gradients of a global batch; returns its loss, and the sum of ``value`` over the ranks."""
        worker = self.worker
        self.model.train()
        torch.manual_seed((self.seed * 1_000_003 + step) * worker.world_size + worker.rank)  # for dropout
        total = self.weight_of(batch, step)
        parts = split_batch(batch, worker.rank, worker.world_size, self._micro_batches(batch))
        reduced = torch.zeros(2, device=worker.device)
        reduced[1] = value
        for index, part in enumerate(parts):
            with unsynced(self.parallel, last=index + 1 == len(parts)):
                loss = self.loss_of(self.parallel, part, step) / total
                self.scaler.scale(loss * worker.world_size).backward()
            reduced[0] += loss.detach()
        if worker.world_size > 1:
            torch.distributed.all_reduce(reduced)
        loss_of_batch, values = reduced.tolist()
        return loss_of_batch, values

    def _micro_batches(self, batch: NDArray[np.int64]) -> int:
        """Return the number of micro-batches of each rank: more than in the settings if rows are long."""
        if self.step_tokens is None:
            return self.config.accumulation
        rows = math.ceil(len(batch) / self.worker.world_size)
        longest = max(int(self.lengths[row]) for row in batch)
        return max(self.config.accumulation, math.ceil(rows * longest / self.step_tokens))

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy ``tensor`` to the worker's device, asynchronously for a GPU."""
        if self.worker.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.worker.device, non_blocking=True)

    def _update(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a smaller {self.section}.lr")
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

    def _evaluate(self) -> bool:
        """Compute the validation score and save a checkpoint; returns whether to stop."""
        score = self.worker.broadcast(self.score() if self.calls_model else None)
        if score is not None:
            self.progress.history[-1][self.metric] = score
            self.worker.log(self.progress.step, {self.metric: score})
            self._update_best(score)
        if self.progress.step < self.steps:
            self.save_checkpoint(score)
        return self._is_stopped()

    def _is_stopped(self) -> bool:
        return self.progress.rounds_without_gain >= self.config.patience

    def _update_best(self, score: float) -> None:
        best = self.progress.best
        gained = best is None or (score < best if self.lower_is_better else score > best)
        self.progress.rounds_without_gain = 0 if gained else self.progress.rounds_without_gain + 1
        # of equal scores, the later is used, because its learning rate is lower
        if (gained or score == best) and self.calls_model:
            weights = trained_weights(self.model, keep=self.worker.rank == 0, copy=True)
            self.best_weights = weights if self.worker.rank == 0 else None
        self.progress.best = score if gained else best

    def save_checkpoint(self, score: float | None) -> None:
        """Save a checkpoint to resume from; a collective call."""
        snapshot = None
        if self.calls_model:
            keep = self.worker.rank == 0
            snapshot = Snapshot.take(self.model, self.optimizer, self.state(), keep)

        def save(folder: Path) -> None:
            assert snapshot is not None
            snapshot.save(folder, self.best_weights, self.progress)

        rounds = sum(self.metric in entry for entry in self.progress.history)
        score_entries = {} if score is None else {"best": self.progress.best, "round": rounds}
        self.worker.report({"step": self.progress.step, **score_entries}, save)
        self.saved_at = time.monotonic()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has beside tensors and progress; JSON-like."""
        return {"schedule": self.schedule.state_dict(), "scaler": self.scaler.state_dict()}

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint."""
        self.progress, state, self.best_weights = restore(
            folder, self.model, self.optimizer, keep=self.worker.rank == 0
        )
        self.set_state(state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state`."""
        rates = self.schedule.base_lrs  # those of the settings, which a search may have changed
        self.schedule.load_state_dict(state["schedule"] | {"base_lrs": rates})
        epoch, factors = self.schedule.last_epoch, self.schedule.lr_lambdas
        rates = [rate * factor(epoch) for rate, factor in zip(rates, factors, strict=True)]
        self.schedule._last_lr = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(state["scaler"])

    def restore_best(self) -> None:
        """Restore the weights of the best evaluation, if there was one."""
        if self.progress.best is not None:
            set_weights(self.model, self.best_weights, self.sharded)

    def write_history(self, folder: Path) -> None:
        """Write loss, learning rate and scores by step."""
        lines = [json.dumps(entry) for entry in self.progress.history]
        (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
