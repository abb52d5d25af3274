from __future__ import annotations

import numpy as np
import pytest

from react_ray.lgan.calibrate import calibrate, expected_accuracy
from react_ray.lgan.probe import softmax

CERTAIN = softmax(np.random.default_rng(0).normal(size=(500, 4)) * 6)


@pytest.mark.parametrize("accuracy", [0.4, 0.7, 0.95])
def test_confidence_becomes_the_accuracy_and_the_order_stays(accuracy):
    found = calibrate(CERTAIN, accuracy)
    assert found.max(1).mean() == pytest.approx(accuracy, abs=0.01)
    assert np.array_equal(found.argmax(1), CERTAIN.argmax(1))
    assert found.sum(1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("accuracy", [0.25, 0.999])
def test_beliefs_stay_finite_where_no_temperature_fits(accuracy):
    even = np.full((3, 4), 0.25, np.float32)
    assert np.allclose(calibrate(even, accuracy), even)
    assert np.isfinite(calibrate(CERTAIN, accuracy)).all()


def test_a_pool_whose_neighbours_agree_is_believed_more():
    assert expected_accuracy(CERTAIN, 0.8, None) > expected_accuracy(CERTAIN, 0.3, None) + 0.1


def test_judged_rows_correct_the_guess_as_far_as_they_go():
    guess = expected_accuracy(CERTAIN, 0.8, None)
    few, many = (
        expected_accuracy(CERTAIN, 0.8, np.zeros(5, bool)),
        expected_accuracy(CERTAIN, 0.8, np.zeros(500, bool)),
    )
    assert guess > few > many == pytest.approx(guess / 2)


def test_the_guess_is_a_share():
    sure = softmax(CERTAIN * 100)
    assert expected_accuracy(sure, 0.9, None) == 0.99
    assert expected_accuracy(np.full((5, 4), 0.25, np.float32), 0.1, None) == 0.25
    assert expected_accuracy(sure, 0.9, np.ones(20, bool)) <= 1


def test_what_is_no_number_is_left_for_the_alarm():
    broken = CERTAIN.copy()
    broken[3] = np.nan
    assert np.array_equal(calibrate(broken, 0.7), broken, equal_nan=True)
