"""The texts of the input: read into parquet shards, without duplicates, and some set aside to validate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.data.columns import input_names
from react_ray.data.lines import FlawedLine, read_lines
from react_ray.data.read import SHOWN_CHARS, check_text, printable
from react_ray.data.shards import read_shard, text_id
from react_ray.data.sources import Source, find_files
from react_ray.folders import replacement_of_file
from react_ray.tasks import DEFAULT_TASK, get_task

__all__ = ["TRAIN", "VALIDATION", "ReadTexts", "TextShard", "divide", "read_items"]

GROUP_ROWS = 10_000
MAX_VALIDATION = 2000
"""Most validation texts: more would take longer to evaluate than they add in precision."""
UNUSED, TRAIN, VALIDATION = 0, 1, 2
"""Parts of the texts; duplicates are unused."""


@dataclass(frozen=True)
class TextShard:
    """The texts of an input file: columns id and text; the part of each is in ``parts_path``."""

    path: Path

    @property
    def parts_path(self) -> Path:
        """File with the part of each text, written by :func:`divide`."""
        return self.path.with_suffix(".parts.npy")

    @property
    def refused_path(self) -> Path:
        """File with the rejected rows."""
        return self.path.with_suffix(".refused.jsonl")

    def ids(self) -> Iterator[str]:
        """Yield the ids of the texts."""
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=["id"])["id"].to_pylist()

    def texts(self, part: int) -> Iterator[list[str]]:
        """Yield the texts of a part in lists."""
        parts, start = np.load(self.parts_path), 0
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["text"])
                selected = parts[start : start + len(table)] == part
                start += len(table)
                yield table["text"].filter(pa.array(selected)).to_pylist()


def read_items(config: PretrainConfig, folder: Path) -> list[dict[str, Any]]:
    """Return an item for each input file, to be read into ``folder``. Raises InputError if there is none."""
    return [
        {"source": asdict(source), "target": str(folder / f"{number:06d}.parquet"), "bytes": source.size()}
        for number, source in enumerate(find_files(config.input))
    ]


@dataclass(frozen=True)
class ReadTexts:
    """Worker task: read an input file into a shard.

    Files of the extension .txt have a text on each line; others have a column of texts.
    """

    column: str
    max_chars: int

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Return a function that reads a file and returns the number of its texts."""
        task = get_task(DEFAULT_TASK)
        columns = input_names(task, {"text": self.column})

        def read(item: dict[str, Any]) -> int:
            source, target = Source(**item["source"]), Path(item["target"])
            if source.key.lower().removesuffix(".gz").endswith(".txt"):
                return _read_plain(source, target, self.max_chars)
            return read_shard(source, target, columns, task=task, labeled=False, max_chars=self.max_chars)

        return read


def _read_plain(source: Source, target: Path, max_chars: int) -> int:
    """Read a text from each line that is not blank."""
    rows = 0
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    pending: list[dict[str, str]] = []
    with (
        replacement_of_file(target) as file,
        pq.ParquetWriter(file, schema) as writer,
        TextShard(target).refused_path.open("w", encoding="utf-8") as refused,
    ):
        for number, line in enumerate(read_lines(source.open_unpacked()), start=1):
            text = line.strip()
            if not text:
                continue
            try:
                if isinstance(line, FlawedLine):
                    raise ValueError(line.reason)
                check_text(text, max_chars)
            except ValueError as error:
                row = {"file": source.path, "row": number, "reason": str(error)}
                shown = printable(text[:SHOWN_CHARS])
                refused.write(json.dumps(row | {"text": shown}, ensure_ascii=False) + "\n")
                continue
            pending.append({"id": text_id(text), "text": text})
            rows += 1
            if len(pending) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(pending, schema=schema))
                pending = []
        writer.write_table(pa.Table.from_pylist(pending, schema=schema))
    return rows


def divide(shards: list[TextShard], share: float) -> dict[str, int]:
    """Write the part of each text, and return counts: train, validation and duplicates.

    The part depends on the text alone, so that it stays when files are added.
    """
    parts = _without_duplicates(shards)
    distinct = sum(int((part == TRAIN).sum()) for part in parts)
    limit = min(share, MAX_VALIDATION / max(1, distinct)) * 16**8
    counts = {"train": 0, "validation": 0, "duplicates": 0}
    for shard, part in zip(shards, parts, strict=True):
        draws = np.array([int(digits[:8], 16) for digits in shard.ids()], dtype=np.int64)
        part[(part == TRAIN) & (draws < limit)] = VALIDATION
        np.save(shard.parts_path, part)
        counts["train"] += int((part == TRAIN).sum())
        counts["validation"] += int((part == VALIDATION).sum())
        counts["duplicates"] += int((part == UNUSED).sum())
    return counts


def _without_duplicates(shards: list[TextShard]) -> list[NDArray[np.uint8]]:
    """Return TRAIN for the first text of each id, and UNUSED for others."""
    seen: set[bytes] = set()
    parts = []
    for shard in shards:
        part = []
        for digits in shard.ids():
            key = bytes.fromhex(digits)
            part.append(UNUSED if key in seen else TRAIN)
            seen.add(key)
        parts.append(np.array(part, dtype=np.uint8))
    return parts
