"""Conversion of model inputs (texts or objects) to rows of a task; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from react_ray.models.chunks import chunk_ranges
from react_ray.tasks.columns import NO_OPTIONS, Column
from react_ray.tasks.task import Task

__all__ = [
    "Row",
    "expected",
    "few_rows",
    "has_lists",
    "identity_of",
    "input_columns",
    "input_groups",
    "kind_of",
    "parse_input",
    "parts_of",
    "reads_words",
    "rows_taken",
    "sample_row",
    "sample_rows",
    "table_of",
    "text_of",
]

CHARS_A_PART = 1 << 18
"""Characters whose words are in memory at a time: some hundred bytes for each, and all their windows."""


class Row(dict[str, Any]):
    """A parsed row with the task's input columns."""


def input_columns(task: Task) -> list[Column]:
    """Return the columns that an input may have, without those of annotation tools."""
    names = {*task.needs[0], *(field.name for field in task.inputs)}
    return [
        column
        for column in task.columns
        if not column.target and (column.kind != "text" or column.name in names)
    ]


def has_lists(task: Task) -> bool:
    """Return whether an input of the task may have lists: words, or spans of a text."""
    return any(column.kind != "text" for column in input_columns(task))


def reads_words(task: Task) -> bool:
    """Return whether the model reads all words of a text of any length."""
    return any(pa.types.is_list(field.type) for field in task.inputs)


def input_groups(task: Task) -> list[tuple[str, ...]]:
    """Return groups of columns; an input needs all columns of one group."""
    names = {column.name for column in input_columns(task)}
    return [group for group in task.needs if names.issuperset(group)]


def expected(task: Task) -> str:
    """Describe the valid inputs of a task.

    Example
    -------
    >>> from react_ray.tasks import get_task
    >>> expected(get_task("text-classification"))
    'a string or {"text": "a text"}'
    """
    kinds = {column.name: column.kind for column in input_columns(task)}
    text, example = "a text", task.nouns.example
    if task.text_column and isinstance(example, str) and not rows_taken(task, [text]):
        text = example  # such as one with marked entities
    samples = {"text": json.dumps(text, ensure_ascii=False), "tokens": '["a", "word"]'}
    forms = [
        "{" + ", ".join(f'"{name}": {samples.get(kinds[name], "...")}' for name in group) + "}"
        for group in input_groups(task)
    ]
    return " or ".join((["a string"] if task.text_column else []) + forms)


def parse_input(task: Task, value: Any) -> Row:
    """Convert an input to a row: a text, or an object with the task's input columns.

    An empty text is valid. Raises ValueError for an invalid input.
    """
    if isinstance(value, Row):
        return value
    if isinstance(value, str) and task.text_column:
        cells: Mapping[str, Any] = {task.text_column: value}
    elif isinstance(value, Mapping):
        cells = _checked(task, value)
    else:
        raise ValueError(f"is {kind_of(value)}; expected {expected(task)}")
    if task.answers == "entities" and all(cell in ("", []) for cell in cells.values()):
        return _empty_row(task)
    row = task.parse(cells, NO_OPTIONS)
    return Row({field.name: row[field.name] for field in task.inputs})


def _empty_row(task: Task) -> Row:
    return Row({field.name: [] if pa.types.is_list(field.type) else "" for field in task.inputs})


def sample_row(task: Task, text: str) -> Row:
    """Make a row with ``text`` in each text column, to test a model with."""
    for candidate in (
        text,
        {name: text for group in input_groups(task) for name in group},
        task.nouns.example,
    ):
        try:
            return parse_input(task, candidate)
        except ValueError:
            continue
    raise ValueError(f"{task.name}: no input can be made of a text")


def rows_taken(task: Task, texts: Iterable[str]) -> list[Row]:
    """Convert texts to rows; those that are not valid inputs of the task are dropped."""
    rows = []
    for text in texts:
        try:
            rows.append(parse_input(task, text))
        except ValueError:
            continue
    return rows


def sample_rows(task: Task, texts: Iterable[str]) -> list[Row]:
    """Convert texts to rows as :func:`rows_taken`; where an input needs several texts, they are the same."""
    if task.text_column:
        return rows_taken(task, texts)
    rows = []
    for text in texts:
        try:
            rows.append(parse_input(task, dict.fromkeys(input_groups(task)[0], text)))
        except ValueError:
            continue
    return rows


def _checked(task: Task, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of an object; ValueError for unknown, missing or invalid ones."""
    kinds = {column.name: column.kind for column in input_columns(task)}
    unknown = next((name for name in value if name not in kinds), None)
    if unknown is not None:
        raise ValueError(f"{str(unknown)[:50]} is not known; known are: {', '.join(kinds)}")
    cells = {name: cell for name, cell in value.items() if cell is not None}
    groups = input_groups(task)
    if not any(all(name in cells for name in group) for group in groups):
        if len(value) == 1 and next(iter(value.values())) is None:
            raise ValueError(f"{next(iter(value))} is null; expected {expected(task)}")
        missing = next(name for name in groups[-1] if name not in cells)
        raise ValueError(f"{missing} is missing; expected {expected(task)}")
    for name, cell in cells.items():
        if kinds[name] == "text" and not isinstance(cell, str):
            raise ValueError(f"{name} is {kind_of(cell)}; expected a string")
        if kinds[name] == "tokens":
            _check_tokens(name, cell)
    return cells


def _check_tokens(name: str, cell: Any) -> None:
    if not isinstance(cell, list | tuple):
        raise ValueError(f"{name} is {kind_of(cell)}; expected a list of strings")
    for index, token in enumerate(cell):
        if not isinstance(token, str):
            raise ValueError(f"{name}: item {index} is {kind_of(token)}; expected a string")


def kind_of(value: Any) -> str:
    """Return the JSON type of ``value``, for messages."""
    kinds = {type(None): "null", bool: "a boolean", int: "a number", float: "a number"}
    return {**kinds, str: "a string", list: "a list", dict: "an object"}.get(type(value), "of another type")


def table_of(task: Task, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Convert rows with the task's input columns to a table."""
    arrays = [pa.array([row[field.name] for row in rows], field.type) for field in task.inputs]
    return pa.Table.from_arrays(arrays, schema=pa.schema(task.inputs))


def parts_of(task: Task, rows: pa.Table) -> Iterator[pa.Table]:
    """Split rows into parts of about CHARS_A_PART characters if the task reads every word; else one part.

    A part has at least one row.
    """
    if not has_lists(task):
        yield rows
        return
    for part in chunk_ranges(pc.utf8_length(rows["text"]).to_pylist(), CHARS_A_PART):
        yield rows.slice(part.start, len(part))


class _Cells(list[Any]):
    """A column in memory."""

    def to_pylist(self) -> list[Any]:
        """Return the cells."""
        return self


class FewRows:
    """Minimal replacement of a table for the few rows of a request.

    PyArrow releases the interpreter lock for each small array; under load, acquiring it again takes longer
    than the rest of the request.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], names: Sequence[str]):
        self._rows, self.column_names = rows, list(names)
        self.num_rows = len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> _Cells:
        return _Cells(row[name] for row in self._rows)

    def select(self, names: Sequence[str]) -> FewRows:
        """Return some of the columns."""
        return FewRows(self._rows, names)

    def take(self, indices: Sequence[int]) -> FewRows:
        """Return some of the rows."""
        return FewRows([self._rows[index] for index in indices], self.column_names)

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return [{name: row[name] for name in self.column_names} for row in self._rows]


def few_rows(task: Task, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Wrap a few rows as a table, see :class:`FewRows`."""
    return cast(pa.Table, FewRows(rows, [field.name for field in task.inputs]))


def identity_of(task: Task, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that identify a row, by column; entities are marked in them.

    Example
    -------
    >>> from react_ray.tasks import get_task
    >>> pair = get_task("text-pair-classification")
    >>> identity_of(pair, {"text": "How old are you?", "text_pair": "What is your age?"})
    {'text': 'How old are you?', 'text_pair': 'What is your age?'}
    """
    targets = {column.name for column in task.columns if column.target}
    return {name: cell for name, cell in task.cells_of(row, ()).items() if name not in targets}


def text_of(row: Mapping[str, Any]) -> str:
    """Join all texts of a row with line breaks."""
    if len(row) == 1:
        return str(row["text"])
    return "\n".join(value for value in row.values() if isinstance(value, str))
