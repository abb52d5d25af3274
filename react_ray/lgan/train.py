"""Phase 2: the label generator, and adversarial training of the three networks (P2, S2, S4).

In each step, G_y learns from the labelled rows, from its teacher and, optionally, from consistency under
perturbation and the estimated class balance. In adversarial training, D learns to discriminate real pairs
from generated and wrong ones, G_x learns to generate samples that D classifies as real, and G_y also learns
to generate labels that D classifies as real.
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

ANCHOR_SHARE = 0.2
"""Share of the most confident rows of each predicted class that are used as real pairs for D."""


def loop(
    worker: Worker, inputs: str, phase1: str, output: str, settings: Mapping[str, Any], seed: int
) -> None:
    """Train phase 2; rank 0 writes the networks into ``output``.

    ``inputs`` is the folder of :func:`react_ray.labelers.label_gan.prepare`, ``phase1`` that of phase 1, and
    ``settings`` a LganConfig as a dictionary.
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
            alignment = _balance_ratio(networks, data)
        state.record(_train_step(state, worker, config, data, alignment, step_generator(seed, step, 2)))
    if worker.rank == 0:
        save_networks(networks, state.history, Path(output))


@dataclass(frozen=True)
class TrainingData:
    """Tensors of phase 2; ``real_pairs`` has the labelled rows, their copies, and the anchors."""

    names: Tensor
    pool: Tensor
    probabilities: Tensor
    labeled: Tensor
    labels: Tensor
    real_pairs: Tensor
    real_pair_labels: Tensor
    prior: Tensor
    teacher_weights: Tensor
    teacher_bias: Tensor

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> TrainingData:
        """Read the folder of the inputs."""
        inputs, teacher = LganInputs.load(folder), load_file(folder / "teacher.safetensors")
        probabilities = teacher["believed"]
        confident = confident_rows(probabilities, ANCHOR_SHARE)

        def tensor(value: Any) -> Tensor:
            return torch.from_numpy(value).to(device)

        labeled = torch.cat([tensor(inputs.labeled), tensor(inputs.augmented)])
        labels = torch.cat([tensor(inputs.labels), tensor(inputs.augmented_labels)])
        targets = tensor(probabilities) if len(probabilities) else one_hot(labels, inputs.classes).float()
        anchors, anchor_labels = tensor(inputs.pool[confident]), tensor(probabilities[confident].argmax(1))
        return cls(
            names=tensor(inputs.names),
            pool=tensor(inputs.pool) if len(inputs.pool) else labeled,
            probabilities=targets,
            labeled=labeled,
            labels=labels,
            real_pairs=torch.cat([labeled, anchors]),
            real_pair_labels=torch.cat([labels, anchor_labels]),
            prior=tensor(teacher["prior"]),
            teacher_weights=tensor(teacher["weights"]),
            teacher_bias=tensor(teacher["bias"]),
        )


@torch.no_grad()
def _balance_ratio(networks: Networks, data: TrainingData) -> Tensor:
    """Return the ratio of the estimated class balance to that of G_y's predictions: K."""
    noise = torch.zeros(len(data.pool), NOISE, device=data.pool.device)
    predicted = softmax(networks.label_generator(data.pool, noise), 1).mean(0)
    return (data.prior / predicted.clamp(min=1e-4)).clamp(0.5, 2.0)


def _train_step(
    state: TrainingState,
    worker: Worker,
    config: LganConfig,
    data: TrainingData,
    alignment: Tensor,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """Update all networks simultaneously, each by its own loss of one shared forward pass."""
    batch = _Batch.draw(data, config, worker, random)
    if config.adversarial or config.sampled:
        losses = _adversarial_losses(state.networks, config, batch, alignment)
    else:
        logits = _label_logits(state.networks.label_generator, batch, batch.pool[:0], config)
        losses = _label_losses(config, batch, logits, alignment)
    trained = [network for network in state.optimizers if network in losses]
    gradients = {network: state.gradients(network, losses[network]) for network in trained}
    for network, gradient in gradients.items():
        state.update(network, gradient, worker)
    return losses


def _adversarial_losses(
    networks: Networks, config: LganConfig, batch: _Batch, alignment: Tensor
) -> dict[str, Tensor]:
    """Return the losses of all three networks, and further values to record."""
    loss_form = LOSSES[config.loss]
    samples = networks.sample_generator(batch.noise, batch.sample_labels)
    logits = _label_logits(networks.label_generator, batch, samples.detach(), config)
    verdicts, pool_verdicts = _verdicts(networks.discriminator, batch, samples, logits["pool"])
    if not config.wrong_pairs:
        verdicts = replace(verdicts, wrong=verdicts.wrong[:0])
    predicted = softmax(logits["pool"], 1)
    adversarial = loss_form.generator((predicted * pool_verdicts).sum(1))
    sampled = cross_entropy(logits["samples"], batch.sample_labels)
    losses = _label_losses(config, batch, logits, alignment)
    losses["label_generator"] = (
        losses["label_generator"] + config.adversarial * adversarial + config.sampled * sampled
    )
    return {
        "discriminator": loss_form.discriminator(verdicts),
        "sample_generator": loss_form.generator(verdicts.sampled),
        **losses,
        "label_adversarial": adversarial,
        "label_sampled": sampled,
        "discriminator_accuracy": verdicts.accuracy(),
    }


@dataclass(frozen=True)
class _Batch:
    """The part of this rank of a batch that is the same on all ranks."""

    real: Tensor
    real_labels: Tensor
    wrong_labels: Tensor
    labeled: Tensor
    labels: Tensor
    pool: Tensor
    probabilities: Tensor
    noise: Tensor
    other_noise: Tensor
    sample_labels: Tensor
    uniform: Tensor
    perturbation: Tensor

    @classmethod
    def draw(cls, data: TrainingData, config: LganConfig, worker: Worker, random: torch.Generator) -> _Batch:
        size, classes = config.batch_size, len(data.names)
        real, pool = draw_rows(len(data.real_pairs), size, random), draw_rows(len(data.pool), size, random)
        labeled = draw_rows(max(len(data.labeled), 1), size, random)[: size if len(data.labeled) else 0]
        real_labels = data.real_pair_labels.cpu()[real]
        sampled_classes = torch.multinomial(data.prior.cpu(), size, replacement=True, generator=random)
        return cls(
            real=data.real_pairs[rank_rows(real, worker)],
            real_labels=rank_rows(real_labels, worker),
            wrong_labels=rank_rows(wrong_labels(real_labels, classes, random), worker),
            labeled=data.labeled[rank_rows(labeled, worker)],
            labels=data.labels[rank_rows(labeled, worker)],
            pool=data.pool[rank_rows(pool, worker)],
            probabilities=data.probabilities[rank_rows(pool, worker)],
            noise=rank_rows(torch.randn(size, NOISE, generator=random), worker),
            other_noise=rank_rows(torch.randn(size, NOISE, generator=random), worker),
            sample_labels=rank_rows(one_hot(sampled_classes, classes).float(), worker),
            uniform=rank_rows(torch.rand(size, 1, generator=random), worker),
            perturbation=rank_rows(torch.randn(size, data.pool.shape[1], generator=random), worker),
        )


def _label_logits(
    generate: LabelGenerator, batch: _Batch, samples: Tensor, config: LganConfig
) -> dict[str, Tensor]:
    """Return G_y's logits for unlabelled, perturbed (if needed), generated and labelled rows."""
    perturbed = normalize(batch.pool + config.nudge * normalize(batch.perturbation, dim=1), dim=1)
    perturbed = perturbed if config.consistency else perturbed[:0]
    rows = {"pool": batch.pool, "perturbed": perturbed, "samples": samples, "labeled": batch.labeled}
    other_noise = [batch.other_noise[: len(part)] for part in (perturbed, samples)]
    noise = [batch.noise, *other_noise, batch.noise[: len(batch.labeled)]]
    logits = generate(torch.cat(list(rows.values())), torch.cat(noise))
    return dict(zip(rows, logits.split([len(part) for part in rows.values()]), strict=True))


def _verdicts(
    discriminate: Discriminator, batch: _Batch, samples: Tensor, logits: Tensor
) -> tuple[Verdicts, Tensor]:
    """Return D's outputs for real, wrong and generated pairs, and for the pool with every class."""
    with torch.no_grad():
        predicted = softmax(logits, 1)
        drawn = (predicted.cumsum(1) < batch.uniform).sum(1).clamp(max=predicted.shape[1] - 1)
    sizes = [len(batch.real), len(batch.pool), len(samples)]
    real_output, pool_output, sample_output = discriminate(
        torch.cat([batch.real, batch.pool, samples])
    ).split(sizes)
    verdicts = Verdicts(
        real=real_output.gather(1, batch.real_labels[:, None])[:, 0],
        wrong=real_output.gather(1, batch.wrong_labels[:, None])[:, 0],
        labelled=pool_output.gather(1, drawn[:, None])[:, 0],
        sampled=(sample_output * batch.sample_labels).sum(1),
    )
    return verdicts, pool_output.detach()


def _label_losses(
    config: LganConfig, batch: _Batch, logits: dict[str, Tensor], alignment: Tensor
) -> dict[str, Tensor]:
    """Return G_y's loss without adversarial terms, and its terms."""
    parts = {"teacher": cross_entropy(logits["pool"], batch.probabilities)}
    if config.consistency:
        predicted = softmax(logits["pool"], 1)
        aligned = (predicted * alignment if config.alignment else predicted).detach()
        parts["consistency"] = cross_entropy(logits["perturbed"], aligned / aligned.sum(1, keepdim=True))
    if len(batch.labeled):
        parts["labeled"] = cross_entropy(logits["labeled"], batch.labels)
    weights = {"labeled": 1.0, "teacher": config.teacher, "consistency": config.consistency}
    total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return {"label_generator": total, **{f"label_{name}": part for name, part in parts.items()}}
