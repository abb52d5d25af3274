"""Label augmentation, (x, y) (+) (x, not y): each pair also with a wrong label (S3).

The wrong pairs are what teaches D that a label belongs to its text: without them it
can judge by x alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["wrong_labels"]


def wrong_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """For each of n class indices another one, all others being as likely."""
    chances = torch.ones(len(labels), classes)
    chances[torch.arange(len(labels)), labels] = 0
    return torch.multinomial(chances, 1, generator=generator).squeeze(1)
