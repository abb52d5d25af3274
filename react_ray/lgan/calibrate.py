"""Calibration without labels: of rows with probability 0.9, nine in ten should be correct.

The accuracy of the teacher is unknown, but two quantities that need no labels predict it: its mean
confidence, and the homophily of the pool under its labels. The formula was fitted to
training rows of eight English sets, at 1 and 5 labels a class
(``benchmarks.label_efficiency.calibration`` fits it again). Labelled rows that were
judged without their label correct the estimate.
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
"""Weight of the estimate, in judged rows, and the most judged rows that count: they were judged by a
teacher with fewer labels, which is less accurate."""
CEILING = 0.99
SHARPEST, FLATTEST = 0.2, 50.0


def expected_accuracy(
    probabilities: Probabilities, homophily: float, correct: NDArray[np.bool_] | None
) -> float:
    """Estimate the accuracy of the likeliest labels in ``probabilities`` (n x K), from 1 / K to CEILING.

    ``correct`` says of labelled rows whether they were labelled correctly without their label.
    """
    guess = BASE + CONFIDENCE * float(probabilities.max(1).mean()) + HOMOPHILY * homophily
    guess = float(np.clip(guess, 1 / probabilities.shape[1], CEILING))
    if correct is None:
        return guess
    judged = min(len(correct), GUESS_ROWS)
    return (GUESS_ROWS * guess + judged * float(correct.mean())) / (GUESS_ROWS + judged)


def calibrate(probabilities: Probabilities, accuracy: float) -> Probabilities:
    """Scale ``probabilities`` by the temperature at which their mean confidence is ``accuracy``.

    Values that are not finite are returned unchanged, for the collapse alarm to find.
    """
    if not np.isfinite(probabilities).all():
        return probabilities

    def excess(temperature: float) -> float:
        return float(softmax(log(probabilities) / temperature).max(1).mean()) - accuracy

    if excess(SHARPEST) <= 0:
        temperature = SHARPEST
    elif excess(FLATTEST) >= 0:
        temperature = FLATTEST
    else:
        temperature = brentq(excess, SHARPEST, FLATTEST, xtol=1e-3)
    return softmax(log(probabilities) / temperature)
