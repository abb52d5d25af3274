"""What a fit, a teacher and the gate may cost where classes are many: counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from feature_blobs import make_blobs, unit

from react_ray.config.settings import LganConfig
from react_ray.labelers import gate
from react_ray.lgan import fit_probe, probe, self_train
from react_ray.lgan.experts import fit_teacher
from react_ray.lgan.verify import judge

CLASSES = 300
Count = Callable[[], tuple[int, int]]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    """Fits since the start, and passes over their rows."""
    fits, passes, minimise = [0], [0], probe.minimize

    def counted(objective, *given, **options):
        def once(solution):
            passes[0] += 1
            return objective(solution)

        fits[0] += 1
        return minimise(once, *given, **options)

    monkeypatch.setattr(probe, "minimize", counted)
    return lambda: (fits[0], passes[0])


def with_copies(inputs, copies=4):
    rows = np.repeat(inputs.labeled, copies, axis=0)
    rows = unit(rows + 0.05 * np.random.default_rng(1).normal(size=rows.shape))
    return replace(inputs, augmented=rows, augmented_labels=np.repeat(inputs.labels, copies))


def test_a_teacher_of_many_classes_takes_few_fits_and_few_passes(count):
    blobs = make_blobs(CLASSES, per_class=1, pool=100, spread=0.5)
    teacher = fit_teacher(with_copies(blobs.inputs))
    fits, passes = count()
    assert fits <= 7  # one on the labels, five rounds, one on the votes; 17 with all rounds voting
    assert passes <= 100  # 500 to the end of what 32-bit sums can tell
    assert (teacher.probabilities.argmax(1) == blobs.truth).mean() > 0.6


def test_a_fit_of_many_classes_is_as_right_as_one_to_the_end(monkeypatch):
    blobs = make_blobs(CLASSES, per_class=5, pool=10)
    found = []
    for many in (probe.MANY_CLASSES, CLASSES):
        monkeypatch.setattr(probe, "MANY_CLASSES", many)
        fitted = fit_probe(blobs.inputs.labeled, blobs.inputs.labels, CLASSES)
        found.append(fitted.predict_proba(blobs.test))
    assert (found[0].argmax(1) == found[1].argmax(1)).mean() > 0.97
    assert np.abs(found[0] - found[1]).max() < 0.05


def test_judging_and_plain_self_training_take_few_passes(count):
    blobs = make_blobs(CLASSES, per_class=1, pool=300, spread=0.5)
    believed = fit_probe(blobs.inputs.labeled, blobs.inputs.labels, CLASSES).predict_proba(blobs.inputs.pool)
    before = count()[1]
    judge(blobs.inputs, believed)
    self_train(blobs.inputs.labeled, blobs.inputs.labels, blobs.inputs.pool, CLASSES)
    assert count()[1] - before <= 200


def test_a_fit_holds_one_block_of_rows_times_classes():
    draw = np.random.default_rng(0)
    rows, labels = unit(draw.normal(size=(20_000, 8))), draw.integers(0, 1000, 20_000)
    tracemalloc.start()
    fit_probe(rows, labels, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 1000 * 4  # one array of rows times classes; there were seven


@pytest.mark.parametrize("soft", [False, True])
def test_blocks_give_what_one_pass_over_all_rows_gives(soft, monkeypatch):
    blobs = make_blobs(4, per_class=50)
    targets = probe.one_hot(blobs.inputs.labels, 4) if soft else blobs.inputs.labels
    found = []
    for cells in (probe.BLOCK_CELLS, 28):
        monkeypatch.setattr(probe, "BLOCK_CELLS", cells)
        found.append(probe.fit_softmax(blobs.inputs.labeled, targets, 4).predict_proba(blobs.test))
    assert np.allclose(*found, atol=1e-3)


def test_numbers_of_classes_fit_like_certain_distributions():
    blobs = make_blobs(4, per_class=5)
    fitted = [
        probe.fit_softmax(blobs.inputs.labeled, targets, 4).weights
        for targets in (blobs.inputs.labels, probe.one_hot(blobs.inputs.labels, 4))
    ]
    assert np.array_equal(*fitted)


def test_the_gate_judges_no_further_fold_when_it_has_judged_enough(monkeypatch):
    blobs = make_blobs(4, per_class=30, pool=50)
    judged = gate.gather(blobs.inputs, None, LganConfig())
    monkeypatch.setattr(gate, "ENOUGH_ROWS", 40)
    fewer = gate.gather(blobs.inputs, None, LganConfig())
    assert (len(judged.lgan), len(fewer.lgan)) == (120, 40)


@pytest.mark.parametrize("case", ["no pool", "names alone", "one class has nearly all rows"])
def test_odd_shapes_of_many_classes(case):
    inputs = make_blobs(CLASSES, per_class=1, pool=60, spread=0.5).inputs
    if case == "no pool":
        inputs = with_copies(replace(inputs, unlabeled=inputs.unlabeled[:0]))
    elif case == "names alone":
        inputs = replace(inputs, labeled=inputs.labeled[:0], labels=inputs.labels[:0])
    else:
        rows = np.concatenate([np.zeros(500, np.int64), np.arange(CLASSES)])
        inputs = replace(inputs, labeled=inputs.labeled[rows], labels=rows)
    teacher = fit_teacher(inputs)
    assert teacher.probabilities.shape == (len(inputs.pool), CLASSES)
    assert np.isfinite(teacher.probe.weights).all()
