"""Label augmentation, (x, y) (+) (x, not y): pairs with a wrong label as negatives of D (S3).

Without wrong pairs, D could discriminate by x alone and ignore the label.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["wrong_labels"]


def wrong_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Draw a different class for each of n class indices, uniformly among the others."""
    weights = torch.ones(len(labels), classes)
    weights[torch.arange(len(labels)), labels] = 0
    return torch.multinomial(weights, 1, generator=generator).squeeze(1)
