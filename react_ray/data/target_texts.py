"""Texts in the form of targets, without the inputs that belong to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from react_ray.config.settings import Columns, DataConfig
from react_ray.data.read import Batch, read_file
from react_ray.data.shards import text_id
from react_ray.data.sources import Source, find_files
from react_ray.errors import InputError
from react_ray.tasks import Task

__all__ = ["count_target_texts", "read_target_texts"]


def count_target_texts(data: DataConfig, task: Task) -> tuple[int, int]:
    """Count the accepted and the rejected rows of the files ``data.targets``."""
    read = rejected = 0
    for batch in _target_batches(data, task):
        read, rejected = read + len(batch.rows), rejected + len(batch.refused)
    return read, rejected


def read_target_texts(data: DataConfig, task: Task, most: int, refused: Path | None = None) -> dict[str, str]:
    """Read the target column of the files ``data.targets``: distinct texts by their ids, in order of the ids.

    Of more than ``most``, those with the smallest ids, which are hashes: a uniform sample. Rejected rows are
    written to ``refused``. Raises InputError for a file that cannot be used.
    """
    texts: dict[str, str] = {}
    rejected = []
    for batch in _target_batches(data, task):
        texts |= {text_id(text): text for text in batch.rows["text"].to_pylist()}
        rejected += batch.refused
        if len(texts) > 2 * most:
            texts = _smallest(texts, most)
    if refused is not None:
        refused.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rejected), "utf-8")
    return _smallest(texts, most)


def _target_batches(data: DataConfig, task: Task) -> Iterator[Batch]:
    source, target = task.columns
    names = Columns(**{source.name: data.columns.of(target.name), target.name: " "})
    for file in find_files(data.targets) if data.targets else []:
        yield from _batches(file, names, task, data)


def _batches(file: Source, names: Columns, task: Task, data: DataConfig) -> Iterator[Batch]:
    source, target = (column.name for column in task.columns)
    try:
        yield from read_file(file, names, task=task, labeled=False, max_chars=data.max_chars)
    except InputError as error:
        flag = f"--column {source}=NAME"  # the targets are read in place of inputs
        raise InputError(f"data.targets: {error}".replace(flag, f"--column {target}=NAME")) from None


def _smallest(texts: dict[str, str], most: int) -> dict[str, str]:
    return {key: texts[key] for key in sorted(texts)[:most]}
