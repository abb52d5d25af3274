"""Training state of a phase: networks, optimizers, step and losses, saved in checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from react_ray.folders import replace_file
from react_ray.lgan.networks import Networks
from react_ray.training.worker import Worker, average_gradients, checkpoint_to_load

__all__ = ["TrainingState", "draw_rows", "load_networks", "rank_rows", "save_networks", "step_generator"]

PERIOD = 100
"""Steps between checkpoints; they take about a second."""
MAX_NORM = 1.0


@dataclass
class TrainingState:
    """State of a training phase; ``history`` has the mean losses of each period."""

    networks: Networks
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    _sums: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def make(
        cls, networks: Networks, worker: Worker, lr: float, rates: Mapping[str, float] = MappingProxyType({})
    ) -> TrainingState:
        """Create the state at step 0, or restore it from the worker's checkpoint.

        ``rates`` are the learning rates of networks that have another than ``lr``.
        """
        modules = networks.modules().to(worker.device)
        optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(module.parameters(), lr=rates.get(name, lr), betas=(0.5, 0.99), fused=True)
            for name, module in modules.items()
        }
        state = cls(networks, optimizers)
        checkpoint = checkpoint_to_load(worker)
        if checkpoint is not None:
            state._load(checkpoint, worker.device)
        return state

    def steps(self, worker: Worker, total: int, note: str) -> Iterator[int]:
        """Iterate over the remaining steps, with progress and a checkpoint after each period."""
        if total == 0:
            worker.report({"step": 0}, self._save)
        while self.step < total:
            yield self.step
            self.step += 1
            if self.step % PERIOD == 0 or self.step == total:
                self._end_period()
                worker.log(
                    self.step, {name: value for name, value in self.history[-1].items() if name != "step"}
                )
                worker.report(self.history[-1], self._save)
            worker.progress(self.step, total, note)

    def gradients(self, network: str, loss: Tensor) -> list[Tensor | None]:
        """Return the gradients of ``loss`` for the parameters of ``network`` only; retains the graph."""
        parameters = self._parameters(network)
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))

    def update(self, network: str, gradients: list[Tensor | None], worker: Worker) -> None:
        """Take an optimizer step of ``network``, with gradients averaged over the ranks."""
        parameters = self._parameters(network)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        average_gradients(parameters, worker)
        torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        self.optimizers[network].step()

    def _parameters(self, network: str) -> list[torch.nn.Parameter]:
        return self.optimizers[network].param_groups[0]["params"]

    def record(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step to those of the period."""
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros(())) + loss.detach().cpu()

    def _end_period(self) -> None:
        steps = (self.step - 1) % PERIOD + 1
        means = {name: float(total) / steps for name, total in self._sums.items()}
        self.history.append({"step": self.step, **means})
        self._sums = {}

    def _save(self, folder: Path) -> None:
        content = {
            "players": self.networks.modules().state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "history": self.history,
        }
        torch.save(content, folder / "state.pt")

    def _load(self, folder: Path, device: torch.device) -> None:
        content = torch.load(folder / "state.pt", map_location=device, weights_only=True)
        self.networks.modules().load_state_dict(content["players"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.step, self.history = content["step"], content["history"]


def step_generator(seed: int, step: int, phase: int) -> torch.Generator:
    """Return the random generator of a step, the same on all ranks and after resuming."""
    return torch.Generator().manual_seed(((seed * 2 + phase) << 32) + step)


def draw_rows(count: int, batch: int, random: torch.Generator) -> Tensor:
    """Draw ``batch`` row indices below ``count``, with replacement."""
    return torch.randint(count, (batch,), generator=random)


def rank_rows(batch: Tensor, worker: Worker) -> Tensor:
    """Return this rank's rows of a batch that is the same on all ranks, on its device."""
    return batch[worker.rank :: worker.world_size].to(worker.device)


def save_networks(networks: Networks, history: list[dict[str, float]], folder: Path) -> None:
    """Write ``players.safetensors`` and ``losses.json``, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in networks.modules().state_dict().items()
    }
    losses = json.dumps(history, indent=1)
    replace_file(folder / "losses.json", lambda temporary: temporary.write_text(losses))
    replace_file(folder / "players.safetensors", lambda temporary: save_file(tensors, temporary))


def load_networks(networks: Networks, folder: Path) -> None:
    """Load the file of :func:`save_networks` into ``networks``."""
    networks.modules().load_state_dict(load_file(folder / "players.safetensors"))
