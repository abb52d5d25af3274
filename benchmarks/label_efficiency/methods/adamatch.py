"""AdaMatch on frozen features (Berthelot et al. 2022, arXiv:2106.04732).

A head h on features x. A batch has n labelled rows (x, y), and R n pool rows u; each row is
seen twice, weakly and strongly changed:

    x_w = unit(x + a_w e)                     e a random direction
    x_s = unit(drop(x, q) + a_s e)            drop: a share q of the feature's entries is 0

    p_w = softmax(h(x_w)),  q_w = softmax(h(u_w))
    q~  = norm(q_w * mean(p_w) / mean(q_w))                     distribution alignment
    c   = tau * mean over the labelled rows of max_y p_w        relative confidence threshold
    L_s = CE(y, h(x_w)) + CE(y, h(x_s))
    L_u = mean over the pool rows of [max_y q~ >= c] CE(q~, h(u_s))     q~ held fixed
    L   = L_s + mu(t) L_u,   mu(t) = 1/2 - cos(min(pi, 2 pi t / T)) / 2

with tau = 0.9 and R = 3 as in the paper. Its random interpolation of logits has no effect on
a head without batch normalisation and is left out. The weights that answer are an
exponential moving average.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, softmax

from benchmarks.label_efficiency.draws import Draw
from react_ray.lgan.inputs import Probabilities

__all__ = ["AdaMatch", "adamatch"]

BATCH = 64
POOL_SHARE = 3
THRESHOLD = 0.9
AVERAGE = 0.99


@dataclass(frozen=True)
class AdaMatch:
    """What was tuned, see ``tune``: steps, learning rate, width (0: linear), changes."""

    steps: int = 500
    lr: float = 1e-3
    hidden: int = 256
    weak: float = 0.1
    strong: float = 0.1
    drop: float = 0.3


def adamatch(draw: Draw, settings: AdaMatch | None = None) -> Probabilities:
    """Test probabilities of the averaged head; without a pool the supervised loss is left."""
    settings = settings or AdaMatch()
    random = torch.Generator().manual_seed(draw.seed)
    labeled, labels = torch.from_numpy(draw.labeled.features), torch.from_numpy(draw.labels)
    pool = torch.from_numpy(draw.pool.features)
    head = make_head(labeled.shape[1], settings.hidden, len(draw.classes), draw.seed)
    averaged = copy.deepcopy(head).requires_grad_(False)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.lr, weight_decay=1e-4)
    for step in range(settings.steps):
        rows = torch.randint(len(labeled), (BATCH,), generator=random)
        others = torch.randint(max(len(pool), 1), (BATCH * POOL_SHARE,), generator=random)
        batch = torch.cat([labeled[rows], pool[others] if len(pool) else pool])
        weak, strong = _change(batch, settings, random)
        warmup = 0.5 - math.cos(min(math.pi, 2 * math.pi * step / settings.steps)) / 2
        loss = _loss(head(weak), head(strong), labels[rows], warmup)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _move(averaged, head, min(AVERAGE, (1 + step) / (10 + step)))
    with torch.no_grad():
        return softmax(averaged(torch.from_numpy(draw.test.features)), 1).numpy()


def make_head(width: int, hidden: int, classes: int, seed: int) -> nn.Sequential:
    """A linear head on 8 x, or one with a hidden layer; features of length 1 are small."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not hidden:
            return nn.Sequential(_Times(8), nn.Linear(width, classes))
        return nn.Sequential(_Times(8), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


class _Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, rows: Tensor) -> Tensor:
        return self.factor * rows


def _change(rows: Tensor, settings: AdaMatch, random: torch.Generator) -> tuple[Tensor, Tensor]:
    directions = normalize(torch.randn(2, *rows.shape, generator=random), dim=2)
    keep = (torch.rand(rows.shape, generator=random) >= settings.drop).float()
    weak = normalize(rows + settings.weak * directions[0], dim=1)
    return weak, normalize(rows * keep + settings.strong * directions[1], dim=1)


def _loss(weak: Tensor, strong: Tensor, labels: Tensor, warmup: float) -> Tensor:
    """L of logits for a labelled batch followed by its pool rows."""
    known = len(labels)
    supervised = cross_entropy(weak[:known], labels) + cross_entropy(strong[:known], labels)
    if len(weak) == known:
        return supervised
    with torch.no_grad():
        believed, given = softmax(weak[:known], 1), softmax(weak[known:], 1)
        aligned = given * believed.mean(0) / given.mean(0).clamp(min=1e-6)
        aligned = aligned / aligned.sum(1, keepdim=True)
        sure = aligned.max(1).values >= THRESHOLD * believed.max(1).values.mean()
    each = cross_entropy(strong[known:], aligned, reduction="none")
    return supervised + warmup * (each * sure).mean()


@torch.no_grad()
def _move(averaged: nn.Module, head: nn.Module, keep: float) -> None:
    for mean, now in zip(averaged.parameters(), head.parameters(), strict=True):
        mean.lerp_(now, 1 - keep)
