"""The official metric of SemEval-2010 task 8, as a function of summed counts.

Hendrickx et al. 2010: macro-F1 over relation types, where the direction has to be right and the type that
stands for no relation (Other) is left out. A prediction of the right type with the wrong direction counts
against precision and recall.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from react_ray.tasks.closed_metrics import Indices, macro_f1_of_counts

__all__ = ["NO_RELATION", "relation_scores", "relation_statistics", "relation_types"]

NO_RELATION = frozenset({"other", "no_relation", "no relation", "none", "na", "无", "无关系", "unknown"})
"""Names, in lower case, of the class of pairs without a relation."""
DIRECTION = re.compile(r"\s*\((e1,\s*e2|e2,\s*e1)\)$", re.IGNORECASE)


def relation_types(labels: Sequence[str]) -> list[str | None]:
    """Return the type of each label without its direction; None for the class without a relation.

    Example
    -------
    >>> relation_types(["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other"])
    ['Cause-Effect', 'Cause-Effect', None]
    """
    types = [DIRECTION.sub("", label) for label in labels]
    return [None if name.strip().lower() in NO_RELATION else name for name in types]


def relation_statistics(truth: Indices, predicted: Indices, labels: Sequence[str]) -> csr_array:
    """Count for each row and relation type.

    Returns
    -------
    n x (3T + 2) sparse counts: T true types, T predicted types, T types predicted with the right direction,
    then whether the label is right, and 1 for each row.
    """
    types = relation_types(labels)
    names = sorted({name for name in types if name is not None})
    column = np.array([names.index(name) if name is not None else -1 for name in types])
    rows, hits = np.arange(len(truth)), truth == predicted
    blocks = [
        (rows, column[truth]),
        (rows, column[predicted]),
        (rows[hits], column[truth[hits]]),
    ]
    width = len(names)
    entries = [(row[place >= 0], place[place >= 0] + i * width) for i, (row, place) in enumerate(blocks)]
    entries += [(rows[hits], np.full(hits.sum(), 3 * width)), (rows, np.full(len(rows), 3 * width + 1))]
    places = tuple(np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csr_array((np.ones(len(places[0])), places), shape=(len(truth), 3 * width + 2))


def relation_scores(sums: NDArray[np.float64]) -> dict[str, Any]:
    """Return macro-F1 without the class of no relation, and accuracy, of sums (... x (3T + 2))."""
    sums = np.asarray(sums, np.float64)
    true, predicted, hits = np.split(sums[..., :-2], 3, axis=-1)
    return {
        "macro_f1": macro_f1_of_counts(true, predicted, hits),
        "accuracy": sums[..., -2] / sums[..., -1],
    }
