"""Metrics of rankings: by hand, and as scikit-learn has them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from react_ray.apps.intervals import mean_intervals
from react_ray.apps.recommend.metrics import Ranks, coverage, novelty


def test_metrics_of_rankings_made_by_hand() -> None:
    scores = np.array([[9, 8, 7, 6], [9, 8, 7, 6]], np.float32)
    allowed = np.array([[True, True, True, True], [True, False, True, True]])
    metrics = Ranks.of(scores, allowed, np.array([1, 2])).metrics()
    np.testing.assert_allclose(metrics["mrr"], [0.5, 0.5])  # the item before it may not be recommended
    np.testing.assert_allclose(metrics["ndcg_at_10"], [1 / np.log2(3)] * 2)
    np.testing.assert_allclose(metrics["hr_at_10"], [1, 1])
    np.testing.assert_allclose(metrics["auc"], [2 / 3, 1 / 2])


def test_the_eleventh_place_is_no_hit() -> None:
    metrics = Ranks([9, 10], [0, 0], [20, 20]).metrics()
    np.testing.assert_allclose(metrics["hr_at_10"], [1, 0])
    np.testing.assert_allclose(metrics["ndcg_at_10"], [1 / np.log2(11), 0])
    np.testing.assert_allclose(metrics["mrr"], [1 / 10, 1 / 11])


def test_equal_scores_share_their_places() -> None:
    metrics = Ranks([0], [19], [20]).metrics()  # any place of twenty
    np.testing.assert_allclose(metrics["hr_at_10"], 0.5)
    np.testing.assert_allclose(metrics["auc"], 0.5)
    np.testing.assert_allclose(metrics["mrr"], np.mean(1 / np.arange(1, 21)))


@pytest.mark.parametrize("values", [1000, 4])
def test_metrics_are_those_of_scikit_learn(values: int) -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, values, (40, 30)).astype(np.float32)  # few values: many are equal
    wanted = generator.integers(0, 30, 40)
    truth = np.eye(30)[wanted]
    metrics = Ranks.of(scores, np.ones(scores.shape, bool), wanted).metrics()
    for row in range(40):
        expected = ndcg_score(truth[row : row + 1], scores[row : row + 1], k=10)
        assert metrics["ndcg_at_10"][row] == pytest.approx(expected)
        assert metrics["auc"][row] == pytest.approx(roc_auc_score(truth[row], scores[row]))


def test_intervals_hold_the_mean_and_shrink_with_the_users() -> None:
    few = np.random.default_rng(0).random(30)
    low, high = mean_intervals({"mrr": few})["mrr"]
    assert low < few.mean() < high
    more_low, more_high = mean_intervals({"mrr": np.tile(few, 16)})["mrr"]
    assert more_high - more_low == pytest.approx((high - low) / 4, rel=0.2)


def test_coverage_and_novelty() -> None:
    lists = np.array([[0, 1], [0, -1]])
    assert coverage(lists, 8) == 0.25
    # of 16 users, 8 know item 0 and 1 knows item 1: 1, 4 and 1 bits
    assert novelty(lists, np.array([8, 1]), 16) == pytest.approx(2)
