"""Windows of long texts in classification: examples of a row, and the mean of their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.config.sections.training import MOST_WINDOWS
from react_ray.errors import InputError
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.example import Example, Outputs

__all__ = ["join_windows", "pair_examples", "row_targets", "saved_windows", "text_examples"]


def text_examples(tokenizer: TextTokenizer, rows: pa.Table, targets: Sequence[Any]) -> list[Example]:
    """Return an example for each window of the texts; a window has the target of its row.

    The windows of a row share its weight in proportion to their tokens.
    """
    windows = tokenizer.long_ids(rows["text"].to_pylist())
    shares = [
        _shares(row_windows, weight) for row_windows, weight in zip(windows, _weights(rows), strict=True)
    ]
    return [
        Example(ids, target, share, row)
        for row, (row_windows, target, row_shares) in enumerate(zip(windows, targets, shares, strict=True))
        for ids, share in zip(row_windows, row_shares, strict=True)
    ]


def pair_examples(tokenizer: TextTokenizer, rows: pa.Table, targets: Sequence[Any]) -> list[Example]:
    """Return an example for each window of the pairs of texts, see :func:`text_examples`."""
    windows = tokenizer.long_pairs(rows["text"].to_pylist(), rows["text_pair"].to_pylist())
    return [
        Example(window.ids, target, share, row, window.types if tokenizer.reads_types else None)
        for row, (row_windows, target, weight) in enumerate(
            zip(windows, targets, _weights(rows), strict=True)
        )
        for window, share in zip(
            row_windows, _shares([window.ids for window in row_windows], weight), strict=True
        )
    ]


def _weights(rows: pa.Table) -> list[float]:
    if "weight" not in rows.column_names:
        return [1.0] * len(rows)
    return [float(weight) for weight in rows["weight"].to_pylist()]


def _shares(windows: Sequence[Sequence[int]], weight: float) -> list[float]:
    """Divide the weight of a row among its windows, in proportion to their tokens."""
    total = sum(map(len, windows))
    return [weight * (len(ids) / total) for ids in windows]


def join_windows(outputs: Outputs, examples: Sequence[Example]) -> Outputs:
    """Return the mean logits of each row, in which a window counts by its tokens; rows in order.

    For classes it is the mean of log-probabilities, up to a constant; the output of a row with one window
    is returned as it is.

    Example
    -------
    >>> examples = [Example([1, 2, 3]), Example([4]), Example([5], row=1)]
    >>> outputs = [np.float32([2, 0]), np.float32([0, 4]), np.float32([1, 1])]
    >>> [row.tolist() for row in join_windows(outputs, examples)]
    [[1.5, 1.0], [1.0, 1.0]]
    """
    joined: Outputs = []
    for _, group in groupby(zip(outputs, examples, strict=True), key=lambda pair: pair[1].row):
        logits, windows = zip(*group, strict=True)
        if len(logits) == 1:
            joined.append(logits[0])
            continue
        sizes = np.array([len(window.ids) for window in windows], np.float64)
        joined.append(_mean(logits, sizes))
    return joined


def _mean(outputs: Sequence[NDArray[np.float32]], sizes: NDArray[np.float64]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.average(np.stack(outputs), axis=0, weights=sizes).astype(np.float32)
    return mean


def row_targets(examples: Sequence[Example]) -> NDArray[np.float32]:
    """Return the target of each row, in the order of :func:`join_windows`."""
    rows = groupby(examples, key=lambda example: example.row)
    return np.stack([next(windows).target for _, windows in rows])


def saved_windows(settings: Mapping[str, Any]) -> int:
    """Return the number of windows that a saved model reads of a text; ``settings`` are those in config.json.

    Raises InputError if it is invalid.
    """
    windows = settings.get("windows", 1)
    if isinstance(windows, bool) or not isinstance(windows, int) or not 1 <= windows <= MOST_WINDOWS:
        raise InputError(
            f"config.json: react_ray.windows is {windows!r}: expected a number from 1 to {MOST_WINDOWS}"
        )
    return windows
