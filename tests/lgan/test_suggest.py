from __future__ import annotations

import numpy as np
from feature_blobs import make_blobs, unit

from react_ray.lgan import Generation
from react_ray.lgan.suggest import most_useful
from react_ray.pipeline.suggest import choose


def test_rows_are_spread_over_what_is_in_doubt():
    blobs = make_blobs(classes=6, pool=600, spread=0.4)
    rows, truth = blobs.inputs.unlabeled, blobs.truth
    doubt = np.where(truth < 3, 0.5, 0.001).astype(np.float32)
    chosen = most_useful(rows, doubt, 6)
    assert len(set(chosen)) == 6
    assert set(truth[chosen]) == {0, 1, 2}, "each class in doubt, and none of the others"


def test_a_suggested_row_is_typical_no_outlier():
    rows = make_blobs(classes=3, pool=300, spread=1.0).inputs.unlabeled
    even = np.full(300, 0.5, np.float32)
    closeness = (rows @ rows.T).mean(1)
    assert closeness[most_useful(rows, even, 9)].mean() > closeness.mean()


def test_more_than_there_are_and_none():
    rows = make_blobs(pool=5).inputs.unlabeled
    doubt = np.array([0.1, 0.9, 0.3, 0.2, 0.5], np.float32)
    assert most_useful(rows, doubt, 10).tolist() == [1, 4, 2, 3, 0]
    same = np.tile(rows[:1], (20, 1))  # one cluster only
    assert len(set(most_useful(same, np.full(20, 0.5, np.float32), 4))) == 4


def test_rows_of_none_of_the_classes_come_last() -> None:
    rows = np.tile(unit(np.random.default_rng(0).normal(size=(40, 16))), 3) / 3**0.5
    foreign = np.arange(40) < 20
    nothing = np.zeros((0,), np.float32)
    labels = np.full((40, 2), 0.5, np.float32)
    weight = np.where(foreign, 0, 0.6).astype(np.float32)
    made = Generation(labels, weight, weight, foreign, nothing)
    assert not foreign[choose(rows.astype(np.float32), made, 10, seed=0)].any()
    assert sorted(choose(rows.astype(np.float32), made, 40, seed=0)) == list(range(40))
