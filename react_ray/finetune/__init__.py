"""Fine-tuning a pretrained model on labelled, augmented and generated rows (S5)."""

from __future__ import annotations

from react_ray.finetune.run import finetune
from react_ray.finetune.train import loop

__all__ = ["finetune", "loop"]
