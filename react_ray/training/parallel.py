"""One model on several ranks: a copy on each (DDP), or a share of its weights on each (FSDP2)."""

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
    "copy_into",
    "copy_to_ranks",
    "is_sharded",
    "like",
    "shard",
    "share_out",
    "unsynced",
    "whole",
    "writable",
]


def shard(model: PreTrainedModel, worker: Worker) -> None:
    """Leave each rank its share of every weight, in place and on its device, a layer at a time.

    From here on every forward and backward pass is a collective call. The whole of one
    layer is on a device only while that layer is at work.
    """
    mesh = init_device_mesh(worker.device.type, (worker.world_size,))
    for layer in layers_of(model):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)  # else its weights would stay whole


def is_sharded(model: nn.Module) -> bool:
    """Whether this process holds only its share of ``model``."""
    return any(isinstance(p, DTensor) for p in model.parameters())


def copy_to_ranks(model: nn.Module, worker: Worker) -> nn.Module:
    """What to call for a forward pass whose backward pass averages gradients over the ranks.

    A model that is not sharded becomes the same on all ranks: rank 0's.
    """
    if worker.world_size == 1 or is_sharded(model):
        return model
    device = worker.device
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=True,  # some architectures have weights that their classifier never uses
        broadcast_buffers=False,  # constants in text models
        gradient_as_bucket_view=True,
    )


def unsynced(model: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Where a micro-batch is not the ``last`` of its step, keep its gradients on this rank.

    A sharded model hands them over at once, for it has no room for those of all weights.
    """
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def writable(model: nn.Module) -> AbstractContextManager[object]:
    """While it is open, plain tensors may be written into weights, sharded or not.

    Every rank has to write the same.
    """
    return implicit_replication() if is_sharded(model) else nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, detached; a collective call where it is sharded."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], read: Callable[[str], Tensor]) -> None:
    """Copy what ``read(name)`` gives on every rank, whole, into each of ``targets``."""
    for name, target in targets.items():
        target.copy_(like(target, read(name)))


def like(target: Tensor, value: Tensor) -> Tensor:
    """``value``, which every rank has whole, on the device of ``target`` and sharded like it."""
    value = value.to(target.device)
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)


def share_out(values: Mapping[str, Tensor] | None, targets: Mapping[str, Any]) -> Callable[[str], Tensor]:
    """A ``read`` for :func:`copy_into` of ``values`` that rank 0 alone has; a collective call."""

    def read(name: str) -> Tensor:
        target = targets[name]
        value = torch.empty(target.shape, dtype=target.dtype, device=target.device)
        if values is not None:
            value.copy_(values[name])
        torch.distributed.broadcast(value, src=0)
        return value

    return read
