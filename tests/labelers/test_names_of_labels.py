from __future__ import annotations

import numpy as np
import pytest

from react_ray.labelers.candidates import align_shares
from react_ray.labelers.label_names import name_probabilities, names_weight


def made(rows: int, noise: float = 0.2, seed: int = 0):
    """Rows near the sum of the directions of their labels, their labels, and the directions."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(32, 4)))[0].T.astype(np.float32)
    truth = (random.random((rows, 4)) < [0.5, 0.1, 0.1, 0.1]).astype(np.float32)
    return (truth @ directions + random.normal(0, noise, (rows, 32))).astype(np.float32), truth, directions


def ranks(found, truth):
    """Share of (row with the label, row without) that are in the right order."""
    return np.mean(
        [(found[truth[:, k] == 1, k][:, None] > found[truth[:, k] == 0, k]).mean() for k in range(4)]
    )


def test_rows_near_a_name_have_its_label_and_labels_keep_their_shares():
    rows, truth, names = made(2000)
    found = name_probabilities(rows, names, truth.mean(0))
    assert found.mean(0) == pytest.approx(truth.mean(0), abs=1e-3)
    assert ranks(found, truth) > 0.9


def test_names_weigh_what_they_say():
    rows, truth, names = made(60, noise=0.5)
    numbers = np.random.default_rng(1).normal(size=names.shape).astype(np.float32)
    telling, silent = (name_probabilities(rows, these, truth.mean(0)) for these in (names, numbers))
    assert names_weight(rows, truth, silent, 0) <= 0.2 < names_weight(rows, truth, telling, 0) - 0.2


def test_few_labelled_rows_cannot_weigh_names():
    rows, truth, names = made(9)
    assert names_weight(rows, truth, name_probabilities(rows, names, truth.mean(0)), 0) == 0


def test_each_label_is_aligned_to_its_share_and_one_without_rows_stays():
    found = np.random.default_rng(0).random((500, 3)).astype(np.float32) * [0.01, 0.9, 0.5]
    aligned = align_shares(found.astype(np.float32), np.array([0.2, 0.1, 0.0]))
    assert aligned.mean(0)[:2] == pytest.approx([0.2, 0.1], abs=1e-3)
    assert (aligned[:, 2] == found[:, 2].astype(np.float32)).all()
    assert (np.argsort(aligned[:, 0]) == np.argsort(found[:, 0])).all()
    assert align_shares(np.zeros((0, 3), np.float32), np.full(3, 0.5)).shape == (0, 3)
