from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feature_blobs import make_blobs, unit

from react_ray.config.settings import LganConfig
from react_ray.data.views import SENTENCE, VIEWS, side_by_side
from react_ray.labelers.label_gan import prepare
from react_ray.lgan import LganInputs, experts, fit_probe, self_train
from react_ray.lgan.experts import fit_teacher
from react_ray.lgan.names import join, names_weight, product, spread
from react_ray.lgan.neighbours import homophily, nearest, smooth
from react_ray.lgan.probe import fit_softmax, one_hot


def accuracy(believed, truth):
    return (believed.argmax(1) == truth).mean()


def test_soft_targets_fit_like_the_rows_they_stand_for():
    blobs = make_blobs(per_class=5)
    rows, labels = blobs.inputs.labeled, blobs.inputs.labels
    other = (labels + 1) % 4
    both = fit_probe(np.vstack([rows] * 4), np.concatenate([labels, labels, labels, other]), 4)
    soft = 0.75 * one_hot(labels, 4) + 0.25 * one_hot(other, 4)
    weighted = fit_softmax(rows, soft, 4, np.full(len(rows), 4.0))
    assert np.allclose(both.predict_proba(blobs.test), weighted.predict_proba(blobs.test), atol=5e-3)


def test_a_probe_without_rows_knows_nothing():
    blobs = make_blobs()
    probe = fit_probe(blobs.inputs.labeled[:0], blobs.inputs.labels[:0], 4)
    assert np.allclose(probe.predict_proba(blobs.test), 0.25)


@pytest.mark.parametrize("arm", ["self_training", "teacher"])
def test_the_pool_helps(arm):
    plain, better = [], []
    for seed in range(3):
        blobs = make_blobs(seed=seed)
        given = blobs.inputs
        plain.append(blobs.macro_f1(fit_probe(given.labeled, given.labels, 4).predict_proba(blobs.test)))
        if arm == "teacher":
            found = fit_teacher(given).probe
        else:
            found = self_train(given.labeled, given.labels, given.unlabeled, 4)
        better.append(blobs.macro_f1(found.predict_proba(blobs.test)))
    assert np.mean(better) > np.mean(plain) + 0.05


def test_names_are_heard_where_they_help_and_only_there():
    good = make_blobs(per_class=5, names_off=0.3).inputs
    assert names_weight(good) > 0.4
    swapped = make_blobs(per_class=5, names_off=0.3).with_inputs(names=good.names[[1, 2, 3, 0]]).inputs
    assert names_weight(swapped) < 0.05


def test_names_that_say_nothing_are_mistrusted_before_any_label():
    good = make_blobs(per_class=1, names_off=0.3).inputs
    empty = make_blobs(per_class=1).with_inputs(names=unit(np.random.default_rng(5).normal(size=(4, 32))))
    assert spread(good.unlabeled, good.names) > 1.5
    assert spread(empty.inputs.unlabeled, empty.inputs.names) < 1.5
    assert names_weight(empty.inputs) < names_weight(good)


def test_a_class_without_a_labelled_row_is_found_by_its_name():
    blobs = make_blobs(per_class=5, names_off=0.5)
    known = blobs.inputs.labels != 2
    teacher = fit_teacher(
        blobs.with_inputs(labeled=blobs.inputs.labeled[known], labels=blobs.inputs.labels[known]).inputs
    )
    of_class = blobs.truth == 2
    assert (teacher.probabilities.argmax(1)[of_class] == 2).mean() > 0.6


def test_classes_that_only_have_names_are_not_drowned_by_those_with_labels():
    blobs = make_blobs(per_class=5, names_off=0.5, spread=2.0)
    known = blobs.inputs.labels >= 2
    elsewhere = unit(np.random.default_rng(9).normal(size=(1, 32)))  # names are no texts: they lie apart
    given = blobs.with_inputs(
        labeled=blobs.inputs.labeled[known],
        labels=blobs.inputs.labels[known],
        names=unit(blobs.inputs.names + 2 * elsewhere),
    )
    believed = fit_teacher(given.inputs).probabilities
    assert accuracy(believed, blobs.truth) > 0.8
    assert np.isin(believed.argmax(1), [0, 1]).mean() == pytest.approx(
        np.isin(blobs.truth, [0, 1]).mean(), abs=0.1
    )


def test_labels_decide_between_classes_that_have_them_and_names_about_the_others():
    guessed, named = np.array([[0.9, 0.1, 0.0]]), np.array([[0.2, 0.2, 0.6]])
    joined = join(guessed, named, 0.25, np.array([True, True, False]))
    assert joined[0, 2] == pytest.approx(0.6)
    assert joined.sum() == pytest.approx(1)
    assert joined[0, 0] / joined[0, 1] == pytest.approx(9**0.75)
    assert np.allclose(join(guessed, named, 0.25, np.zeros(3, bool)), named)
    assert np.allclose(join(guessed, named, 0.25, np.ones(3, bool)), product(guessed, named, 0.25))


@pytest.mark.parametrize(
    ("alike", "rows", "turns"), [(0.9, 100, [5]), (0.9, 10, [0, 1, 2, 3, 4, 5]), (0.3, 100, [0, 3, 5])]
)
def test_earlier_rounds_vote_too_where_the_last_may_have_gone_astray(alike, rows, turns):
    members = experts.committee(0.5, alike, rounds=5, rows=rows, classes=4)
    assert [turn for _, turn, _ in members] == turns


def test_no_labels_at_all_names_alone():
    blobs = make_blobs(names_off=0.5).with_inputs(labeled=[], labels=[])
    assert accuracy(fit_teacher(blobs.inputs).probabilities, blobs.truth) > 0.8
    assert fit_teacher(blobs.inputs).experts["sentence"].names_weight == 1


def test_the_class_balance_is_estimated_not_assumed():
    balance = [0.7, 0.2, 0.06, 0.04]
    teacher = fit_teacher(make_blobs(per_class=5, pool=1000, balance=balance, spread=1.2).inputs)
    assert np.abs(teacher.prior - balance).max() < 0.08
    assert teacher.prior.sum() == pytest.approx(1, abs=1e-5)


def test_labels_that_are_mostly_of_one_class_do_not_lead_astray():
    scores = []
    for seed in range(6):
        blobs = make_blobs(classes=2, per_class=9, spread=2.5, seed=seed, names_off=9.0)
        rows = np.r_[0:9, 9:11]  # nine of one class, two of the other
        few = blobs.with_inputs(labeled=blobs.inputs.labeled[rows], labels=blobs.inputs.labels[rows])
        scores.append(few.macro_f1(fit_teacher(few.inputs).probe.predict_proba(few.test)))
    assert np.mean(scores) > 0.8  # 0.73 where the labels' balance is taken for the pool's


def test_rounds_of_self_training_help_where_classes_are_apart():
    scores = {}
    for rounds in (1, 5):
        blobs = [make_blobs(per_class=1, pool=600, spread=2.2, names_off=4.0, seed=seed) for seed in range(6)]
        found = [fit_teacher(each.inputs, rounds=rounds).probe.predict_proba(each.test) for each in blobs]
        scores[rounds] = np.mean([each.macro_f1(given) for each, given in zip(blobs, found, strict=True)])
    assert scores[5] > scores[1] + 0.05


def test_neighbours_are_the_nearest_and_the_row_itself():
    rows = make_blobs(pool=1100).inputs.unlabeled  # more than one block
    near = nearest(rows, rows, 5)
    for i in (0, 500, 1099):
        assert set(near[i]) == set(np.argsort(-(rows @ rows[i]))[:5])
        assert i in near[i]
    assert nearest(rows, rows[:3], 5).shape == (1100, 3)


def test_homophily_is_one_for_tight_classes_and_none_for_chance_labels():
    blobs = make_blobs(spread=0.2)
    near = nearest(blobs.inputs.unlabeled, blobs.inputs.unlabeled, 10)
    assert homophily(blobs.truth, near) > 0.95
    assert abs(homophily(np.random.default_rng(0).permutation(blobs.truth), near)) < 0.1
    assert np.allclose(smooth(one_hot(blobs.truth, 4), near, 0.5).sum(1), 1)


@pytest.mark.parametrize("classes", [2, 150])
def test_few_and_many_classes(classes):
    blobs = make_blobs(classes=classes, per_class=1, pool=300, spread=0.5)
    teacher = fit_teacher(blobs.inputs)
    assert teacher.probabilities.shape == (300, classes)
    assert accuracy(teacher.probabilities, blobs.truth) > 0.6


def test_a_pool_of_one_row():
    teacher = fit_teacher(make_blobs(pool=1).inputs)
    assert np.isfinite(teacher.probabilities).all()


def with_views(seed: int, told_by: str):
    """Blobs whose rows say what they are in one block only; the others are noise."""
    blobs, draw = make_blobs(per_class=5, seed=seed, names_off=0.3), np.random.default_rng(seed)
    place = {"sentence": 0, "opening": 2}[told_by]

    def spread_out(rows):
        blocks = [unit(draw.normal(size=rows.shape)) for _ in range(3)]
        blocks[place] = rows
        return np.hstack(blocks).astype(np.float32) / np.sqrt(np.float32(3))

    given = blobs.inputs
    rows = {name: spread_out(getattr(given, name)) for name in ("labeled", "unlabeled", "names")}
    return replace(blobs, inputs=replace(given, **rows, blocks=3), test=spread_out(blobs.test))


@pytest.mark.parametrize("told_by", ["sentence", "opening"])
def test_the_view_in_which_like_rows_are_alike_is_heard(told_by):
    blobs = with_views(0, told_by)
    teacher = fit_teacher(blobs.inputs)
    assert max(teacher.view_weights, key=teacher.view_weights.get) == told_by
    assert sum(teacher.view_weights.values()) == pytest.approx(1)
    other = {"sentence": "opening", "opening": "sentence"}[told_by]
    assert teacher.view_weights[told_by] > 4 * teacher.view_weights[other]
    assert accuracy(teacher.probabilities, blobs.truth) > 0.8


def test_the_product_of_the_views_is_one_linear_classifier():
    blobs = with_views(1, "sentence")
    teacher = fit_teacher(blobs.inputs)
    seen = {view.name: view.of(blobs.test, 3) for view in VIEWS}
    assert all(np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5) for rows in seen.values())
    joined = np.sum(
        [
            teacher.view_weights[name] * teacher.experts[name].probe.logits(rows)
            for name, rows in seen.items()
        ],
        axis=0,
    )
    assert np.allclose(teacher.probe.logits(blobs.test), joined, atol=1e-4)


def test_what_all_views_say_is_taught_to_the_sentences():
    blobs = with_views(2, "sentence")
    teacher = fit_teacher(blobs.inputs)
    sentences = SENTENCE.of(blobs.test, 3)
    assert blobs.macro_f1(teacher.sentence_probes[0].predict_proba(sentences)) > 0.8


@pytest.mark.parametrize("reader", [0, 1])
def test_of_two_encoders_the_one_that_says_something_is_heard(reader, tmp_path):
    blobs, draw = with_views(4, "sentence"), np.random.default_rng(4)

    def beside_noise(rows):
        noise = np.hstack([unit(draw.normal(size=(len(rows), 32))) for _ in range(3)]) / np.sqrt(3)
        parts = [rows, noise.astype(np.float32)]
        return side_by_side(parts if reader == 0 else parts[::-1])

    rows = {name: beside_noise(getattr(blobs.inputs, name)) for name in ("labeled", "unlabeled", "names")}
    both = replace(blobs.inputs, **rows, blocks=6)
    teacher = fit_teacher(both)
    alone = fit_teacher(blobs.inputs)
    assert teacher.encoder_weights[reader] > 0.75
    assert sum(teacher.encoder_weights) == pytest.approx(1)
    assert accuracy(teacher.probabilities, blobs.truth) > accuracy(alone.probabilities, blobs.truth) - 0.05
    sentences = SENTENCE.of(blobs.test, 3)
    assert blobs.macro_f1(teacher.sentence_probes[reader].predict_proba(sentences)) > 0.8
    prepare(both, LganConfig().model_dump(), tmp_path)
    kept = LganInputs.load(tmp_path)
    assert kept.plain == reader, "plain methods get it alone"
    assert np.allclose(kept.seen_as(kept.sentence).labeled, SENTENCE.of(blobs.inputs.labeled, 3), atol=1e-6)


def test_each_view_that_is_done_is_told():
    told = []
    fit_teacher(with_views(3, "sentence").inputs, progress=lambda *said: told.append(said[:2]))
    assert told == [(1, 3), (2, 3), (3, 3)]
