"""Conversion of each input file to a parquet shard for the checks.

Reading is the expensive part of preparation, so it is split into items that any worker can process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.config.settings import Columns, DataConfig
from react_ray.data.columns import options_of
from react_ray.data.read import read_file, row_schema
from react_ray.data.sources import Source, find_files
from react_ray.data.targets import canonical_json
from react_ray.errors import InputError
from react_ray.folders import replacement_of_file
from react_ray.tasks import Task, get_task
from react_ray.tasks.columns import NO_OPTIONS, Options
from react_ray.tasks.text_changes import normal_form

__all__ = [
    "INPUTS",
    "ROW_BYTES",
    "ReadTask",
    "Shard",
    "group_id",
    "read_items",
    "read_shard",
    "row_id",
    "shard_schema",
    "text_id",
]

INPUTS = ("labeled", "unlabeled", "validation", "test")
"""The inputs of a run, in the order their rows are kept."""
ROW_BYTES = 5_000
"""Bytes of input that count as one row when deciding whether to start Ray (``cluster.local_rows``)."""


def shard_schema(task: Task) -> pa.Schema:
    """Return the schema of a shard: the id, then the columns of :func:`react_ray.data.read.row_schema`."""
    return pa.schema([pa.field("id", pa.string()), *row_schema(task)])


GROUP_DIGITS = 16
"""Hex digits of an id for the row, and for the input that it shares with others."""


def text_id(text: str) -> str:
    """Hash a text to 32 hex digits, ignoring differences in white space and Unicode form."""
    return hashlib.blake2b(normal_form(text).encode(), digest_size=16).hexdigest()


def row_id(task: Task, row: Mapping[str, Any]) -> str:
    """Hash the identifying columns of a row to 32 hex digits; a single text as :func:`text_id` does.

    For tasks whose rows share an input, the last 16 digits are its hash, see :func:`group_id`.
    """
    values = [row[name] for name in task.identity or [field.name for field in task.inputs]]
    if len(values) == 1 and isinstance(values[0], str):
        return text_id(values[0])
    normal = [normal_form(value) if isinstance(value, str) else value for value in values]
    whole = hashlib.blake2b(canonical_json(normal).encode(), digest_size=16).hexdigest()
    return whole if task.group is None else whole[:GROUP_DIGITS] + text_id(row[task.group])[:GROUP_DIGITS]


def group_id(task: Task, row: str) -> str:
    """Return the part of a row's id that it shares with the rows of its group; all of it without groups."""
    return row if task.group is None else row[GROUP_DIGITS:]


@dataclass(frozen=True)
class Shard:
    """An input file after reading: its parquet file, with the rejected rows next to it."""

    input: str
    file: str
    target: Path

    @classmethod
    def of(cls, item: dict[str, Any]) -> Shard:
        """Return the shard for an item of :func:`read_items`."""
        return cls(item["input"], item["source"]["path"], Path(item["target"]))

    def rows(self) -> int:
        """Count the accepted rows."""
        return int(pq.read_metadata(self.target).num_rows)

    def ids(self, target: str) -> Iterator[pa.Table]:
        """Yield the columns that the checks need (id, target, row), one row group at a time."""
        return self.batches(["id", target, "row"])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows, one row group at a time."""
        with pq.ParquetFile(self.target) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)

    def refused(self) -> Iterator[dict[str, Any]]:
        """Yield the rows that the reader rejected, in order, see ``read.Batch``."""
        with _refused_path(self.target).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def notes(self) -> list[str]:
        """Describe how the file was read, where that is not obvious."""
        path = _notes_path(self.target)
        notes: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return notes

    def error(self) -> str | None:
        """Return why the file as a whole cannot be used, or None."""
        path = _error_path(self.target)
        return path.read_text(encoding="utf-8") if path.exists() else None


def _refused_path(target: Path) -> Path:
    return target.with_suffix(".refused.jsonl")


def _notes_path(target: Path) -> Path:
    return target.with_suffix(".notes.json")


def _error_path(target: Path) -> Path:
    return target.with_suffix(".error")


@dataclass(frozen=True)
class ReadTask:
    """Worker task: read one item of :func:`read_items`.

    ``task`` is the name of the task, ``columns`` are the column names in the files.
    """

    task: str
    columns: Columns
    options: Options
    max_chars: int

    @classmethod
    def of(cls, config: DataConfig, task: str) -> ReadTask:
        """Make the worker task from the settings."""
        return cls(task, config.columns, options_of(config), config.max_chars)

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Return a function that reads an item and returns the number of accepted rows.

        The error of a file that cannot be used is written next to the shard, so that
        all such files can be reported together, whichever machine read them.
        """

        def read(item: dict[str, Any]) -> int:
            source, target = Source(**item["source"]), Path(item["target"])
            labeled = item["input"] != "unlabeled"
            try:
                return read_shard(
                    source,
                    target,
                    self.columns,
                    task=get_task(self.task),
                    options=self.options,
                    labeled=labeled,
                    max_chars=self.max_chars,
                )
            except InputError as error:
                _error_path(target).write_text(str(error), encoding="utf-8")
                return 0

        return read


def read_items(config: DataConfig, folder: Path) -> list[dict[str, Any]]:
    """Return one item per input file, in order, to be read into ``folder``.

    ``bytes`` is the size of the file. Raises InputError for an input without files.
    """
    items: list[dict[str, Any]] = []
    for name in INPUTS:
        path = getattr(config, name)
        for source in find_files(path) if path else []:
            target = str(folder / f"{len(items):06d}.parquet")
            items.append({"input": name, "source": asdict(source), "target": target, "bytes": source.size()})
    return items


def read_shard(
    source: Source,
    target: Path,
    columns: Columns,
    *,
    task: Task,
    labeled: bool,
    max_chars: int,
    options: Options = NO_OPTIONS,
    group_rows: int = 10_000,
) -> int:
    """Read ``source`` into the parquet file ``target``, which exists only when complete.

    Rejected rows are written to a jsonl file next to it, and notes on the file to another. A row group has
    at most ``group_rows`` rows. Returns the number of rows kept; raises InputError when the file cannot be
    used.
    """
    rows = 0
    with (
        replacement_of_file(target) as file,
        pq.ParquetWriter(file, shard_schema(task)) as writer,
        _refused_path(target).open("w", encoding="utf-8") as refused,
    ):
        names = [field.name for field in task.inputs]
        for batch in read_file(
            source, columns, task=task, options=options, labeled=labeled, max_chars=max_chars
        ):
            ids = pa.array([row_id(task, row) for row in batch.rows.select(names).to_pylist()], pa.string())
            writer.write_table(batch.rows.add_column(0, "id", ids), row_group_size=group_rows)
            refused.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.refused)
            if batch.notes:
                _notes_path(target).write_text(json.dumps(batch.notes), encoding="utf-8")
            rows += len(ids)
    return rows
