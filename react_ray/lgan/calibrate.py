"""Beliefs that mean what they say: of rows believed at 0.9, nine in ten are right.

How often the teacher is right is not known, but two things tell of it that need no truth:
how sure it is, and how homophilous the pool is under its labels. The formula was fitted to
training rows of eight English sets, at 1 and 5 labels a class
(``benchmarks.label_efficiency.calibration`` fits it again). Rows with a known label that were
judged without it correct the guess, as far as they go.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from react_ray.lgan.inputs import Probabilities
from react_ray.lgan.probe import log, softmax

__all__ = ["calibrate", "expected_accuracy"]

BASE, CONFIDENCE, HOMOPHILY = -0.51, 1.03, 0.74
GUESS_ROWS = 20
"""Judged rows that the guess is worth. More of them than that count no more: they were judged
by a teacher with fewer labels, which is right less often."""
CEILING = 0.99
SHARPEST, FLATTEST = 0.2, 50.0


def expected_accuracy(believed: Probabilities, homophily: float, right: NDArray[np.bool_] | None) -> float:
    """How many of the likeliest labels in ``believed`` (n x K) are right, 1 / K to CEILING.

    ``right`` has a verdict for each row of known label that was judged without it.
    """
    guess = BASE + CONFIDENCE * float(believed.max(1).mean()) + HOMOPHILY * homophily
    guess = float(np.clip(guess, 1 / believed.shape[1], CEILING))
    if right is None:
        return guess
    judged = min(len(right), GUESS_ROWS)
    return (GUESS_ROWS * guess + judged * float(right.mean())) / (GUESS_ROWS + judged)


def calibrate(believed: Probabilities, accuracy: float) -> Probabilities:
    """``believed`` at the temperature at which its mean confidence is ``accuracy``.

    What is not a number is left for the alarm to find.
    """
    if not np.isfinite(believed).all():
        return believed

    def excess(temperature: float) -> float:
        return float(softmax(log(believed) / temperature).max(1).mean()) - accuracy

    if excess(SHARPEST) <= 0:
        temperature = SHARPEST
    elif excess(FLATTEST) >= 0:
        temperature = FLATTEST
    else:
        temperature = brentq(excess, SHARPEST, FLATTEST, xtol=1e-3)
    return softmax(log(believed) / temperature)
