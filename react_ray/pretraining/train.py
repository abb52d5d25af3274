"""Training loop for masked language modelling, for one or more workers.

Every rank draws the same masks, as a function of (seed, step, sequence), so the result does not depend on the
number of workers.
"""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.pretraining.masking import Masked, Masking
from react_ray.pretraining.model import MaskedTokens, load_for_training
from react_ray.pretraining.sequences import Sequences
from react_ray.training.batches import MicroBatch, epoch_batches
from react_ray.training.optimizer import make_schedule, precision_context, tf32_matmul
from react_ray.training.steps import Training
from react_ray.training.worker import Worker, checkpoint_to_load

__all__ = ["loop"]

REHEARSAL_S, REHEARSAL_STEPS = 5.0, 50
"""Seconds, and most steps, for which the speed is measured where the time is limited."""


def loop(worker: Worker, *, sequences: str, model: str, config: dict[str, Any]) -> None:
    """Train a model, and save ``model/`` and ``history.jsonl`` in the last checkpoint.

    Parameters
    ----------
    sequences
        Folder of :class:`Sequences`.
    model
        Folder of the model to start from, with its head and tokenizer.
    config
        A PretrainConfig as a dictionary.
    """
    checkpoint = checkpoint_to_load(worker)
    if checkpoint and (checkpoint / "model").is_dir():
        return
    run = _Pretraining(worker, Path(sequences), Path(model), PretrainConfig.model_validate(config))
    with tf32_matmul(run.precision):
        if checkpoint:
            run.load(checkpoint)
        else:
            run.plan()
        run.run()
        run.finish()


class _Pretraining(Training):
    """Model, sequences and optimizer of a pretraining run on one worker."""

    section = "pretrain"
    lower_is_better = True

    def __init__(self, worker: Worker, sequences: Path, start: Path, config: PretrainConfig):
        self.settings, self.start = config, start
        self.sequences = Sequences(sequences, "train")
        self.validation = Sequences(sequences, "validation")
        self.tokenizer = load_tokenizer(str(start))
        self.masking = _masking(self.tokenizer, config)
        self.masked: tuple[int, dict[int, Masked]] = (-1, {})  # of the latest step
        per_epoch = math.ceil(len(self.sequences) / config.batch_size)
        steps = max(1, round(per_epoch * config.epochs))
        model = MaskedTokens(load_for_training(start, config.dropout))
        model.to(worker.device)
        super().__init__(
            worker,
            model,
            config.optimization(),
            lengths=self.sequences.lengths,
            steps=min(steps, config.steps or steps),
            seed=config.seed,
            metric="perplexity",
        )

    def plan(self) -> None:
        """Limit the steps to the time of the settings, by the speed of some steps that change nothing.

        The plan is part of the checkpoints, so that a resumed run has the same steps.
        """
        if self.settings.minutes is None:
            return
        batches = epoch_batches(self.lengths, self.config.batch_size, self.seed, 0)
        started, rehearsed = time.monotonic(), 0
        while True:
            self.backward(batches[rehearsed % len(batches)], 0)
            self.optimizer.zero_grad(set_to_none=True)
            rehearsed += 1
            seconds = time.monotonic() - started
            if self.worker.broadcast(seconds > REHEARSAL_S or rehearsed == REHEARSAL_STEPS):
                break
        possible = int(self.settings.minutes * 60 / (seconds / rehearsed))
        self._set_steps(max(1, min(self.steps, self.worker.broadcast(possible))))
        self.save_checkpoint(None)

    def _set_steps(self, steps: int) -> None:
        self.steps = steps
        self.schedule = make_schedule(self.optimizer, steps, self.config.warmup)

    def state(self) -> dict[str, Any]:
        """Return the state with the number of steps."""
        return super().state() | {"steps": self.steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the number of steps and the rest of the state."""
        self._set_steps(state["steps"])
        super().set_state(state)

    def weight_of(self, batch: NDArray[np.int64], step: int) -> float:
        """Return the number of masked tokens."""
        self.masked = step, {int(i): self._mask(self.sequences, int(i), step + 1) for i in batch}
        return float(sum(len(masked.places) for masked in self.masked[1].values()))

    def _mask(self, sequences: Sequences, index: int, step: int) -> Masked:
        """Mask a sequence; step 0 is that of the validation."""
        return self.masking(*sequences[index], np.random.default_rng((self.seed, step, index)))

    def loss_of(self, parallel: torch.nn.Module, part: MicroBatch, step: int) -> torch.Tensor:
        """Return the sum of the cross-entropy at the masked tokens."""
        rows = [self.masked[1][int(i)] for i in part.rows]
        return self._cross_entropy(parallel, rows) * float(part.counts)

    def _cross_entropy(self, model: torch.nn.Module, rows: list[Masked]) -> torch.Tensor:
        width = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), width), self.tokenizer.pad_token_id, dtype=np.int64)
        attention = np.zeros((len(rows), width), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)], attention[number, : len(row.ids)] = row.ids, 1
        places = np.concatenate([row.places + number * width for number, row in enumerate(rows)])
        answers = np.concatenate([row.answers for row in rows])
        tensors = [self.to_device(torch.from_numpy(array)) for array in (ids, attention, places, answers)]
        with precision_context(self.precision, self.worker.device):
            logits = model(*tensors[:3])
        return cross_entropy(logits.float(), tensors[3], reduction="sum")

    @torch.no_grad()
    def score(self) -> float | None:
        """Return the perplexity of masked tokens in the validation texts."""
        if not len(self.validation):
            return None
        self.model.eval()
        loss, tokens = 0.0, 0
        order = np.argsort(-self.validation.lengths, kind="stable")
        for start in range(0, len(order), self.config.batch_size):
            indices = order[start : start + self.config.batch_size]
            rows = [self._mask(self.validation, int(index), 0) for index in indices]
            loss += float(self._cross_entropy(self.model, rows))
            tokens += sum(len(row.places) for row in rows)
        return math.exp(min(loss / tokens, 50.0))

    def finish(self) -> None:
        """Save the best weights in the final checkpoint, with the dropout rates of the start."""
        if self.calls_model:
            self.restore_best()

        def save(folder: Path) -> None:
            target = folder / "model"
            assert isinstance(self.model, MaskedTokens)
            self.model.pretrained.save_pretrained(target, safe_serialization=True)
            self.tokenizer.save_pretrained(target)
            shutil.copy(self.start / "config.json", target / "config.json")
            self.write_history(folder)

        self.worker.report({"step": self.progress.step}, save)


def _masking(tokenizer: PreTrainedTokenizerBase, config: PretrainConfig) -> Masking:
    special = set(tokenizer.all_special_ids)
    ordinary = sorted(number for number in tokenizer.get_vocab().values() if number not in special)
    return Masking(int(tokenizer.mask_token_id), ordinary, config.masked, config.whole_words)
