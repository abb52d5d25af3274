"""Split of the labelled rows into training and validation rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["validation_mask"]

MIN_ROWS = 5
"""Smaller classes give a row to validation only where its hash says so."""


def validation_mask(ids: Sequence[str], strata: Sequence[str], fraction: float) -> NDArray[np.bool_]:
    """Return a mask of the rows for validation: n booleans.

    The part of a row depends on the hash of its id alone, not on other rows or a seed,
    so rows stay in their part when data is added. Two exceptions: each stratum (its class)
    keeps a training row (the one with the largest hash), and a stratum of at least 5 rows
    has a validation row (the one with the smallest hash), if it has several ids; rows with the same id
    stay together. ``fraction`` 0 keeps every row in training.
    """
    places = np.array([_place(row) for row in ids])
    mask = places < fraction
    if not fraction or not len(mask):
        return mask
    classes = pd.factorize(np.asarray(strata, dtype=object))[0]
    order = np.argsort(classes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        if mask[rows].all():
            mask[rows[places[rows] == places[rows].max()]] = False
        elif len(rows) >= MIN_ROWS and not mask[rows].any() and np.ptp(places[rows]) > 0:
            mask[rows[places[rows] == places[rows].min()]] = True
    return mask


def _place(row: str) -> float:
    """Map ``row`` to a pseudorandom number in [0, 1)."""
    return int.from_bytes(hashlib.blake2b(row.encode(), digest_size=6).digest()) / 2**48
