"""Tokens of long texts that a model does not read; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.models.tokenizer import QuickTokenizer, TextTokenizer
from react_ray.tasks.example import Example
from react_ray.tasks.task import Task

__all__ = ["cut_shares", "read_and_cut"]

MOST_INPUTS = 50
"""Inputs of the model up to which a text is counted, so that a huge text costs no more than a long one."""
NEAR = 8
"""Tokens that a cut input may lack to the maximum length, such as one around two entities."""


def cut_shares(task: Task, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
    """Return the shares of ``texts`` and ``tokens`` in ``rows`` that a model does not read.

    ``rows`` in the result is their number, ``read`` the mean number of tokens that are read. A text counts
    with at most MOST_INPUTS inputs of the model.
    """
    inputs = rows.select([field.name for field in task.inputs])
    quick = QuickTokenizer(tokenizer)
    counts = read_and_cut(task, quick, quick.longer(MOST_INPUTS), inputs, labels)
    read, cut = counts.sum(axis=0).tolist()
    return {
        "rows": len(rows),
        "texts": float((counts[:, 1] > 0).mean()) if len(rows) else 0.0,
        "tokens": cut / max(read + cut, 1),
        "read": read / max(len(rows), 1),
    }


def read_and_cut(
    task: Task,
    tokenizer: TextTokenizer,
    longer: TextTokenizer,
    rows: pa.Table,
    labels: Sequence[str],
    examples: Sequence[Example] | None = None,
) -> NDArray[np.int64]:
    """Count the tokens of each row that a model reads, and those beyond them, n x 2.

    ``longer`` is a copy of the tokenizer that reads more, up to which tokens are counted; ``examples`` are
    those of the rows if they are known.
    """
    counts = np.zeros((len(rows), 2), np.int64)
    if task.long_texts == "all":
        for name in task.texts[1:]:
            counts[:, 1] += _cut_beside(tokenizer, longer, rows[name].to_pylist())
    for example in task.encode(tokenizer, rows, labels) if examples is None else examples:
        counts[example.row, 0] += len(example.ids)
    full = np.flatnonzero(counts[:, 0] >= tokenizer.most_windows * (tokenizer.max_length - NEAR))
    if task.long_texts != "all" and len(full):
        for example in task.encode(longer, rows.take(full.tolist()), labels):
            row = full[example.row]
            counts[row, 1] += len(example.ids)
        counts[full, 1] = np.maximum(counts[full, 1] - counts[full, 0], 0)
    return counts


def _cut_beside(tokenizer: TextTokenizer, longer: TextTokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Count the tokens that are cut of texts that another text is read in windows behind."""
    blank = [""] * len(texts)
    read, whole = (
        [windows[0].parts.count(0) for windows in one.pair_windows(texts, blank, 0)]
        for one in (tokenizer, longer)
    )
    return np.subtract(whole, read)
