"""The three networks of the label GAN, on features of width d and K class names.

Every network represents a class by the encoder's embedding of its name plus a learned offset. So a class
without rows has a representation too, and similar names start close to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["ClassText", "Discriminator", "LabelGenerator", "Networks", "SampleGenerator"]

NOISE = 16
"""Width of the noise z."""
HIDDEN = 128


class ClassText(nn.Module):
    """Class vectors, K x d: ``scale`` * name + offset."""

    def __init__(self, names: Tensor):
        super().__init__()
        centred = normalize(names - names.mean(0), dim=1)
        self.names: Tensor
        self.register_buffer("names", centred)
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros_like(names))

    def forward(self) -> Tensor:
        """Return all class vectors: K x d."""
        return self.scale * self.names + self.offset


class LabelGenerator(nn.Module):
    """G_y(x, z) -> y': logits over the classes for features n x d and noise n x NOISE.

    A bilinear form of class vectors and x, where z shifts x. A linear probe can be copied into it. A deeper
    network would memorize the labels of the pool.
    """

    def __init__(self, names: Tensor):
        super().__init__()
        width = names.shape[1]
        self.classes = ClassText(names)
        self.bias = nn.Parameter(torch.zeros(len(names)))
        self.shift = nn.Linear(NOISE, width, bias=False)
        nn.init.zeros_(self.shift.weight)

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        """Return logits: n x K."""
        return (features + self.shift(noise)) @ self.classes().T + self.bias

    @torch.no_grad()
    def start_from(self, weights: Tensor, bias: Tensor) -> None:
        """Initialize from a linear classifier (K x d, K), by setting the offsets."""
        self.classes.offset.copy_(weights - self.classes.scale * self.classes.names)
        self.bias.copy_(bias)


class SampleGenerator(nn.Module):
    """G_x(z, y) -> x': features of norm 1 from noise and class vectors."""

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
        """Return features (n x d) for noise (n x NOISE) and label distributions (n x K)."""
        return normalize(self.body(torch.cat([labels @ self.classes(), noise], 1)), dim=1)


class Discriminator(nn.Module):
    """Projection discriminator D(x, y) of real pairs (Miyato & Koyama 2018, arXiv:1802.05637).

    D(x, y) = psi(phi(x)) + <class vector of y, V phi(x)>, with spectral normalization of every layer.
    Phase 1 uses it without y.
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
        self.gain = nn.Parameter(
            torch.tensor(10.0)
        )  # features differ little, and spectral norm limits the slope

    def forward(self, features: Tensor) -> Tensor:
        """Return D(x, y) for every class y: n x K."""
        inner = self.trunk(self.gain * features)
        return self.real(inner) + self.project(inner) @ self.classes().T

    def judge_rows(self, features: Tensor) -> Tensor:
        """Return the output of phase 1 for x alone: n."""
        return self.real(self.trunk(self.gain * features)).squeeze(1)


@dataclass
class Networks:
    """The three networks of the label GAN."""

    label_generator: LabelGenerator
    sample_generator: SampleGenerator
    discriminator: Discriminator

    @classmethod
    def make(cls, names: Tensor, seed: int) -> Networks:
        """Create networks for class names (K x d), with initial weights that depend on ``seed`` only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(LabelGenerator(names), SampleGenerator(names), Discriminator(names))

    def modules(self) -> nn.ModuleDict:
        """Return the networks as one module, for checkpoints."""
        return nn.ModuleDict(
            {
                "label_generator": self.label_generator,
                "sample_generator": self.sample_generator,
                "discriminator": self.discriminator,
            }
        )
