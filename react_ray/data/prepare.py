"""Preparation: from input files to clean rows in their parts (S1)."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.config.settings import DataConfig
from react_ray.console.reporter import Progress
from react_ray.data.check import check_usable, label_warnings
from react_ray.data.columns import TRUTH, labelled_columns
from react_ray.data.duplicates import PARTS, POOL, REJECTED, UNUSED
from react_ray.data.label_file import read_label_file
from react_ray.data.rejections import RejectedRows
from react_ray.data.shards import INPUTS, ReadTask, Shard, group_id, read_items
from react_ray.data.sources import skipped_files
from react_ray.data.split import validation_mask
from react_ray.data.verdicts import CheckedRows
from react_ray.data.vocabulary import SAMPLE_TEXTS, ModelChoice, Vocabulary
from react_ray.errors import InputError
from react_ray.folders import remove_folder
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap

__all__ = ["MODELS", "prepare", "rows_schema"]

log = logging.getLogger(__name__)

GROUP_ROWS = 2048
"""Rows of a row group in rows.parquet, which the encoder processes as one item."""
MIN_VALIDATION = 30
"""Rows. The accuracy of fewer has a standard error above 9 points, and training needs them more."""
MIN_CLASS = 20
"""Labelled rows of an average class; with fewer, all are needed to learn."""
SHOWN_ERRORS = SHOWN_FILES = 5
MODELS = "models.json"
"""Which models are used, by the flag that names them."""
MARKED_TOKENS = 16
"""Length limit of the tokenizer that is tried with a few characters."""
Item = dict[str, Any]
Run = Callable[[Callable[[], Callable[[Item], int]], Sequence[Item]], int]


def rows_schema(task: Task) -> pa.Schema:
    """Return the schema of rows.parquet: id, the task's inputs and target, part, file, row, true target."""
    place = [pa.field(name, pa.string()) for name in ("part", "file")]
    truth = task.target.with_name(TRUTH)
    return pa.schema([("id", pa.string()), *task.inputs, task.target, *place, ("row", pa.int64()), truth])


def _one_by_one(make: Callable[[], Callable[[Item], int]], items: Sequence[Item]) -> int:
    read = make()
    return sum(read(item) for item in items)


def prepare(
    config: DataConfig,
    folder: Path,
    *,
    task: str,
    models: Sequence[ModelChoice] = (),
    run: Run = _one_by_one,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Read, check and split all inputs into ``folder``; return the summary, which is also saved there.

    At most ``config.pool`` unlabelled rows are used: those with the smallest ids, which are hashes. This is a
    uniform sample, and a row in it is also in the sample of any subset of the unlabelled pool.

    Writes rows.parquet (in the order labeled, unlabeled, validation, test; files by
    name; rows as they stand), refused.jsonl, labels.json, models.json and summary.json.
    ``models`` must be able to read the texts; models.json has those that are used, by flag.
    ``run(make, items)`` reads the files, locally or on a cluster; a resumed run does
    not read finished files again.

    Raises InputError when a file, or the rows that remain of all files, cannot be used.
    """
    described = read_label_file(config.labels) if config.labels else {}
    shards = _read(config, task, folder / "shards", run)
    keys = folder / "shards" / "keys"
    rows = CheckedRows.of(shards, described, config.pool, keys, get_task(task), progress)
    rejections = rows.rejections()
    warnings = _warnings(rows, rejections, described)
    _check_usable(rows, rejections, described, config)
    labels = LabelMap.of(rows.classes("labeled"), described)
    if not config.validation:
        _hold_back(rows, config.validation_fraction)
    _write(rows, folder, progress)
    every = not (rows.status == UNUSED).any()
    readers = _check_texts(folder / "rows.parquet", get_task(task), config, models, all_used=every)
    (folder / MODELS).write_text(json.dumps(readers), encoding="utf-8")
    warnings += _model_warnings(get_task(task), readers.get("--model", [])) + _skipped(config)
    labels.save(folder / "labels.json")
    summary = {**_summary(rows, rejections, labels), "warnings": warnings}
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2), encoding="utf-8")
    remove_folder(folder / "shards")
    return summary


def _read(config: DataConfig, task: str, folder: Path, run: Run) -> list[Shard]:
    folder.mkdir(parents=True, exist_ok=True)
    items = read_items(config, folder)
    if not items:
        raise InputError("there is no training text: give --labeled or --unlabeled")
    run(ReadTask.of(config, task), [i for i in items if not Path(i["target"]).exists()])
    shards = [Shard.of(item) for item in items]
    errors = [f"--{shard.input} {error}" for shard in shards if (error := shard.error())]
    if errors:
        remove_folder(folder)
        more = f"\nand {len(errors) - SHOWN_ERRORS} more files" if len(errors) > SHOWN_ERRORS else ""
        raise InputError("\n".join(errors[:SHOWN_ERRORS]) + more)
    return shards


def _skipped(config: DataConfig) -> list[str]:
    """Return a warning for each input in which files are skipped."""
    inputs = {name: path for name in INPUTS if (path := getattr(config, name))}
    skipped = {name: files for name, path in inputs.items() if (files := skipped_files(path))}
    return [
        f"--{name}: not read: {', '.join(files[:SHOWN_FILES])}{', ...' * (len(files) > SHOWN_FILES)}; beside "
        "files of other formats .json and .txt files are skipped: write .jsonl, and .conll for tagged tokens"
        for name, files in skipped.items()
    ]


def _check_usable(
    rows: CheckedRows, rejections: RejectedRows, described: dict[str, str], config: DataConfig
) -> None:
    accepted: Counter[str] = Counter()
    for shard, status_counts in zip(rows.shards, rows.status_counts(), strict=True):
        accepted[shard.input] += int(status_counts[:REJECTED].sum())
    learnable = np.isin(rows.status, [PARTS.index("labeled"), POOL, UNUSED]).any()
    task = rows.targets.task
    labels = rows.classes("labeled").keys()
    columns = labelled_columns(config, task) if not labels else ()
    check_usable(accepted, labels, bool(learnable), rejections, described, task, columns)


def _warnings(rows: CheckedRows, rejections: RejectedRows, described: dict[str, str]) -> list[str]:
    """Return and log warnings about labels and encodings, which may explain errors of later checks."""
    counts = rows.targets.count(rows.labelled["key"].dropna())
    for name in [*described, *(label for _, label in rejections.lost)]:
        counts.setdefault(name, 0)
    classes = {part: set(rows.classes(part)) for part in ("labeled", "validation", "test")}
    warnings = label_warnings(counts, classes, rejections, rows.targets.task)
    if rejections.kinds["bad encoding"]:
        warnings.append(
            "rows are rejected because they are not UTF-8. If a file has another encoding, letters of its "
            "other rows may be wrong too: convert it, for example with iconv -f GB18030 -t UTF-8"
        )
    for warning in warnings:
        log.warning("%s", warning)
    return warnings


def _hold_back(rows: CheckedRows, fraction: float) -> None:
    """Move some labelled rows to the validation part, if there are enough.

    Tasks whose thresholds need rows that the model has not seen take them from the unlabelled ones, and
    without those from the labelled ones, however few of a class there are.
    """
    labelled = rows.of_part("labeled")
    keys = labelled["key"].tolist()
    if fraction * rows.targets.evidence(keys) < MIN_VALIDATION:
        return
    needed = rows.targets.task.settles_on_unlabeled and not (rows.status == POOL).any()
    if needed or len(labelled) >= MIN_CLASS * max(1, len(rows.classes("labeled"))):
        strata = rows.targets.strata(keys)
        groups = [group_id(rows.targets.task, row) for row in labelled["id"]]
        mask = validation_mask(groups, strata, fraction)
        rows.status[labelled.index[mask]] = PARTS.index("validation")


def _write(rows: CheckedRows, folder: Path, progress: Progress | None) -> None:
    schema = rows_schema(rows.targets.task)
    with (
        pq.ParquetWriter(folder / "rows.parquet", schema) as writer,
        (folder / "refused.jsonl").open("w", encoding="utf-8") as refused,
    ):
        for group in _regroup(rows.sift(schema.names, refused, progress), schema, GROUP_ROWS):
            writer.write_table(group, row_group_size=GROUP_ROWS)


def _regroup(tables: Iterator[pa.Table], schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """Regroup rows into tables of ``size`` rows; only the last one may be smaller."""
    pending = schema.empty_table()
    for table in tables:
        pending = pa.concat_tables([pending, table])
        while len(pending) >= size:
            yield pending.slice(0, size)
            pending = pending.slice(size)
    if len(pending):
        yield pending


def _check_texts(
    path: Path, task: Task, config: DataConfig, models: Sequence[ModelChoice], all_used: bool
) -> dict[str, list[str]]:
    """Return the models of each flag that are used.

    Raises InputError when the models cannot read the texts, or no row has a true target. True targets are
    only required if all rows are used (``all_used``).
    """
    truth = config.columns.truth
    if truth and all_used and not _any_truth(path):
        raise InputError(f"no row has a value in the column {truth!r} that --truth-column names")
    vocabulary = Vocabulary(_sample(path, task) if models else [], config.max_unknown)
    return {choice.flag: vocabulary.readers(choice) for choice in models}


def _model_warnings(task: Task, models: Sequence[str]) -> list[str]:
    """Return and log what the models to fine-tune lack for the task."""
    warnings = []
    for model in models:
        if warning := task.tokenizer_warning(TransformersTokenizer(load_tokenizer(model), MARKED_TOKENS)):
            warnings.append(f"--model {model}: {warning}")
            log.warning("%s", warnings[-1])
    return warnings


def _any_truth(path: Path) -> bool:
    with pq.ParquetFile(path) as file:
        return any(batch["truth"].null_count < len(batch) for batch in file.iter_batches(columns=["truth"]))


def _sample(path: Path, task: Task) -> list[str]:
    """Return the texts of the rows with the smallest ids (hashes), in the order of the rows."""
    chosen, place = None, 0
    texts = task.texts
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["id", *texts]):
            table = pa.Table.from_batches([batch]).append_column(
                "place", pa.array(range(place, place + len(batch)))
            )
            place += len(batch)
            table = table if chosen is None else pa.concat_tables([chosen, table])
            chosen = table.take(pc.select_k_unstable(table, SAMPLE_TEXTS, [("id", "ascending")]))
    if chosen is None:
        return []
    return [text for row in chosen.sort_by("place").select(texts).to_pylist() for text in row.values()]


def _summary(rows: CheckedRows, rejections: RejectedRows, labels: LabelMap) -> dict[str, Any]:
    """Count rows: per part, unused, per class, rejected per reason, and per file.

    For each file, ``read`` is the sum of ``rows`` (used), ``unused`` and ``refused``; ``notes`` describe how
    it was read, where that is not obvious.
    """
    status_counts = rows.status_counts()
    total = status_counts.sum(0)
    classes = rows.classes("labeled")
    files = []
    for shard, count in zip(rows.shards, status_counts, strict=True):
        used, unused = int(count[: POOL + 1].sum()), int(count[UNUSED])
        read = int(count.sum()) + sum(row["row"] > 0 for row in shard.refused())
        refused = rejections.files[shard.input, shard.file]
        counts = {"input": shard.input, "file": shard.file, "read": read}
        notes = {"notes": lines} if (lines := shard.notes()) else {}
        files.append({**counts, "rows": used, "unused": unused, "refused": refused, **notes})
    return {
        "parts": {part: int(total[PARTS.index(part)]) for part in INPUTS},
        "unused": int(total[UNUSED]),
        "classes": {name: classes[name] for name in labels.names},
        "refused": dict(rejections.kinds.most_common()),
        "files": files,
    }
