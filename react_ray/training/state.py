"""Checkpoints of a training run: trained weights, optimizer state, and progress.

Frozen weights are not saved, because they are those of the pretrained model. Tensors are saved in full even
if they are sharded, so that a run can resume with another number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from react_ray.training.parallel import broadcast_reader, copy_into, full_tensor, shard_like

__all__ = ["Progress", "Snapshot", "restore", "set_weights", "trained_weights"]

WEIGHTS, BEST, OPTIMIZER, STATE = (
    "weights.safetensors",
    "best.safetensors",
    "optimizer.safetensors",
    "state.json",
)


@dataclass
class Progress:
    """Progress of a run, without its weights; serializable as JSON."""

    step: int = 0
    best: float | None = None
    rounds_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def trained_weights(model: nn.Module, keep: bool, copy: bool = False) -> dict[str, Tensor]:
    """Return all tensors that training changes, in full and on the CPU; empty unless ``keep``.

    If the model is sharded, this is a collective call, so ranks that keep nothing must call it too.
    """
    tensors = ((name, full_tensor(tensor)) for name, tensor in _trainable_tensors(model).items())
    return {name: tensor.to("cpu", copy=copy).contiguous() for name, tensor in tensors if keep}


def set_weights(model: nn.Module, weights: dict[str, Tensor] | None, sharded: bool) -> None:
    """Restore :func:`trained_weights`; if sharded, a collective call with the ``weights`` of rank 0."""
    targets = _trainable_tensors(model)
    copy_into(targets, broadcast_reader(weights, targets) if sharded else (weights or {}).__getitem__)


def _trainable_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable parameters, and the buffers, because they may change too."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    trainable: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return trainable | {name: b for name, b in model.state_dict().items() if name not in parameters}


@dataclass
class Snapshot:
    """Content of a checkpoint; ranks other than 0 have no tensors."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]

    @classmethod
    def take(
        cls, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], keep: bool
    ) -> Snapshot:
        """Copy the state of a run; a collective call if the model is sharded."""
        tensors = ((key, full_tensor(tensor)) for key, tensor in _optimizer_tensors(model, optimizer))
        optimizer_tensors = {key: tensor.cpu() for key, tensor in tensors if keep}
        return cls(trained_weights(model, keep), optimizer_tensors, state)

    def save(self, folder: Path, best: dict[str, Tensor] | None, progress: Progress) -> None:
        """Write the checkpoint into ``folder``."""
        save_file(self.weights, folder / WEIGHTS)
        save_file(self.optimizer, folder / OPTIMIZER)
        if best is not None:
            save_file(best, folder / BEST)
        (folder / STATE).write_text(json.dumps(self.state | {"at": asdict(progress)}), encoding="utf-8")


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, keep: bool
) -> tuple[Progress, dict[str, Any], dict[str, Tensor] | None]:
    """Restore a checkpoint; returns the progress, the remaining state and, if ``keep``, the best weights."""
    with safe_open(folder / WEIGHTS, "pt") as file:
        copy_into(_trainable_tensors(model), file.get_tensor)
    with safe_open(folder / OPTIMIZER, "pt") as file:
        for key in file.keys():  # noqa: SIM118  (not a dictionary)
            name, name_in_state = key.rsplit("/", 1)
            parameter, value = model.get_parameter(name), file.get_tensor(key)
            target = parameter if name_in_state != "step" else torch.empty((), device=parameter.device)
            optimizer.state[parameter][name_in_state] = shard_like(target, value)
    best = None
    if keep and (folder / BEST).exists():
        with safe_open(folder / BEST, "pt") as file:
            best = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return Progress(**state.pop("at")), state, best


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        for name_in_state, tensor in optimizer.state.get(parameter, {}).items():
            yield f"{name}/{name_in_state}", tensor
