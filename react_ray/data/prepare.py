"""From input files to clean rows in their parts (S1)."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.config import DataConfig
from react_ray.data.check import check_rows, check_usable, reason_kind
from react_ray.data.label_names import read_label_file
from react_ray.data.read import SHOWN_CHARS
from react_ray.data.shards import INPUTS, ReadTask, Shard, read_items
from react_ray.data.split import validation_mask
from react_ray.data.vocabulary import SAMPLE_TEXTS, check_vocabulary
from react_ray.errors import InputError
from react_ray.folders import remove_folder
from react_ray.labels import LabelMap

__all__ = ["prepare"]

GROUP_ROWS = 2048
"""Rows of a row group in rows.parquet: the unit the encoder works through."""
MIN_VALIDATION = 30
"""Rows: fewer say little (their accuracy has 9 points of standard error) and are missed in training."""
MIN_CLASS = 20
"""Labelled rows of an average class; with fewer, all are needed to learn."""
SHOWN_ERRORS = 5
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("id", "text", "label", "part", "file"), pa.string()),
        "row": pa.int64(),
        "truth": pa.string(),
    }
)

Item = dict[str, Any]
Run = Callable[[Callable[[], Callable[[Item], int]], Sequence[Item]], int]


def _one_by_one(make: Callable[[], Callable[[Item], int]], items: Sequence[Item]) -> int:
    read = make()
    return sum(read(item) for item in items)


def prepare(
    config: DataConfig,
    folder: Path,
    *,
    models: Mapping[str, str] | None = None,
    run: Run = _one_by_one,
) -> dict[str, Any]:
    """Read, check and split all inputs into ``folder``; the summary, which is also kept there.

    Of more unlabelled rows than ``config.pool`` those of the smallest ids, which are hashes, are
    used: a fair draw, whose rows are also in the draw from any part of the pile that holds them.

    Writes rows.parquet (in the order labeled, unlabeled, validation, test; files by
    name; rows as they stand), refused.jsonl, labels.json and summary.json. ``models``
    maps a flag (--model) to the model that must be able to read the texts.
    ``run(make, items)`` does the reading of files, here or on a cluster; files that
    were read before a kill are not read again.

    Raises InputError when a file, or what is left of all of them, cannot be used.
    """
    described = read_label_file(config.labels) if config.labels else {}
    shards = _read(config, folder / "shards", run)
    rows = _keys(shards)
    rows = rows.join(check_rows(rows, described))
    refused = _refused(rows, shards)
    kept = rows[rows["reason"].isna()]
    check_usable(kept, refused, described)
    labels = LabelMap.of(kept.loc[kept["part"] == "labeled", "label"], described)
    if not config.validation:
        rows["part"] = _hold_back(rows, config.validation_fraction)
    rows["unused"] = _beyond(rows, config.pool)
    _write(rows, shards, folder)
    _check_texts(folder / "rows.parquet", config, models or {}, all_there=not rows["unused"].any())
    labels.save(folder / "labels.json")
    summary = _summary(rows, refused, labels)
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2), encoding="utf-8")
    remove_folder(folder / "shards")
    return summary


def _read(config: DataConfig, folder: Path, run: Run) -> list[Shard]:
    folder.mkdir(parents=True, exist_ok=True)
    items = read_items(config, folder)
    if not items:
        raise InputError("there is no text to learn from: give --labeled or --unlabeled")
    run(ReadTask(config.columns, config.max_chars), [i for i in items if not Path(i["target"]).exists()])
    shards = [Shard.of(item) for item in items]
    errors = [f"--{shard.input} {error}" for shard in shards if (error := shard.error())]
    if errors:
        remove_folder(folder)
        more = f"\nand {len(errors) - SHOWN_ERRORS} more files" if len(errors) > SHOWN_ERRORS else ""
        raise InputError("\n".join(errors[:SHOWN_ERRORS]) + more)
    return shards


def _keys(shards: list[Shard]) -> pd.DataFrame:
    """All rows of all shards in order: id, label, row, input, file."""
    tables = [shard.keys() for shard in shards]
    sizes = [len(table) for table in tables]
    rows = pa.concat_tables(tables).to_pandas()
    for column in ("input", "file"):
        names = pd.Categorical([getattr(shard, column) for shard in shards])
        rows[column] = pd.Categorical.from_codes(np.repeat(names.codes, sizes), dtype=names.dtype)
    return rows


def _refused(rows: pd.DataFrame, shards: list[Shard]) -> pd.DataFrame:
    """Every refused row, by the reader or by the checks, without its text."""
    types = {"input": "str", "file": "str", "row": "int64", "reason": "str", "label": "str"}
    early = [{**row, "input": shard.input} for shard in shards for row in shard.refused()]
    late = rows.loc[rows["reason"].notna(), list(types)]
    return pd.concat([pd.DataFrame(early, columns=list(types)).astype(types), late.astype(types)])


def _hold_back(rows: pd.DataFrame, fraction: float) -> pd.Series:
    """The parts, with some labelled rows moved to validation."""
    labelled = rows[rows["reason"].isna() & (rows["part"] == "labeled")]
    part = rows["part"].copy()
    enough = fraction * len(labelled) >= MIN_VALIDATION
    if enough and len(labelled) >= MIN_CLASS * labelled["label"].nunique():
        mask = validation_mask(labelled["id"].tolist(), labelled["label"].tolist(), fraction)
        part[labelled.index[mask]] = "validation"
    return part


def _beyond(rows: pd.DataFrame, pool: int) -> pd.Series:
    """Which usable unlabelled rows are more than are used."""
    ids = rows.loc[rows["reason"].isna() & (rows["part"] == "unlabeled"), "id"]
    unused = pd.Series(False, index=rows.index)
    unused[ids.sort_values().index[pool:]] = True
    return unused


def _write(rows: pd.DataFrame, shards: list[Shard], folder: Path) -> None:
    with (
        pq.ParquetWriter(folder / "rows.parquet", SCHEMA) as writer,
        (folder / "refused.jsonl").open("w", encoding="utf-8") as refused,
    ):
        for group in _regroup(_sift(rows, shards, refused), GROUP_ROWS):
            writer.write_table(group, row_group_size=GROUP_ROWS)


def _sift(rows: pd.DataFrame, shards: list[Shard], refused: TextIO) -> Iterator[pa.Table]:
    """The rows that stay, with their texts; the others are written to ``refused``."""
    start = 0
    for shard in shards:
        late: list[dict[str, Any]] = []
        for table in shard.batches():
            verdict = rows[["part", "reason", "unused"]].iloc[start : start + len(table)]
            start += len(table)
            lost = verdict["reason"].notna().to_numpy()
            table = table.append_column("part", pa.array(verdict["part"].astype("str"), pa.string()))
            used = ~lost & ~verdict["unused"].to_numpy()
            yield table.select(SCHEMA.names).filter(pa.array(used))
            gone = table.select(["file", "row", "text"]).filter(pa.array(lost)).to_pylist()
            late += [{**row, "reason": why} for row, why in zip(gone, verdict["reason"][lost], strict=True)]
        for row in heapq.merge(shard.refused(), late, key=itemgetter("row")):
            shown = {key: row[key] for key in ("file", "row", "reason")} | {"text": row["text"][:SHOWN_CHARS]}
            refused.write(json.dumps(shown, ensure_ascii=False) + "\n")


def _regroup(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of ``size`` rows; only the last one may be smaller."""
    pending = SCHEMA.empty_table()
    for table in tables:
        pending = pa.concat_tables([pending, table])
        while len(pending) >= size:
            yield pending.slice(0, size)
            pending = pending.slice(size)
    if len(pending):
        yield pending


def _check_texts(path: Path, config: DataConfig, models: Mapping[str, str], all_there: bool) -> None:
    """Raise InputError when the models cannot read the texts, or the truth is nowhere.

    The truth may be in rows that are not used, unless rows are ``all_there``.
    """
    truth = config.columns.truth
    if (
        truth
        and all_there
        and pq.read_table(path, columns=["truth"])["truth"].null_count == pq.read_metadata(path).num_rows
    ):
        raise InputError(f"no row has a value in the column {truth!r} that --truth-column names")
    if models:
        ids = pq.read_table(path, columns=["id"])
        smallest = pc.select_k_unstable(
            ids, SAMPLE_TEXTS, [("id", "ascending")]
        )  # ids are hashes: a fair draw
        chosen = ids["id"].take(smallest)
        texts = pq.read_table(path, columns=["text"], filters=pc.field("id").isin(chosen))["text"].to_pylist()
        for flag, model in models.items():
            check_vocabulary(texts, model, config.max_unknown, flag)


def _summary(rows: pd.DataFrame, refused: pd.DataFrame, labels: LabelMap) -> dict[str, Any]:
    """Counts: rows per part, not used, labelled rows per class, refused rows per reason, rows per file."""
    kept = rows[rows["reason"].isna() & ~rows["unused"]]
    parts = kept["part"].value_counts()
    classes = kept.loc[kept["part"] == "labeled", "label"].value_counts()
    per_file = [frame.groupby(["input", "file"], observed=True).size() for frame in (kept, refused)]
    files = pd.concat(per_file, axis=1, keys=["rows", "refused"]).fillna(0).astype(int).reset_index()
    files["input"] = pd.Categorical(files["input"], INPUTS)
    return {
        "parts": {part: int(parts.get(part, 0)) for part in INPUTS},
        "unused": int(rows["unused"].sum()),
        "classes": {name: int(classes.get(name, 0)) for name in labels.names},
        "refused": {kind: int(n) for kind, n in reason_kind(refused["reason"]).value_counts().items()},
        "files": files.sort_values(["input", "file"]).to_dict("records"),
    }
