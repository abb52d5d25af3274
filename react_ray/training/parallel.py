"""A model on several ranks: a copy on each (DDP), or a shard of its weights on each (FSDP2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor.experimental import implicit_replication
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from react_ray.training.optimizer import layers_of
from react_ray.training.worker import Worker

__all__ = [
    "broadcast_reader",
    "copy_into",
    "copy_to_ranks",
    "full_tensor",
    "is_sharded",
    "shard",
    "shard_like",
    "unsynced",
    "writable",
]


def shard(model: PreTrainedModel, worker: Worker) -> None:
    """Shard every weight over the ranks, in place and layer by layer, on the worker's device.

    Every forward and backward pass is then a collective call. A device has the full weights of a layer only
    while it computes that layer.
    """
    mesh = init_device_mesh(worker.device.type, (worker.world_size,))
    for layer in layers_of(model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # shards the weights outside of the layers


def is_sharded(model: nn.Module) -> bool:
    """Whether this process has only a shard of ``model``."""
    return any(isinstance(p, DTensor) for p in model.parameters())


def copy_to_ranks(model: nn.Module, worker: Worker) -> nn.Module:
    """Return a module whose backward pass averages gradients over the ranks.

    If the model is not sharded, all ranks get the weights of rank 0.
    """
    if worker.world_size == 1 or is_sharded(model):
        return model
    device = worker.device
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=True,  # classifiers of some architectures do not use all weights
        broadcast_buffers=False,  # buffers of text models are constant
        gradient_as_bucket_view=True,
    )


def unsynced(model: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Return a context without synchronization of gradients, except for the ``last`` micro-batch of a step.

    Sharded models always synchronize, because a rank has no memory for the gradients of all weights.
    """
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def writable(model: nn.Module) -> AbstractContextManager[object]:
    """Return a context in which plain tensors can be written into weights, sharded or not.

    All ranks must write the same values.
    """
    return implicit_replication() if is_sharded(model) else nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor, detached; a collective call if it is sharded."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], read: Callable[[str], Tensor]) -> None:
    """Copy the full tensor ``read(name)``, the same on every rank, into each of ``targets``."""
    for name, target in targets.items():
        target.copy_(shard_like(target, read(name)))


def shard_like(target: Tensor, value: Tensor) -> Tensor:
    """Return the full tensor ``value`` on the device of ``target`` and sharded like it."""
    value = value.to(target.device)
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)


def broadcast_reader(
    values: Mapping[str, Tensor] | None, targets: Mapping[str, Any]
) -> Callable[[str], Tensor]:
    """Return a function ``read`` for :func:`copy_into` that broadcasts the ``values`` of rank 0."""

    def read(name: str) -> Tensor:
        target = targets[name]
        value = torch.empty(target.shape, dtype=target.dtype, device=target.device)
        if values is not None:
            value.copy_(values[name])
        torch.distributed.broadcast(value, src=0)
        return value

    return read
