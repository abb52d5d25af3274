"""Calibration without labels: temperature scaling to an estimated accuracy.

The accuracy of the generated labels is unknown, but two quantities that need no labels predict it: the mean
confidence, and the homophily of the unlabelled pool under the labels. The formula was fitted to training rows
of eight English data sets with 1 and 5 labels a class (``benchmarks.label_efficiency.calibration`` fits it
again). Out-of-fold predictions of labelled rows correct the estimate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from react_ray.lgan.inputs import Probabilities
from react_ray.lgan.probe import log, softmax

__all__ = ["calibrate", "expected_accuracy"]

BASE, CONFIDENCE, HOMOPHILY = -0.51, 1.03, 0.74
ESTIMATE_ROWS = 20
"""Weight of the estimate in rows, and the maximum weight of out-of-fold predictions, which come from a less
accurate teacher with fewer labels."""
CEILING = 0.99
SHARPEST, FLATTEST = 0.2, 50.0


def expected_accuracy(
    probabilities: Probabilities, homophily: float, correct: NDArray[np.bool_] | None
) -> float:
    """Estimate the accuracy of the likeliest labels in ``probabilities`` (n x K), from 1 / K to CEILING.

    ``correct`` says which out-of-fold predictions of labelled rows are correct; None without any.
    """
    estimate = BASE + CONFIDENCE * float(probabilities.max(1).mean()) + HOMOPHILY * homophily
    estimate = float(np.clip(estimate, 1 / probabilities.shape[1], CEILING))
    if correct is None:
        return estimate
    rows = min(len(correct), ESTIMATE_ROWS)
    return (ESTIMATE_ROWS * estimate + rows * float(correct.mean())) / (ESTIMATE_ROWS + rows)


def calibrate(probabilities: Probabilities, accuracy: float) -> Probabilities:
    """Scale ``probabilities`` (n x K) by the temperature at which their mean confidence is ``accuracy``.

    If any value is not finite, they are returned unchanged; the collapse alarm reports that.
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
