"""GAN-BERT on frozen features (Croce, Castellucci & Basili 2020), with k + 1 classes.

D maps a feature to f(x), its hidden layer, and to logits of the K classes and of one more,
"made"; G makes features from noise z. With p = softmax of D's K + 1 logits, and p_K that of
the first K alone:

    L_D = -E_labelled log p_K(y | x)
          -E_real log(1 - p(made | x)) - E_z log p(made | G(z))
    L_G = |E_real f(x) - E_z f(G(z))|^2                         feature matching
          -E_z log(1 - p(made | G(z)))

real rows are labelled and pool rows alike (Salimans et al. 2016, arXiv:1606.03498). Where
GAN-BERT fine-tunes BERT below D, x is a stored feature here, as for the methods beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize, softmax

from benchmarks.label_efficiency.draws import Draw
from react_ray.lgan.inputs import Probabilities

__all__ = ["GanBert", "gan_bert"]

BATCH = 64
NOISE = 100


@dataclass(frozen=True)
class GanBert:
    """What was tuned, see ``tune``: steps, learning rates, width, dropout of D."""

    steps: int = 250
    lr: float = 1e-3
    lr_generator: float = 1e-3
    hidden: int = 128
    dropout: float = 0.2


class Discriminator(nn.Module):
    """Features n x d to the hidden layer and K + 1 logits, the last of them for "made"."""

    def __init__(self, width: int, classes: int, settings: GanBert):
        super().__init__()
        drop = nn.Dropout(settings.dropout)
        self.body = nn.Sequential(nn.Linear(width, settings.hidden), nn.LeakyReLU(0.2), drop)
        self.head = nn.Linear(settings.hidden, classes + 1)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """f(x) and logits; features of length 1 are small, hence the factor."""
        inner = self.body(8 * rows)
        return inner, self.head(inner)


class Generator(nn.Module):
    """Noise n x NOISE to features of length 1."""

    def __init__(self, width: int, settings: GanBert):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(NOISE, settings.hidden), nn.LeakyReLU(0.2), nn.Linear(settings.hidden, width)
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Made features."""
        return normalize(self.body(noise), dim=1)


def gan_bert(draw: Draw, settings: GanBert | None = None) -> Probabilities:
    """Test probabilities of D's first K classes."""
    settings = settings or GanBert()
    labeled, labels = torch.from_numpy(draw.labeled.features), torch.from_numpy(draw.labels)
    real = torch.cat([labeled, torch.from_numpy(draw.pool.features)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw.seed)
        judge = Discriminator(labeled.shape[1], len(draw.classes), settings)
        make = Generator(labeled.shape[1], settings)
        optimizers = [
            torch.optim.Adam(judge.parameters(), lr=settings.lr),
            torch.optim.Adam(make.parameters(), lr=settings.lr_generator),
        ]
        for _ in range(settings.steps):
            known, some = torch.randint(len(labeled), (BATCH,)), torch.randint(len(real), (BATCH,))
            made = make(torch.randn(BATCH, NOISE))
            _step(judge, optimizers, labeled[known], labels[known], real[some], made)
    with torch.no_grad():
        logits = judge.eval()(torch.from_numpy(draw.test.features))[1]
    return softmax(logits[:, :-1], 1).numpy()


def _step(
    judge: Discriminator,
    optimizers: Sequence[torch.optim.Optimizer],
    known: Tensor,
    labels: Tensor,
    real: Tensor,
    made: Tensor,
) -> None:
    """One move of both players, on losses of the same forward pass but for G's."""
    inner, logits = judge(torch.cat([known, real, made.detach()]))
    on_known, on_real, on_made = logits.split(len(known))
    inner_real = inner[len(known) : len(known) + len(real)].mean(0).detach()
    loss = cross_entropy(on_known[:, :-1], labels)
    loss = loss - logsigmoid(-_odds_made(on_real)).mean() - logsigmoid(_odds_made(on_made)).mean()
    _move(optimizers[0], loss)
    inner_made, on_made = judge(made)
    matched = (inner_real - inner_made.mean(0)).square().mean()
    _move(optimizers[1], matched - logsigmoid(-_odds_made(on_made)).mean())


def _odds_made(logits: Tensor) -> Tensor:
    """Log-odds of "made": log p(made) - log(1 - p(made))."""
    return logits[:, -1] - logits[:, :-1].logsumexp(1)


def _move(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
