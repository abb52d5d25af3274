"""Parsing of label sets: a list, JSON, names with a separator, or one column of 0 and 1 per label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.tasks.columns import Cells
from react_ray.tasks.label_names import label_name
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.written_lists import written_value

__all__ = ["flagged_labels", "label_set", "set_targets"]

SHOWN_CHARS = 80
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


def label_set(value: Any, separator: str | None = None) -> list[str] | None:
    """Return the distinct labels in a cell, sorted; [] for none of the labels, None for an unlabelled row.

    A cell is a list, a list in JSON, Python or numpy notation, names separated by ``separator`` (a separator
    alone is []), or the name of one label. Raises ValueError ("kind: details").

    Example
    -------
    >>> label_set("love|joy", "|"), label_set('["joy"]'), label_set("[]"), label_set("")
    (['joy', 'love'], ['joy'], [], None)
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        written = _written_list(value.strip())
        if written is None and separator is not None:
            return _canonical(part for part in value.split(separator) if part.strip())
        value = value if written is None else written
    if isinstance(value, list | tuple):
        return _canonical(value)
    if isinstance(value, dict):
        raise ValueError(f"not a list of labels: {_shown(value)}")
    name = label_name(value)
    return None if name is None else [name]


def flagged_labels(cells: Cells, columns: Sequence[str]) -> list[str] | None:
    """Return the labels whose column is 1 (true, yes), sorted; None if all of the columns are blank.

    A row with only some of them blank is rejected: an undecided label is not a 0.
    """
    flags = {column: label_name(cells.get(column)) for column in columns}
    blank = [column for column, flag in flags.items() if flag is None]
    if len(blank) == len(flags):
        return None
    if blank:
        raise ValueError(f"partly labelled: {blank[0]!r} is blank and other labels are not")
    for column, flag in flags.items():
        if str(flag).lower() not in YES + NO:
            raise ValueError(f"not 0 or 1: {_shown(flag)} in the column {column!r}")
    return _canonical(column for column, flag in flags.items() if str(flag).lower() in YES)


def set_targets(column: pa.ChunkedArray, labels: Sequence[str]) -> list[NDArray[np.float32] | None]:
    """Convert targets to K values from 0 to 1 per row; None where the row is unlabelled.

    The column holds lists of names, or lists of K probabilities. KeyError names an unknown label.
    """
    rows = column.to_pylist()
    if pa.types.is_floating(column.type.value_type):
        return [None if row is None else np.array(row, np.float32) for row in rows]
    label_map = LabelMap(tuple(labels))
    return [None if row is None else _indicators(row, label_map) for row in rows]


def _indicators(names: Sequence[str], label_map: LabelMap) -> NDArray[np.float32]:
    indicators = np.zeros(len(label_map), np.float32)
    indicators[label_map.indices(names)] = 1
    return indicators


def _written_list(text: str) -> list[Any] | None:
    """Parse a list in JSON, Python or numpy notation; None if the text does not look like one."""
    if not text.startswith("["):
        return None
    try:
        written = written_value(text)
    except ValueError as error:
        raise ValueError(f"not a list of labels: {error}") from None
    return written if isinstance(written, list) else None


def _canonical(values: Iterable[Any]) -> list[str]:
    names = set()
    for value in values:
        if isinstance(value, list | tuple | dict):
            raise ValueError(f"not a list of labels: it holds {_shown(value)}")
        name = label_name(value)
        if name is None:
            raise ValueError("blank label: a list of labels has an empty place")
        names.add(name)
    return sorted(names)


def _shown(value: Any) -> str:
    return repr(value)[:SHOWN_CHARS]
