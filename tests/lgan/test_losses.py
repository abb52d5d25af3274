"""The two forms of the game: what each lets D learn."""

from __future__ import annotations

import pytest
import torch

from react_ray.lgan.label_augmentation import wrong_labels
from react_ray.lgan.losses import LOSSES, Verdicts
from react_ray.lgan.networks import NOISE, Networks


def pairs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of three classes around their names, and the names."""
    draw = torch.Generator().manual_seed(seed)
    names = torch.nn.functional.normalize(torch.randn(3, 16, generator=draw), dim=1)
    labels = torch.randint(3, (90,), generator=draw)
    rows = names[labels] + 0.1 * torch.randn(90, 16, generator=draw)
    return torch.nn.functional.normalize(rows, dim=1), labels, names


def train_judge(form: str, steps: int = 60) -> Verdicts:
    """Train D alone against fixed fakes: wrong labels and shuffled features."""
    rows, labels, names = pairs()
    draw = torch.Generator().manual_seed(1)
    wrong = wrong_labels(labels, 3, draw)
    fake_rows = rows[torch.randperm(90, generator=draw)]
    judge = Networks.make(names, 0).discriminator
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)

    def verdicts() -> Verdicts:
        def of(features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
            return judge(features).gather(1, classes[:, None])[:, 0]

        return Verdicts(of(rows, labels), of(rows, wrong), of(rows, wrong), of(-fake_rows, labels))

    for _ in range(steps):
        optimizer.zero_grad()
        LOSSES[form].discriminator(verdicts()).backward()
        optimizer.step()
    with torch.no_grad():
        return verdicts()


def test_the_standard_form_tells_real_from_fake():
    found = train_judge("standard")
    assert found.real.mean() > 0.5
    assert found.wrong.mean() < -0.5
    assert found.sampled.mean() < -0.5


def test_the_printed_form_pushes_both_terms_one_way_and_never_sees_a_real_pair():
    verdicts = Verdicts(*(torch.zeros(4, requires_grad=True) for _ in range(4)))
    LOSSES["as_written"].discriminator(verdicts).backward()
    assert verdicts.real.grad is None
    assert (verdicts.labelled.grad > 0).all()
    assert torch.equal(verdicts.labelled.grad, verdicts.sampled.grad)


def test_the_printed_form_cannot_tell_real_from_fake():
    """Fakes lie between real rows here, so D can only be right by what it was told."""
    rows, labels, names = pairs()
    judge = Networks.make(names, 0).discriminator
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        verdict = judge(rows).gather(1, labels[:, None])[:, 0]  # G makes perfect pairs
        LOSSES["as_written"].discriminator(Verdicts(verdict, verdict, verdict, verdict)).backward()
        optimizer.step()
    assert judge(rows).gather(1, labels[:, None]).max() < 0, "every real pair is called a fake"


def test_a_generator_gains_when_its_pairs_are_believed():
    for form in LOSSES.values():
        assert form.generator(torch.ones(3)) < form.generator(-torch.ones(3))


def test_wrong_labels_are_wrong_and_all_others_are_as_likely():
    labels = torch.arange(3).repeat(400)
    drawn = wrong_labels(labels, 3, torch.Generator().manual_seed(0))
    assert (drawn != labels).all()
    assert (drawn[labels == 0] == 1).float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("classes", [2, 150])
def test_shapes_of_the_players(classes):
    names = torch.nn.functional.normalize(torch.randn(classes, 24), dim=1)
    networks = Networks.make(names, 0)
    rows, noise, labels = torch.randn(5, 24), torch.randn(5, NOISE), torch.eye(classes)[:5]
    labels = torch.eye(classes)[torch.zeros(5, dtype=torch.long)]
    assert networks.label_generator(rows, noise).shape == (5, classes)
    made = networks.sample_generator(noise, labels)
    assert torch.allclose(made.norm(dim=1), torch.ones(5), atol=1e-5)
    assert networks.discriminator(made).shape == (5, classes)
    assert networks.discriminator.judge_rows(made).shape == (5,)


def test_a_linear_probe_is_copied_into_the_label_generator():
    names = torch.nn.functional.normalize(torch.randn(3, 24), dim=1)
    generator = Networks.make(names, 0).label_generator
    weights, bias = torch.randn(3, 24), torch.randn(3)
    generator.start_from(weights, bias)
    rows = torch.randn(7, 24)
    logits = generator(rows, torch.randn(7, NOISE))
    assert torch.allclose(logits, rows @ weights.T + bias, atol=1e-5)
