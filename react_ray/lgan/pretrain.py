"""Phase 1: a plain GAN on unlabelled features (P1).

G_x learns the distribution of features, with random classes, and the trunk of D learns to discriminate real
from generated features. Labels are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, relu

from react_ray.config.settings import LganConfig
from react_ray.lgan.inputs import LganInputs
from react_ray.lgan.networks import NOISE, Networks
from react_ray.lgan.state import TrainingState, draw_rows, rank_rows, save_networks, step_generator
from react_ray.training.worker import Worker

__all__ = ["loop"]


def loop(worker: Worker, inputs: str, output: str, settings: Mapping[str, Any], seed: int) -> None:
    """Train phase 1 on the folder ``inputs``; rank 0 writes the networks into ``output``.

    ``settings`` is a LganConfig as a dictionary.
    """
    config, data = LganConfig.partial(settings), LganInputs.load(Path(inputs))
    names = torch.from_numpy(data.names).to(worker.device)
    pool = torch.from_numpy(data.pool if len(data.pool) else data.labeled).to(worker.device)
    state = TrainingState.make(Networks.make(names, seed), worker, config.lr)
    for step in state.steps(worker, config.pretrain_steps if len(pool) else 0, "plain GAN"):
        random = step_generator(seed, step, phase=1)
        state.record(_train_step(state, worker, config, pool, len(names), random))
    if worker.rank == 0:
        save_networks(state.networks, state.history, Path(output))


def _train_step(
    state: TrainingState,
    worker: Worker,
    config: LganConfig,
    pool: Tensor,
    classes: int,
    random: torch.Generator,
) -> dict[str, Tensor]:
    networks = state.networks
    rows = draw_rows(len(pool), config.batch_size, random)
    noise = torch.randn(config.batch_size, NOISE, generator=random)
    labels = one_hot(torch.randint(classes, (config.batch_size,), generator=random), classes).float()
    real = pool[rank_rows(rows, worker)]
    generated = networks.sample_generator(rank_rows(noise, worker), rank_rows(labels, worker))
    discriminate = networks.discriminator.judge_rows
    real_output, generated_output = discriminate(torch.cat([real, generated])).tensor_split(2)
    losses = {
        "discriminator": relu(1 - real_output).mean() + relu(1 + generated_output).mean(),
        "sample_generator": -generated_output.mean(),
    }
    gradients = {network: state.gradients(network, loss) for network, loss in losses.items()}
    for network, gradient in gradients.items():
        state.update(network, gradient, worker)
    return losses
