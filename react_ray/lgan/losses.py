"""What D and the generators minimise: the standard forms, and the article's as printed.

``real``, ``wrong``, ``labelled`` and ``sampled`` are D's verdicts on real pairs, on
(x, not y), on (x, G_y(x)) and on (G_x(z, y), y); each is n, or empty.

The article prints L_D = E[D(x, G(z, y))] + E[D(G(z, y), G(z, y))] and
L_G = -E[D(G(z, y), G(z, y))]. No real pair stands in L_D, and both its terms push D
the same way: D falls everywhere alike and cannot tell real from fake.
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
    """D's verdicts on one batch."""

    real: Tensor
    wrong: Tensor
    labelled: Tensor
    sampled: Tensor

    def accuracy(self) -> Tensor:
        """Share of pairs on the correct side of 0."""
        fakes = torch.cat([self.wrong, self.labelled, self.sampled])
        return torch.cat([self.real > 0, fakes < 0]).float().mean()


@dataclass(frozen=True)
class Losses:
    """A form of the adversarial losses: D's on a batch, a generator's on the verdicts on its pairs."""

    discriminator: Callable[[Verdicts], Tensor]
    generator: Callable[[Tensor], Tensor]


def hinge_discriminator(verdicts: Verdicts) -> Tensor:
    """Hinge: real above 1, each kind of fake below -1, all kinds of equal weight."""
    fakes = [v for v in (verdicts.wrong, verdicts.labelled, verdicts.sampled) if v.numel()]
    fake = torch.stack([relu(1 + v).mean() for v in fakes]).mean()
    return relu(1 - verdicts.real).mean() + fake


def hinge_generator(verdicts: Tensor) -> Tensor:
    """-E[D]: non-saturating."""
    return -verdicts.mean()


def printed_discriminator(verdicts: Verdicts) -> Tensor:
    """L_D as printed: both terms are on generated pairs and have one sign."""
    return verdicts.labelled.mean() + verdicts.sampled.mean()


LOSSES: dict[Literal["standard", "as_written"], Losses] = {
    "standard": Losses(hinge_discriminator, hinge_generator),
    "as_written": Losses(printed_discriminator, hinge_generator),
}
