"""Selection of the device of a model."""

from __future__ import annotations

import torch

__all__ = ["pick_device"]


def pick_device(use_gpu: bool) -> torch.device:
    """Return the current CUDA device, Apple's GPU, or the CPU."""
    if use_gpu and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if use_gpu and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
