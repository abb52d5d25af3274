"""Adversarial losses of D and the generators: the standard form, and the form printed in the article.

``real``, ``wrong``, ``labelled`` and ``sampled`` are D's outputs for real pairs, for (x, not y), for
(x, G_y(x)) and for (G_x(z, y), y); each has shape n, or is empty.

The article prints L_D = E[D(x, G(z, y))] + E[D(G(z, y), G(z, y))] and L_G = -E[D(G(z, y), G(z, y))]. L_D has
no real pairs and both terms have the same sign, so D decreases everywhere and cannot discriminate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu

__all__ = ["LOSSES", "Losses", "Verdicts"]


@dataclass(frozen=True)
class Verdicts:
    """Outputs of D for one batch."""

    real: Tensor
    wrong: Tensor
    labelled: Tensor
    sampled: Tensor

    def accuracy(self) -> Tensor:
        """Return the share of pairs that D classifies correctly, with threshold 0."""
        fakes = torch.cat([self.wrong, self.labelled, self.sampled])
        return torch.cat([self.real > 0, fakes < 0]).float().mean()


@dataclass(frozen=True)
class Losses:
    """Loss functions of D (of a batch) and of a generator (of D's outputs for its pairs)."""

    discriminator: Callable[[Verdicts], Tensor]
    generator: Callable[[Tensor], Tensor]


def hinge_discriminator(verdicts: Verdicts) -> Tensor:
    """Hinge loss: real pairs above 1, fake pairs below -1, with the same weight for each kind of fake."""
    fakes = [v for v in (verdicts.wrong, verdicts.labelled, verdicts.sampled) if v.numel()]
    fake = torch.stack([relu(1 + v).mean() for v in fakes]).mean()
    return relu(1 - verdicts.real).mean() + fake


def hinge_generator(verdicts: Tensor) -> Tensor:
    """Non-saturating generator loss: -E[D]."""
    return -verdicts.mean()


def printed_discriminator(verdicts: Verdicts) -> Tensor:
    """L_D as printed: both terms are of generated pairs and have the same sign."""
    return verdicts.labelled.mean() + verdicts.sampled.mean()


LOSSES: dict[Literal["standard", "as_written"], Losses] = {
    "standard": Losses(hinge_discriminator, hinge_generator),
    "as_written": Losses(printed_discriminator, hinge_generator),
}
