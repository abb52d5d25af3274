"""Conversion of word tags to weighted target distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["word_distributions"]


def word_distributions(rows: pa.Table, outputs: Sequence[str]) -> list[NDArray[np.float32] | None]:
    """Convert the ``tags`` of each row to a words x outputs array; None for unlabelled rows.

    Tags are names, or a distribution over ``outputs`` for each word. The optional column ``weights`` has a
    factor for each word.
    """
    column, position = rows["tags"], {tag: number for number, tag in enumerate(outputs)}
    named = pa.types.is_string(column.type.value_type)
    eye = np.eye(len(outputs), dtype=np.float32)
    distributions: list[NDArray[np.float32] | None] = []
    for tags in column.to_pylist():
        if tags is None:
            distributions.append(None)
        elif named:
            distributions.append(eye[[position[tag] for tag in tags]])
        else:
            distributions.append(np.array(tags, np.float32).reshape(-1, len(outputs)))
    if "weights" not in rows.column_names:
        return distributions
    weights = [np.array(row_weights, np.float32)[:, None] for row_weights in rows["weights"].to_pylist()]
    return [t if t is None else t * w for t, w in zip(distributions, weights, strict=True)]
