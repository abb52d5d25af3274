"""What a training run keeps in its checkpoints: trained weights, AdamW's averages, and where it stands.

Frozen weights are not kept: they are those of the pretrained model. Tensors are kept whole,
however they were sharded, so a run may go on with another number of workers.
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

from react_ray.training.parallel import copy_into, like, share_out, whole

__all__ = ["Progress", "Snapshot", "restore", "set_weights", "trained_weights"]

WEIGHTS, BEST, OPTIMIZER, STATE = (
    "weights.safetensors",
    "best.safetensors",
    "optimizer.safetensors",
    "state.json",
)


@dataclass
class Progress:
    """Where a run stands, beside its weights; JSON-like."""

    step: int = 0
    best: float | None = None
    rounds_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def trained_weights(model: nn.Module, keep: bool, copy: bool = False) -> dict[str, Tensor]:
    """All that training changes, whole and on the CPU, where ``keep``; else nothing.

    A collective call where the model is sharded, so every rank makes it and some keep.
    """
    tensors = ((name, whole(tensor)) for name, tensor in _trained(model).items())
    return {name: tensor.to("cpu", copy=copy).contiguous() for name, tensor in tensors if keep}


def set_weights(model: nn.Module, weights: dict[str, Tensor] | None, sharded: bool) -> None:
    """Put :func:`trained_weights` back; where sharded, all ranks take part and rank 0 has them."""
    targets = _trained(model)
    copy_into(targets, share_out(weights, targets) if sharded else (weights or {}).__getitem__)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that are free, and buffers, for they may move as well."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    free: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return free | {name: b for name, b in model.state_dict().items() if name not in parameters}


@dataclass
class Snapshot:
    """A checkpoint in the making; on other ranks than 0 without tensors."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]

    @classmethod
    def take(
        cls, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], keep: bool
    ) -> Snapshot:
        """Copy the state of a run; a collective call where the model is sharded."""
        averages = ((key, whole(tensor)) for key, tensor in _averages(model, optimizer))
        kept = {key: tensor.cpu() for key, tensor in averages if keep}
        return cls(trained_weights(model, keep), kept, state)

    def save(self, folder: Path, best: dict[str, Tensor] | None, at: Progress) -> None:
        """Write it into ``folder``."""
        save_file(self.weights, folder / WEIGHTS)
        save_file(self.optimizer, folder / OPTIMIZER)
        if best is not None:
            save_file(best, folder / BEST)
        (folder / STATE).write_text(json.dumps(self.state | {"at": asdict(at)}), encoding="utf-8")


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, keep: bool
) -> tuple[Progress, dict[str, Any], dict[str, Tensor] | None]:
    """Put a checkpoint back; where the run stood, the rest, and (if ``keep``) the best weights."""
    with safe_open(folder / WEIGHTS, "pt") as kept:
        copy_into(_trained(model), kept.get_tensor)
    with safe_open(folder / OPTIMIZER, "pt") as kept:
        for key in kept.keys():  # noqa: SIM118  (no dictionary)
            name, part = key.rsplit("/", 1)
            parameter, value = model.get_parameter(name), kept.get_tensor(key)
            same = parameter if part != "step" else torch.empty((), device=parameter.device)
            optimizer.state[parameter][part] = like(same, value)
    best = None
    if keep and (folder / BEST).exists():
        with safe_open(folder / BEST, "pt") as kept:
            best = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    return Progress(**state.pop("at")), state, best


def _averages(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        for part, tensor in optimizer.state.get(parameter, {}).items():
            yield f"{name}/{part}", tensor
