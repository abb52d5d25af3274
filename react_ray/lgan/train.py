"""Phase 2: the label generator, and adversarial training of the three networks (P2, S2, S4).

Each step, G_y learns from the labelled rows, from its teacher and, optionally, from consistency under
perturbation and the estimated class balance. In adversarial training D learns to discriminate real pairs
from generated and wrong ones, G_x to generate pairs that D classifies as real, and G_y also to generate
labels that D classifies as real.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot, softmax

from react_ray.config.settings import LganConfig
from react_ray.lgan.inputs import LganInputs
from react_ray.lgan.label_augmentation import wrong_labels
from react_ray.lgan.losses import LOSSES, Verdicts
from react_ray.lgan.networks import NOISE, Discriminator, LabelGenerator, Networks
from react_ray.lgan.self_training import confident_rows
from react_ray.lgan.state import (
    PERIOD,
    TrainingState,
    draw_rows,
    load_networks,
    rank_rows,
    save_networks,
    step_generator,
)
from react_ray.training.worker import Worker

__all__ = ["loop"]

ANCHORS = 0.2
"""Share of each predicted class, most confident first, that counts as real to D."""


def loop(
    worker: Worker, inputs: str, phase1: str, output: str, settings: Mapping[str, Any], seed: int
) -> None:
    """Train phase 2; rank 0 writes the networks into ``output``.

    ``inputs`` is the folder of :func:`react_ray.lgan.prepare`, ``phase1`` what
    phase 1 wrote, ``settings`` a LganConfig as a dict.
    """
    config, data = LganConfig.partial(settings), TrainingData.load(Path(inputs), worker.device)
    networks = Networks.make(data.names, seed)
    networks.modules().to(worker.device)
    load_networks(networks, Path(phase1))
    networks.label_generator.start_from(data.teacher_weights, data.teacher_bias)
    state = TrainingState.make(networks, worker, config.lr, {"label_generator": config.lr_labels})
    alignment = torch.ones(0)
    for step in state.steps(worker, config.steps, "label GAN"):
        if step % PERIOD == 0 or not len(alignment):
            alignment = _alignment(networks, data)
        state.record(_train_step(state, worker, config, data, alignment, step_generator(seed, step, 2)))
    if worker.rank == 0:
        save_networks(networks, state.history, Path(output))


@dataclass(frozen=True)
class TrainingData:
    """Tensors of phase 2. ``known`` rows count as real: labelled, copies, anchors."""

    names: Tensor
    pool: Tensor
    probabilities: Tensor
    labeled: Tensor
    labels: Tensor
    known: Tensor
    known_labels: Tensor
    prior: Tensor
    teacher_weights: Tensor
    teacher_bias: Tensor

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> TrainingData:
        """Read a prepared inputs folder."""
        given, teacher = LganInputs.load(folder), load_file(folder / "teacher.safetensors")
        probabilities = teacher["believed"]
        confident = confident_rows(probabilities, ANCHORS)

        def tensor(value: Any) -> Tensor:
            return torch.from_numpy(value).to(device)

        labeled = torch.cat([tensor(given.labeled), tensor(given.augmented)])
        labels = torch.cat([tensor(given.labels), tensor(given.augmented_labels)])
        targets = tensor(probabilities) if len(probabilities) else one_hot(labels, given.classes).float()
        anchors, anchor_labels = tensor(given.pool[confident]), tensor(probabilities[confident].argmax(1))
        return cls(
            names=tensor(given.names),
            pool=tensor(given.pool) if len(given.pool) else labeled,
            probabilities=targets,
            labeled=labeled,
            labels=labels,
            known=torch.cat([labeled, anchors]),
            known_labels=torch.cat([labels, anchor_labels]),
            prior=tensor(teacher["prior"]),
            teacher_weights=tensor(teacher["weights"]),
            teacher_bias=tensor(teacher["bias"]),
        )


@torch.no_grad()
def _alignment(networks: Networks, data: TrainingData) -> Tensor:
    """Estimated class balance over the balance G_y gives, K; near 1 when they agree."""
    noise = torch.zeros(len(data.pool), NOISE, device=data.pool.device)
    given = softmax(networks.label_generator(data.pool, noise), 1).mean(0)
    return (data.prior / given.clamp(min=1e-4)).clamp(0.5, 2.0)


def _train_step(
    state: TrainingState,
    worker: Worker,
    config: LganConfig,
    data: TrainingData,
    alignment: Tensor,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """Update all networks at once, each on its loss over one shared forward pass."""
    batch = _Batch.draw(data, config, worker, random)
    if config.adversarial or config.sampled:
        losses = _adversarial_losses(state.networks, config, batch, alignment)
    else:
        answers = _answers(state.networks.label_generator, batch, batch.pool[:0], config)
        losses = _label_losses(config, batch, answers, alignment)
    moving = [network for network in state.optimizers if network in losses]
    gradients = {network: state.gradients(network, losses[network]) for network in moving}
    for network, gradient in gradients.items():
        state.update(network, gradient, worker)
    return losses


def _adversarial_losses(
    networks: Networks, config: LganConfig, batch: _Batch, alignment: Tensor
) -> dict[str, Tensor]:
    """Return the losses of all three networks."""
    form = LOSSES[config.loss]
    made = networks.sample_generator(batch.noise, batch.made_labels)
    answers = _answers(networks.label_generator, batch, made.detach(), config)
    verdicts, pool_verdicts = _verdicts(networks.discriminator, batch, made, answers["pool"])
    if not config.wrong_pairs:
        verdicts = replace(verdicts, wrong=verdicts.wrong[:0])
    given = softmax(answers["pool"], 1)
    adversarial = form.generator((given * pool_verdicts).sum(1))
    sampled = cross_entropy(answers["made"], batch.made_labels)
    losses = _label_losses(config, batch, answers, alignment)
    losses["label_generator"] = (
        losses["label_generator"] + config.adversarial * adversarial + config.sampled * sampled
    )
    return {
        "discriminator": form.discriminator(verdicts),
        "sample_generator": form.generator(verdicts.sampled),
        **losses,
        "label_adversarial": adversarial,
        "label_sampled": sampled,
        "discriminator_accuracy": verdicts.accuracy(),
    }


@dataclass(frozen=True)
class _Batch:
    """One rank's part of a batch all ranks drew alike."""

    real: Tensor
    real_labels: Tensor
    wrong_labels: Tensor
    labeled: Tensor
    labels: Tensor
    pool: Tensor
    probabilities: Tensor
    noise: Tensor
    other: Tensor
    made_labels: Tensor
    chance: Tensor
    nudge: Tensor

    @classmethod
    def draw(cls, data: TrainingData, config: LganConfig, worker: Worker, random: torch.Generator) -> _Batch:
        size, classes = config.batch_size, len(data.names)
        real, pool = draw_rows(len(data.known), size, random), draw_rows(len(data.pool), size, random)
        labeled = draw_rows(max(len(data.labeled), 1), size, random)[: size if len(data.labeled) else 0]
        real_labels = data.known_labels.cpu()[real]
        made = torch.multinomial(data.prior.cpu(), size, replacement=True, generator=random)
        return cls(
            real=data.known[rank_rows(real, worker)],
            real_labels=rank_rows(real_labels, worker),
            wrong_labels=rank_rows(wrong_labels(real_labels, classes, random), worker),
            labeled=data.labeled[rank_rows(labeled, worker)],
            labels=data.labels[rank_rows(labeled, worker)],
            pool=data.pool[rank_rows(pool, worker)],
            probabilities=data.probabilities[rank_rows(pool, worker)],
            noise=rank_rows(torch.randn(size, NOISE, generator=random), worker),
            other=rank_rows(torch.randn(size, NOISE, generator=random), worker),
            made_labels=rank_rows(one_hot(made, classes).float(), worker),
            chance=rank_rows(torch.rand(size, 1, generator=random), worker),
            nudge=rank_rows(torch.randn(size, data.pool.shape[1], generator=random), worker),
        )


def _answers(generate: LabelGenerator, batch: _Batch, made: Tensor, config: LganConfig) -> dict[str, Tensor]:
    """G_y's logits for the pool, for the pool nudged (if asked), for made and for labelled rows."""
    nudged = normalize(batch.pool + config.nudge * normalize(batch.nudge, dim=1), dim=1)
    nudged = nudged if config.consistency else nudged[:0]
    rows = {"pool": batch.pool, "nudged": nudged, "made": made, "labeled": batch.labeled}
    other = [batch.other[: len(part)] for part in (nudged, made)]
    noise = [batch.noise, *other, batch.noise[: len(batch.labeled)]]
    logits = generate(torch.cat(list(rows.values())), torch.cat(noise))
    return dict(zip(rows, logits.split([len(part) for part in rows.values()]), strict=True))


def _verdicts(judge: Discriminator, batch: _Batch, made: Tensor, logits: Tensor) -> tuple[Verdicts, Tensor]:
    """D's verdicts on real, wrong and generated pairs, and on the pool with every class."""
    with torch.no_grad():
        given = softmax(logits, 1)
        drawn = (given.cumsum(1) < batch.chance).sum(1).clamp(max=given.shape[1] - 1)
    sizes = [len(batch.real), len(batch.pool), len(made)]
    on_real, on_pool, on_made = judge(torch.cat([batch.real, batch.pool, made])).split(sizes)
    verdicts = Verdicts(
        real=on_real.gather(1, batch.real_labels[:, None])[:, 0],
        wrong=on_real.gather(1, batch.wrong_labels[:, None])[:, 0],
        labelled=on_pool.gather(1, drawn[:, None])[:, 0],
        sampled=(on_made * batch.made_labels).sum(1),
    )
    return verdicts, on_pool.detach()


def _label_losses(
    config: LganConfig, batch: _Batch, answers: dict[str, Tensor], alignment: Tensor
) -> dict[str, Tensor]:
    """Return G_y's loss without adversarial terms, and its parts."""
    parts = {"teacher": cross_entropy(answers["pool"], batch.probabilities)}
    if config.consistency:
        given = softmax(answers["pool"], 1)
        aligned = (given * alignment if config.alignment else given).detach()
        parts["consistency"] = cross_entropy(answers["nudged"], aligned / aligned.sum(1, keepdim=True))
    if len(batch.labeled):
        parts["labeled"] = cross_entropy(answers["labeled"], batch.labels)
    weights = {"labeled": 1.0, "teacher": config.teacher, "consistency": config.consistency}
    total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return {"label_generator": total, **{f"label_{name}": part for name, part in parts.items()}}
