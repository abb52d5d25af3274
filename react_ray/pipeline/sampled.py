"""A bounded sample of the rows of a large file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["spread_rows"]

MOST_GROUPS = 10


def spread_rows(path: Path, columns: Sequence[str], count: int) -> pa.Table:
    """Return up to ``count`` rows at equal distances, from at most MOST_GROUPS row groups of a Parquet file.

    One row group is in memory at a time.
    """
    with pq.ParquetFile(path) as file:
        groups = file.metadata.num_row_groups
        read = np.unique(np.linspace(0, max(groups - 1, 0), min(groups, MOST_GROUPS)).astype(int))
        sizes = [file.metadata.row_group(number).num_rows for number in read]
        ends = np.cumsum([0, *sizes])
        places = np.unique(np.linspace(0, max(ends[-1] - 1, 0), min(count, ends[-1])).astype(int))
        parts = [
            file.read_row_group(number, columns=list(columns)).take(pa.array(places[inside] - start))
            for number, start, end in zip(read.tolist(), ends[:-1], ends[1:], strict=True)
            if (inside := (places >= start) & (places < end)).any()
        ]
        return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table().select(list(columns))
