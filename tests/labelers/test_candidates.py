from __future__ import annotations

import numpy as np
import pytest

from react_ray.labelers.candidates import (
    align_balance,
    collapse_alarm,
    fold_of_rows,
    join,
    judge_units,
    row_certainty,
    row_weights,
    sharpen,
)


def test_the_judge_corrects_proposals_that_its_features_speak_against():
    random = np.random.default_rng(0)
    centres = np.eye(3, 8, dtype=np.float32)
    labels = random.integers(0, 3, 600)
    features = (centres[labels] + random.normal(0, 0.2, (600, 8))).astype(np.float32)
    truth = np.eye(3, dtype=np.float32)[labels]
    given = truth[100:].copy()
    wrong = random.permutation(500)[:100]
    given[wrong] = np.roll(given[wrong], 1, axis=1)  # sure of itself, and wrong
    given = 0.9 * given + 0.1 / 3
    fold = fold_of_rows(500, 0)
    judged = judge_units(features[:100], truth[:100], features[100:], given, fold, exclusive=True)
    assert (judged.argmax(1) == labels[100:]).mean() > 0.95 > (given.argmax(1) == labels[100:]).mean()
    assert (join(given, judged, True).argmax(1) == labels[100:]).mean() > 0.85


def test_several_options_a_unit_are_judged_each_for_itself():
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 6)).astype(np.float32)
    truth = (features[:, :2] > 0).astype(np.float32)
    judged = judge_units(
        features[:100], truth[:100], features[100:], truth[100:], fold_of_rows(200, 1), exclusive=False
    )
    assert ((judged > 0.5) == truth[100:]).mean() > 0.9
    assert judged.sum(1).max() > 1.5, "both at once"


def test_the_most_frequent_option_is_held_to_its_share():
    given = np.array(
        [[0.99, 0.005, 0.005], [0.9, 0.08, 0.02], [0.7, 0.1, 0.2], [0.95, 0.04, 0.01]], np.float32
    )
    aligned = align_balance(given, np.array([0.6, 0.3, 0.1]))
    assert aligned.mean(0)[0] == pytest.approx(0.6, abs=1e-3)
    assert aligned.sum(1) == pytest.approx(1)
    assert np.argsort(aligned[:, 0]).tolist() == np.argsort(given[:, 0]).tolist(), "the order of rows stays"
    assert aligned[:, 1] / aligned[:, 2] == pytest.approx(given[:, 1] / given[:, 2], rel=1e-3)


def test_rows_are_as_sure_as_their_least_sure_unit_in_each_group():
    joined = np.array(
        [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.99, 0.01], [0.98, 0.02], [0.97, 0.03]], np.float32
    )
    sizes = np.array([2, 1, 1, 1, 1])
    groups = np.array([1, 1, 0, 0, 0])
    certainty = row_certainty(joined, sizes, True)
    weights = row_weights(certainty, groups)
    assert certainty[:2] == pytest.approx([0.6, 0.8])
    assert weights[1] == pytest.approx(0.8), "of the rows with entities the surer one is kept"
    assert weights[0] == 0
    assert (weights[2:] > 0).sum() >= 2
    nothing = row_certainty(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), True)
    assert row_weights(nothing, np.zeros(0, np.int64)).shape == (0,)


def test_sharpening_keeps_the_best_option():
    rows = np.array([[0.6, 0.3, 0.1]], np.float32)
    assert sharpen(rows, True).argmax() == 0
    assert sharpen(rows, True).max() > 0.6
    assert sharpen(rows, False)[0, 0] > 0.6 > 0.3 > sharpen(rows, False)[0, 1]


def test_a_type_that_vanishes_raises_the_alarm():
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
    given = np.tile(np.array([[0.9, 0.1, 0.001]], np.float32), (100, 1))
    assert collapse_alarm(given, truth, ["O", "B-X", "B-Y"]) == [
        "'B-Y' has vanished from the generated labels"
    ]
    assert collapse_alarm(given[:0], truth, ["O", "B-X", "B-Y"]) == []


def test_a_pool_that_is_richer_stays_so():
    given = np.array([[0.5, 0.5], [0.3, 0.7], [0.6, 0.4]], np.float32)
    assert align_balance(given, np.array([0.9, 0.1])) is given
