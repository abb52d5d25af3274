"""Confidence intervals of means, in figures of the applications."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_intervals"]

RESAMPLES, CHUNK = 1000, 50


def mean_intervals(values: Mapping[str, NDArray[np.float64]], seed: int = 0) -> dict[str, list[float]]:
    """Return the 95 % interval of the mean of each metric, by bootstrap over users, questions or surges.

    Parameters
    ----------
    values
        A metric of each row, n each. All metrics see the same draws. Without rows, intervals are 0 to 0.
    seed
        Seed of the draws.

    Example
    -------
    >>> mean_intervals({"mrr": np.array([0.5, 0.5])})
    {'mrr': [0.5, 0.5]}
    """
    table = np.stack(list(values.values()), 1)
    count = len(table)
    if not count:
        return {name: [0.0, 0.0] for name in values}
    draw = np.random.default_rng(seed)
    means = [
        draw.multinomial(count, np.full(count, 1 / count), size=CHUNK) @ table / count
        for _ in range(RESAMPLES // CHUNK)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
    return {name: [float(low[i]), float(high[i])] for i, name in enumerate(values)}
