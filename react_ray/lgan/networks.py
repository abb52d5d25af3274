"""The three networks on features of width d, with K classes given as text.

A class enters every network as the encoder's embedding of its name plus a learned
offset, so a class without rows still has a place, and two similar names start close.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["ClassText", "Discriminator", "LabelGenerator", "Networks", "SampleGenerator"]

NOISE = 16
"""Width of z."""
HIDDEN = 128


class ClassText(nn.Module):
    """Vectors of the classes, K x d: ``scale`` * name + offset."""

    def __init__(self, names: Tensor):
        super().__init__()
        centred = normalize(names - names.mean(0), dim=1)
        self.names: Tensor
        self.register_buffer("names", centred)
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros_like(names))

    def forward(self) -> Tensor:
        """All class vectors."""
        return self.scale * self.names + self.offset


class LabelGenerator(nn.Module):
    """G_y(x, z) -> y': logits over the classes for features n x d and noise n x NOISE.

    A bilinear match of class vectors (which a linear probe can be copied into) and x,
    moved by z. A network of x in its place learns the pool's labels by heart.
    """

    def __init__(self, names: Tensor):
        super().__init__()
        width = names.shape[1]
        self.classes = ClassText(names)
        self.bias = nn.Parameter(torch.zeros(len(names)))
        self.shift = nn.Linear(NOISE, width, bias=False)
        nn.init.zeros_(self.shift.weight)

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        """Logits, n x K."""
        return (features + self.shift(noise)) @ self.classes().T + self.bias

    @torch.no_grad()
    def start_from(self, weights: Tensor, bias: Tensor) -> None:
        """Copy a linear classifier (K x d, K): the offsets hold what its names do not."""
        self.classes.offset.copy_(weights - self.classes.scale * self.classes.names)
        self.bias.copy_(bias)


class SampleGenerator(nn.Module):
    """G_x(z, y) -> x': unit-length features from noise and class vectors (both n rows)."""

    def __init__(self, names: Tensor):
        super().__init__()
        width = names.shape[1]
        self.classes = ClassText(names)
        self.body = nn.Sequential(
            nn.Linear(width + NOISE, HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, width),
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Features n x d for soft or certain ``labels`` n x K."""
        return normalize(self.body(torch.cat([labels @ self.classes(), noise], 1)), dim=1)


class Discriminator(nn.Module):
    """D(x, y): is this a real pair? (projection: Miyato & Koyama 2018, arXiv:1802.05637).

    D(x, y) = psi(phi(x)) + <class vector of y, V phi(x)>, every layer of spectral
    norm 1. Without y it is phase 1's judge of x alone.
    """

    def __init__(self, names: Tensor):
        super().__init__()
        width = names.shape[1]
        self.classes = ClassText(names)
        self.trunk = nn.Sequential(
            spectral_norm(nn.Linear(width, HIDDEN)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(HIDDEN, HIDDEN)),
            nn.LeakyReLU(0.2),
        )
        self.real = spectral_norm(nn.Linear(HIDDEN, 1))
        self.project = spectral_norm(nn.Linear(HIDDEN, width, bias=False))
        self.gain = nn.Parameter(torch.tensor(10.0))  # features differ little: SN alone mutes them

    def forward(self, features: Tensor) -> Tensor:
        """Verdict on each (x, y) for every class y: n x K."""
        inner = self.trunk(self.gain * features)
        return self.real(inner) + self.project(inner) @ self.classes().T

    def judge_rows(self, features: Tensor) -> Tensor:
        """Phase 1's verdict on x alone: n."""
        return self.real(self.trunk(self.gain * features)).squeeze(1)


@dataclass
class Networks:
    """The three networks, made from the class names (K x d) with a fixed seed."""

    label_generator: LabelGenerator
    sample_generator: SampleGenerator
    discriminator: Discriminator

    @classmethod
    def make(cls, names: Tensor, seed: int) -> Networks:
        """Networks with initial weights that depend on ``seed`` only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(LabelGenerator(names), SampleGenerator(names), Discriminator(names))

    def modules(self) -> nn.ModuleDict:
        """The networks under their names, as one state for checkpoints."""
        return nn.ModuleDict(
            {
                "label_generator": self.label_generator,
                "sample_generator": self.sample_generator,
                "discriminator": self.discriminator,
            }
        )
