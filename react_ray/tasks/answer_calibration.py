"""Calibration of answers: the threshold for no answer, and the temperature of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from react_ray.tasks.answer_spans import SpanScores, ranked_spans

__all__ = ["CORRECT", "AnswerCalibration", "calibrate_answers"]

CORRECT = 0.5
"""Credit above which an answer counts as correct."""
THRESHOLDS = 41
PRIOR_STD = 0.5
"""Standard deviation of the log temperature before any row is seen."""


class AnswerCalibration(NamedTuple):
    """How the sums of logits become answers and scores.

    ``no_answer`` is added to the sum for no answer; None: every question has an answer.
    """

    temperature: float = 1.0
    no_answer: float | None = 0.0


def calibrate_answers(
    candidates: Sequence[SpanScores],
    credit: Callable[[AnswerCalibration], NDArray[np.float64]],
    unanswerable: bool,
    default_shift: float | None = None,
) -> AnswerCalibration:
    """Fit a calibration to the spans of rows with known answers.

    Parameters
    ----------
    candidates
        The candidate spans of each row.
    credit
        Function from a calibration to the credit of each row's answer.
    unanswerable
        Whether some rows have no answer.
    default_shift
        What is added to the sum for no answer if all rows have one; None: no answer is never given.
    """
    shift = _best_shift(candidates, credit) if unanswerable else default_shift
    correct = credit(AnswerCalibration(1.0, shift)) > CORRECT
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 101))
    losses = [_loss(candidates, shift, temperature, correct) for temperature in grid.tolist()]
    prior = (np.log(grid) / PRIOR_STD) ** 2 / 2
    return AnswerCalibration(float(grid[int(np.argmin(np.array(losses) + prior))]), shift)


def _best_shift(
    candidates: Sequence[SpanScores], credit: Callable[[AnswerCalibration], NDArray[np.float64]]
) -> float:
    """The shift with the greatest mean credit; of equal ones the nearest to 0."""
    margins = [row.scores[0] - row.none for row in candidates if row.scores]
    quantiles = np.quantile(margins, np.linspace(0, 1, THRESHOLDS)) if margins else np.zeros(0)
    shifts = sorted({0.0, *(float(margin) + 1e-6 for margin in quantiles)}, key=abs)
    means = [credit(AnswerCalibration(1.0, shift)).mean() for shift in shifts]
    return shifts[int(np.argmax(means))]


def _loss(
    candidates: Sequence[SpanScores], shift: float | None, temperature: float, correct: NDArray[np.bool_]
) -> float:
    """Negative log-likelihood of which answers are correct."""
    scores = np.array([ranked_spans(row, temperature, shift, 1)[0][1] for row in candidates])
    scores = np.clip(scores, 1e-6, 1 - 1e-6)
    return float(-np.log(np.where(correct, scores, 1 - scores)).sum())
