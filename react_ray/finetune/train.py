"""Fine-tuning on weighted rows (S5): one plain loop for one worker or many.

The loss is L2 of the method: each row's loss times its weight, divided by the sum of
weights of the global batch. What is random is a function of (seed, step), so a run
that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from react_ray.config import FinetuneConfig
from react_ray.errors import TrainingError
from react_ray.finetune.batches import draw_rows, epoch_batches, plan_epochs, read_rows, split_batch
from react_ray.finetune.optimizer import (
    freeze,
    make_optimizer,
    make_schedule,
    pick_precision,
    precision_context,
)
from react_ray.pretrained import load_tokenizer, longest_text
from react_ray.tasks import Example, Task, get_task
from react_ray.worker import Worker

__all__ = ["loop"]

MIN_VALIDATION = 30
"""Rows: with fewer, the score of a checkpoint is chance (10 rows: 14 points of standard error)."""
MAX_VALIDATION = 1000
"""Rows: 1.5 points of standard error at most; more would cost more time than training."""
WARM_START_TOKENS = 30_000
"""Tokens the head is started on: some 7 s of one core, enough for a linear fit."""
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
    task: str = "text-classification",
    probe: str | None = None,
) -> None:
    """Train, then leave ``model/`` and ``history.jsonl`` in the last checkpoint.

    ``train`` is a parquet file or folder with text, label (a name, or a distribution
    over ``labels``), weight and origin (both optional); ``validation`` has text and
    label names. ``config`` is a FinetuneConfig as a dictionary. ``probe`` is a safetensors
    file with ``weights`` (K x d) and ``bias`` (K): a classifier of the model's own frozen
    features for the head to start from.
    """
    checkpoint = worker.checkpoint()
    if checkpoint and (checkpoint / "model").is_dir():
        return
    held_out = _read_validation(validation, seed) if validation else None
    run = _Run(worker, get_task(task), model, labels, train, FinetuneConfig.model_validate(config), seed)
    if checkpoint:
        run.load(checkpoint)
    elif run.config.head_start and worker.rank == 0:
        run.start_head(model, probe)
    run.train(held_out)
    run.finish(held_out)


@dataclass
class _Progress:
    """Where a run stands, beside its weights; JSON-like."""

    step: int = 0
    best: float | None = None
    rounds_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


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
        torch.manual_seed(seed)
        self.tokenizer = load_tokenizer(model)
        self.model = task.load_model(model, labels, config.dropout)
        self.model.to(worker.device)  # type: ignore[arg-type]
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.tokenizer.padding_side = "right"  # on the left, positions of GPT-2 and others would shift
        self.tokenizer.model_max_length = longest_text(self.model, self.tokenizer, config.max_length)
        self.examples, self.steps = self._plan(read_rows(train), labels)
        freeze(self.model, config.freeze)
        self.precision = pick_precision(config.precision, worker.device)
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.precision == "fp16")
        self.optimizer = make_optimizer(self.model, config)
        self.schedule = make_schedule(self.optimizer, self.steps, config.warmup)
        self.at = _Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None  # on rank 0

    def _plan(self, rows: pa.Table, labels: Sequence[str]) -> tuple[list[Example], int]:
        sample = np.random.default_rng(self.seed).permutation(len(rows))[:LENGTH_SAMPLE]
        encode = self.task.encode
        longest = self.tokenizer.model_max_length
        known = encode(self.tokenizer, rows.take(np.sort(sample)), labels, longest)
        tokens = sum(len(e.ids) for e in known) / len(known)
        epochs = plan_epochs(len(rows), tokens, self.config)
        examples = encode(self.tokenizer, draw_rows(rows, epochs, self.seed), labels, longest)
        per_epoch = math.ceil(len(examples) / self.config.batch_size)
        return examples, max(1, round(max(epochs, 1.0) * per_epoch))

    def start_head(self, model: str, probe: str | None) -> None:
        """Take over ``probe``, or fit the head to as many rows as fit in WARM_START_TOKENS."""
        known = load_file(probe) if probe else None
        if known and self.task.start_from(self.model, model, known["weights"], known["bias"]):
            return
        order = np.random.default_rng(self.seed).permutation(len(self.examples))
        used = np.cumsum([len(self.examples[i].ids) for i in order])
        rows = order[: max(1, int((used <= WARM_START_TOKENS).sum()))]
        self.task.warm_start(self.model, self.tokenizer, [self.examples[i] for i in rows])

    def train(self, validation: pa.Table | None) -> None:
        """Take the steps that are left; stop early where ``validation`` no longer gains."""
        if self._stopped():  # killed between the last round and the end
            return
        parallel = self._parallel()
        lengths = [len(e.ids) for e in self.examples]
        rounds = self.config.evaluations
        marks = {round(self.steps * (i + 1) / rounds) for i in range(rounds)}
        batches: list[NDArray[np.int64]] = []
        per_epoch = math.ceil(len(lengths) / self.config.batch_size)
        for step in range(self.at.step, self.steps):
            epoch, position = divmod(step, per_epoch)
            if not batches or position == 0:
                batches = epoch_batches(lengths, self.config.batch_size, self.seed, epoch)
            loss = self._step(parallel, batches[position], step)
            self._note(step + 1, loss)
            if step + 1 in marks and self._round_ends(validation):
                break

    def _parallel(self) -> torch.nn.Module:
        if self.worker.world_size == 1:
            return self.model
        device = self.worker.device
        ids = [device.index] if device.type == "cuda" else None
        # some architectures have weights that their classifier never uses
        return DistributedDataParallel(self.model, device_ids=ids, find_unused_parameters=True)

    def _step(self, parallel: torch.nn.Module, batch: NDArray[np.int64], step: int) -> float:
        """One update; the loss of the global batch."""
        worker = self.worker
        self.model.train()
        torch.manual_seed((self.seed * 1_000_003 + step) * worker.world_size + worker.rank)  # for dropout
        total = sum(self.examples[i].weight for i in batch)
        parts = split_batch(batch, worker.rank, worker.world_size, self.config.accumulation)
        share = torch.zeros((), device=worker.device)
        # a rank without rows joins the collective calls with a row that counts nothing
        for i, part in enumerate(parts or [batch[:1]]):
            last = i + 1 >= len(parts)
            with nullcontext() if last or worker.world_size == 1 else parallel.no_sync():  # type: ignore[operator]
                loss = self._loss(parallel, part, counts=bool(parts)) / total
                self.scaler.scale(loss * worker.world_size).backward()
            share += loss.detach()
        if worker.world_size > 1:
            torch.distributed.all_reduce(share)
        self._update(float(share), step)
        return float(share)

    def _loss(self, parallel: torch.nn.Module, part: NDArray[np.int64], counts: bool) -> torch.Tensor:
        examples = [self.examples[i] for i in part]
        inputs, targets = self.task.collate(self.tokenizer, examples)
        device = self.worker.device
        with precision_context(self.precision, device):
            output = parallel(**{key: value.to(device) for key, value in inputs.items()})
        weights = torch.tensor([e.weight if counts else 0.0 for e in examples], device=device)
        return (self.task.loss(output, targets.to(device)) * weights).sum()

    def _update(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}: try a smaller finetune.lr")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _note(self, step: int, loss: float) -> None:
        self.at.step = step
        self.at.history.append({"step": step, "loss": loss, "lr": self.schedule.get_last_lr()[0]})
        self.schedule.step()
        best = "" if self.at.best is None else f", best {self.config.metric} {self.at.best:.3f}"
        self.worker.progress(step, self.steps, f"steps, loss {loss:.3f}{best}")

    def _round_ends(self, validation: pa.Table | None) -> bool:
        """Score, keep a checkpoint, and say whether every rank is to stop."""
        score = self._score(validation) if validation is not None and self.worker.rank == 0 else None
        score = self.worker.broadcast(score)
        if score is not None:
            self.at.history[-1][self.config.metric] = score
            self._compare(score)
        if self.at.step < self.steps:
            self.worker.report({"step": self.at.step, "score": score}, self._save)
        return self._stopped()

    def _stopped(self) -> bool:
        return self.at.rounds_without_gain >= self.config.patience

    def _score(self, validation: pa.Table) -> float:
        self.model.eval()
        longest = self.tokenizer.model_max_length
        return self.task.score(self.model, self.tokenizer, validation, longest)[self.config.metric]

    def _compare(self, score: float) -> None:
        gained = self.at.best is None or score > self.at.best
        self.at.rounds_without_gain = 0 if gained else self.at.rounds_without_gain + 1
        # among equals the later one is kept: its learning rate is lower
        if (gained or score == self.at.best) and self.worker.rank == 0:
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        self.at.best = score if gained else self.at.best

    def _save(self, folder: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "best": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "at": vars(self.at),
        }
        torch.save(state, folder / "state.pt")

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.best_weights = state["best"] if self.worker.rank == 0 else None
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.at = _Progress(**state["at"])

    def finish(self, validation: pa.Table | None) -> None:
        """Leave the best (or last) weights, calibrated, in the final checkpoint."""

        def save(folder: Path) -> None:
            if self.best_weights is not None:
                self.model.load_state_dict(self.best_weights)
            self.model.eval()
            longest = self.tokenizer.model_max_length
            if validation is not None:
                change = self.task.calibrate(self.model, self.tokenizer, validation, longest)
                self.at.history[-1].update(change)
            self.model.save_pretrained(folder / "model", safe_serialization=True)
            self.tokenizer.save_pretrained(folder / "model")
            lines = [json.dumps(entry) for entry in self.at.history]
            (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

        self.worker.report({"step": self.at.step, "score": self.at.best}, save)


def _read_validation(path: str, seed: int) -> pa.Table | None:
    """What decides: a sample when there is much, nothing when there is too little."""
    rows = pq.read_table(path, columns=["text", "label"])
    if len(rows) < MIN_VALIDATION:
        return None
    return rows.take(np.random.default_rng(seed).permutation(len(rows))[:MAX_VALIDATION])
