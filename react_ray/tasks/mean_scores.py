"""Metrics that are means over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_scores"]


def mean_scores(sums: NDArray[np.float64], names: Sequence[str]) -> dict[str, Any]:
    """Return the mean of each metric from sums (... x s) of its values, followed by the number of rows.

    Example
    -------
    >>> mean_scores(np.array([1.5, 3.0, 4.0]), ["f1", "recall"])["f1"].item()
    0.375
    """
    rows = np.maximum(sums[..., -1], 1)
    return {name: sums[..., place] / rows for place, name in enumerate(names)}
