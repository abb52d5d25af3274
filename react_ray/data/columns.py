"""Columns of a task: their names in files, and how cells are parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from react_ray.config.settings import Columns, DataConfig
from react_ray.data.records import Rows
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import Source, find_files
from react_ray.errors import ConfigError, InputError
from react_ray.tasks import Task
from react_ray.tasks.columns import Column, Options

__all__ = ["TRUTH", "FileColumns", "check_columns", "input_names", "labelled_columns", "options_of"]

TRUTH = "truth"
SHORT_FORMS = {"text": "--text-column", "label": "--label-column", TRUTH: "--truth-column"}


def check_columns(task: Task, config: DataConfig) -> None:
    """Raise ConfigError if a setting names a column that the task does not have, or one column twice."""
    names = [column.name for column in task.columns]
    for name, column in config.columns.renamed().items():
        if name not in (*names, TRUTH):
            raise ConfigError(
                f"data.columns.{name} = {column!r}: {task.title} has no column {name!r}; "
                f"its columns are {', '.join(names)} and {TRUTH}"
            )
    if config.targets is not None and not task.generates:
        raise ConfigError(
            f"data.targets = {config.targets!r}: tasks that generate texts learn from targets alone, and "
            f"{task.title} does not"
        )
    _check_options(task, config)
    owners: dict[str, str] = {}
    for name in names:
        column = config.columns.of(name)
        if column in owners:
            raise ConfigError(
                f"data.columns.{owners[column]} and data.columns.{name} both name the column {column!r}: "
                f"give each a column of its own (--column {name}=OTHER)"
            )
        owners[column] = name


def _check_options(task: Task, config: DataConfig) -> None:
    kinds = {column.kind for column in task.columns}
    for name, value, kind, nouns in (
        ("separator", config.separator, "labels", "several labels"),
        ("label_columns", list(config.label_columns) or None, "labels", "several labels"),
        ("scheme", config.scheme, "tags", "tags of tokens"),
    ):
        if value is not None and kind not in kinds:
            raise ConfigError(
                f"data.{name} = {value!r}: {task.title} has no {nouns} in a row; leave the setting out, or "
                "choose another task"
            )


def input_names(task: Task, columns: Mapping[str, str]) -> Columns:
    """Return the column names for files whose targets are not read; ConfigError as check_columns.

    Targets get names that no file has, so an input column may be called like a target.
    """
    targets = [column.name for column in task.columns if column.target]
    unread = {name: " " * number for number, name in enumerate(targets, start=1)}
    names = Columns(**unread | dict(columns))
    check_columns(task, DataConfig(columns=names))
    return names


def options_of(config: DataConfig) -> Options:
    """Return the parsing options of the settings."""
    return Options(config.separator, config.label_columns, config.scheme, config.passages)


class FileColumns:
    """Mapping from the columns of one file to those of a task; ``selection`` has the columns to read.

    ``labeled=False`` skips target columns; ``columns.truth`` names the column with the true targets of
    unlabelled rows, if there is one. ``needs`` are the groups of input columns that the file has to have.
    """

    def __init__(self, task: Task, columns: Columns, options: Options, source: Source, labeled: bool):
        self.task, self.options, self.labeled = task, options, labeled
        passages = options.passages and not labeled
        self.needs = (task.needs[0][:1],) if passages else task.needs  # a passage has the first input alone
        read = [column for column in task.columns if labeled or not column.target]
        if source.kind == "conll":
            self._places = _of_tokens(task, read, source)
            self._truth = None
        else:
            self._places = {column.name: columns.of(column.name) for column in read}
            self._truth = columns.truth
        if labeled:
            self._places |= {name: name for name in options.label_columns}
        self.selection = self._selection(labeled)

    def _selection(self, labeled: bool) -> ColumnSelection:
        places = self._places
        groups = [group for group in self.needs if all(name in places for name in group)]
        targets: list[tuple[str, ...]] = []
        if labeled:
            targets = [(column.name,) for column in self.task.columns if column.target]
            targets = [group for group in targets if group[0] in places]
            targets = [self.options.label_columns] if self.options.label_columns else targets
        coded = [place for name, place in places.items() if self._is_target(name)]
        return ColumnSelection(
            groups=tuple(tuple(places[name] for name in group) for group in groups),
            targets=tuple(tuple(places[name] for name in group) for group in targets),
            optional=(*places.values(), *([self._truth] if self._truth else [])),
            flags={place: _flag(name) for name, place in places.items()}
            | dict.fromkeys(self.options.label_columns, "--label-columns"),
            coded=[*coded, *([self._truth] if self._truth else [])],
        )

    def _is_target(self, name: str) -> bool:
        return any(column.name == name and column.target for column in self.task.columns)

    def cells(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cells of a row by the names of the task's columns.

        Rows of jsonl files may lack keys: required ones are added with the value None.
        """
        cells = {name: record[place] for name, place in self._places.items() if place in record}
        nested = cells.get("data")  # Label Studio has the text in there
        if isinstance(nested, Mapping) and "text" not in cells and self._places.get("text") in nested:
            cells["text"] = nested[self._places["text"]]
        if not any(all(name in cells for name in group) for group in self.needs):
            cells = dict.fromkeys(self.needs[0]) | cells
        return cells

    def lacks_text(self, cells: Mapping[str, Any]) -> bool:
        """Return whether a cell that every row needs is blank, in each group of columns."""
        return all(any(_is_blank(cells.get(name)) for name in group) for group in self.needs)

    def truth(self, record: Mapping[str, Any]) -> Any:
        """Return the cell of the true target, or None."""
        return record.get(self._truth) if self._truth else None

    def with_truth(self, cells: Mapping[str, Any], truth: Any) -> tuple[dict[str, Any], Options]:
        """Return the cells of a row with ``truth`` as its target, and the options to parse them with."""
        targets = [column for column in self.task.columns if column.target]
        tokens = any(cells.get(column.name) for column in self.task.columns if column.kind == "tokens")
        fitting = [column for column in targets if (column.kind == "tags") == tokens] or targets
        present = [column for column in fitting if column.name in cells] or fitting
        inputs = {name: cell for name, cell in cells.items() if not self._is_target(name)}
        return inputs | {present[0].name: truth}, replace(self.options, label_columns=())

    def text(self, cells: Mapping[str, Any]) -> str:
        """Return the start of a row as text, for messages."""
        inputs = [cells.get(column.name) for column in self.task.columns if not column.target]
        value = next((cell for cell in inputs if cell is not None), "")
        return " ".join(map(str, value[:1000])) if isinstance(value, list) else str(value)


def labelled_columns(data: DataConfig, task: Task) -> set[str]:
    """Return the columns of the task that the first row of the first labelled file has."""
    for source in find_files(data.labeled)[:1] if data.labeled else []:
        layout = FileColumns(task, data.columns, options_of(data), source, labeled=True)
        for _, record, _ in Rows(source, layout.selection):
            if not isinstance(record, Broken):
                return set(layout.cells(record))
    return set()


def _of_tokens(task: Task, read: list[Column], source: Source) -> dict[str, str]:
    """Return the columns of a CoNLL file, which have no names in the file."""
    places: dict[str, str] = {
        column.name: column.kind for column in read if column.kind in ("tokens", "tags")
    }
    if "tokens" not in places.values():
        raise InputError(
            f"{source.path}: {task.title} does not read files of tokens and tags; "
            "expected .csv, .tsv, .jsonl, .ndjson, .json (each also with .gz) or .parquet"
        )
    return places


def _flag(name: str) -> str:
    return SHORT_FORMS.get(name, f"--column {name}=NAME")


def _is_blank(cell: Any) -> bool:
    return cell is None or cell == [] or (isinstance(cell, str) and not cell.strip())
