from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from feature_blobs import make_blobs, run_phases

from react_ray.config.settings import LganConfig
from react_ray.labelers.gate import collapse_alarm, decide, gather
from react_ray.lgan import TrainedLabelGenerator
from react_ray.lgan.networks import Networks
from react_ray.lgan.probe import one_hot
from react_ray.lgan.state import save_networks

PRIOR = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
FINE = [{"step": 100, "discriminator": 1.0, "discriminator_accuracy": 0.7}]


def labels_of(balance: list[float], count: int = 200):
    classes = len(balance)
    return one_hot(np.random.default_rng(0).choice(classes, size=count, p=balance), classes)


def test_no_alarm_for_labels_in_the_estimated_balance():
    assert collapse_alarm(labels_of([0.4, 0.3, 0.2, 0.1]), PRIOR, FINE) == ()


@pytest.mark.parametrize(
    ("balance", "said"),
    [([1, 0, 0, 0], "0.00 nats"), ([0.5, 0.3, 0.2, 0.0], "1 of 4 classes vanished .* number 3")],
    ids=["one label only", "a class is gone"],
)
def test_a_collapsed_label_generator_raises_an_alarm(balance, said):
    alarms = collapse_alarm(labels_of(balance), PRIOR, FINE)
    assert re.search(said, "; ".join(alarms))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"discriminator": float("nan")}, "not a number"),
        ({"label_generator": 1e15}, "ceiling"),
        ({"discriminator_accuracy": 1.0}, "so the generators cannot learn"),
    ],
)
def test_losses_that_went_astray_raise_an_alarm(last, said):
    alarms = collapse_alarm(labels_of([0.4, 0.3, 0.2, 0.1]), PRIOR, [*FINE, {"step": 200, **last}])
    assert len(alarms) == 1
    assert said in alarms[0]


def test_one_class_of_many_is_no_collapse():
    prior = np.full(77, 1 / 77, np.float32)
    assert collapse_alarm(labels_of([0.0, *[1 / 76] * 76], 3000), prior, FINE) == ()
    assert "10 of 77" in collapse_alarm(labels_of([0.0] * 10 + [1 / 67] * 67, 3000), prior, FINE)[0]


def test_a_rare_class_may_be_missing_by_chance():
    prior = np.array([0.5, 0.3, 0.19, 0.01], np.float32)
    assert collapse_alarm(labels_of([0.5, 0.3, 0.2, 0.0]), prior, FINE) == ()


def test_an_alarm_falls_back_and_says_why():
    decision = decide(None, 4, ("a loss is not a number",), generated=9, kept=9)
    assert not decision.use_lgan
    assert "a loss is not a number" in decision.why


def with_validation(blobs, count=60):
    return blobs.with_inputs(
        validation=blobs.test[:count], validation_labels=blobs.test_labels[:count]
    ).inputs


def test_random_labels_fall_back(tmp_path):
    inputs = with_validation(make_blobs(per_class=8))
    astray = torch.from_numpy(inputs.names[[2, 3, 1, 0]])
    save_networks(Networks.make(astray, 3), [], tmp_path)
    untrained = TrainedLabelGenerator(inputs.names, tmp_path, 0)
    decision = decide(gather(inputs, untrained, LganConfig()), 4, (), generated=9, kept=9)
    assert not decision.use_lgan
    assert decision.probability_worse > 0.9
    assert "60 validation rows" in decision.why


def test_good_labels_are_used(tmp_path):
    blobs = make_blobs(per_class=3, spread=2.0)
    trained = run_phases(tmp_path, blobs.inputs)
    labeler = TrainedLabelGenerator(blobs.inputs.names, trained, 0)
    for inputs in (blobs.inputs, with_validation(blobs)):
        decision = decide(gather(inputs, labeler, LganConfig()), 4, (), generated=9, kept=9)
        assert decision.use_lgan
        assert f"macro-F1 {decision.lgan:.3f}" in decision.why
        assert decision.lgan > decision.plain


def test_too_few_labels_leave_the_default():
    blobs = make_blobs(per_class=1)
    decision = decide(gather(blobs.inputs, None, LganConfig()), 4, (), generated=9, kept=9)  # type: ignore[arg-type]
    assert decision.use_lgan
    assert "the default" in decision.why


def test_a_class_with_one_row_is_no_obstacle():
    blobs = make_blobs(per_class=5)
    keep = np.r_[0, 5:20]
    inputs = blobs.with_inputs(labeled=blobs.inputs.labeled[keep], labels=blobs.inputs.labels[keep]).inputs
    decision = decide(gather(inputs, None, LganConfig()), 4, (), generated=9, kept=9)  # type: ignore[arg-type]
    assert decision.rows == 15


def test_a_probe_that_cannot_know_all_classes_is_no_judge(tmp_path):
    blobs = make_blobs(per_class=8)
    labeler = TrainedLabelGenerator(blobs.inputs.names, run_phases(tmp_path, blobs.inputs), seed=0)
    assert gather(blobs.inputs, labeler, LganConfig()) is not None
    known = blobs.inputs.labels != 3
    some = blobs.with_inputs(labeled=blobs.inputs.labeled[known], labels=blobs.inputs.labels[known]).inputs
    assert gather(some, labeler, LganConfig()) is None
    assert decide(None, 4, (), generated=9, kept=9).use_lgan


@pytest.mark.parametrize(
    ("generated", "kept", "told"),
    [
        (9, 9, "Generated labels are used"),
        (0, 0, "There was no unlabelled text, so no labels were generated."),
        (9, 0, "None of the 9 generated labels is reliable enough to train on."),
    ],
)
def test_what_is_used_is_said_as_it_is(generated: int, kept: int, told: str) -> None:
    assert decide(None, 4, (), generated=generated, kept=kept).why.startswith(told)
