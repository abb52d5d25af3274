"""Settings of the labelers of the unlabelled pool: label GAN, candidates and proposals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from react_ray.config.sections.base import Settings

__all__ = ["CandidatesConfig", "LganConfig", "ProposalsConfig"]


class LganConfig(Settings):
    """The label GAN (P1, P2, S2, S4, L1 in docs/method.md).

    Adversarial training is on where ``adversarial`` or ``sampled`` is above 0. The loss terms
    from ``consistency`` to ``sampled`` are off by default, because they improved no measured score.
    """

    loss: Literal["standard", "as_written"] = Field(
        "standard",
        description="Adversarial loss; as_written: the form printed in the article, whose discriminator "
        "cannot learn to judge (L1)",
    )
    names: bool = Field(
        True,
        description="Use class names as evidence; their weight falls to 0 where they do not help",
    )
    rounds: int = Field(5, ge=0, le=50, description="Rounds of self-training of the teacher")
    pretrain_steps: int = Field(
        0,
        ge=0,
        description="Optimizer steps of phase 1, the GAN without labels; used by adversarial training",
    )
    steps: int = Field(500, ge=1, description="Optimizer steps of phase 2, the label GAN")
    batch_size: int = Field(
        120, ge=8, description="Pairs of each kind in a step, over all workers; 120 divides evenly"
    )
    lr: float = Field(1e-3, gt=0, description="Learning rate of the discriminator and the sample generator")
    lr_labels: float = Field(
        5e-5, gt=0, description="Learning rate of the label generator, which starts from a fitted teacher"
    )
    teacher: float = Field(
        1.0, ge=0, description="Loss weight of agreeing with the teacher on the unlabelled pool"
    )
    foreign: bool = Field(
        True, description="Leave out unlabelled rows that are out of scope: unlike all labelled ones"
    )
    verifier: bool = Field(
        True,
        description="The discriminator changes labels and weights; false: the label generator decides alone",
    )
    fine_tuned: bool = Field(
        True,
        description="The model that is fine-tuned on the labelled rows takes part in the pool's labels",
    )
    consistency: float = Field(
        0.0, ge=0, description="Loss weight of the same label for a row and its perturbed copy"
    )
    nudge: float = Field(0.3, ge=0, description="Length of the perturbation; features have length 1")
    alignment: bool = Field(
        False, description="Align the labels of the consistency loss with the estimated class balance"
    )
    adversarial: float = Field(
        0.0, ge=0, description="Loss weight of the discriminator's verdict on generated labels"
    )
    sampled: float = Field(
        0.0, ge=0, description="Loss weight of labelling a generated sample with the label it was made for"
    )
    wrong_pairs: bool = Field(
        True, description="Add labelled texts with a wrong label to the fakes of adversarial training (S3)"
    )


class CandidatesConfig(Settings):
    """Labels by the fine-tuned model, verified out of fold: for entities and several labels a text."""

    rows: int = Field(
        4000, ge=0, description="Unlabelled rows that are labelled: a random sample of the unlabelled pool"
    )
    verifier: bool | None = Field(
        None,
        description="Whether D judges what the model proposes; None: for words only, "
        "unless validation rows are labelled better without",
    )


class ProposalsConfig(Settings):
    """Answers by the fine-tuned model, weighed by their scores: for spans and texts."""

    verifier: bool = Field(
        False,
        description="D chooses among the candidates for a row, where it helps on the validation rows",
    )
    cloze: bool = Field(
        False,
        description="Train on cloze questions of all contexts first (question answering)",
    )
