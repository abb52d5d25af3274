"""Label a file of any size: every row, all its columns and their order are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.cluster.datasets import map_items
from react_ray.cluster.readiness import Asked, check_cluster
from react_ray.cluster.session import Session, check_lasting
from react_ray.config import ClusterConfig
from react_ray.console import Reporter, quiet_libraries
from react_ray.data.encode import write_whole
from react_ray.data.sources import find_files, fingerprint
from react_ray.data.tables import checked_target, common_schema, read_whole, widen, write_tables
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.pretrained import fingerprint as fingerprint_model
from react_ray.store import Store, digest

__all__ = ["LabelTask", "predict_file"]

PART_ROWS = 4096


def predict_file(
    model: str,
    source: str,
    target: str | Path,
    text_column: str = "text",
    *,
    address: str | None = None,
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Write ``source`` with ``label`` and ``score`` added to ``target``; a summary in words.

    Rows without text keep an empty label and score. Columns of the input that are
    called label or score stay as label_given and score_given. A killed call goes on
    where it stopped when it is given again. Raises InputError.
    """
    check_lasting(str(target))
    target = checked_target(target)
    folder = model_folder(model).absolute()  # workers have working directories of their own
    quiet_libraries(verbose)
    reporter = Reporter(quiet)
    settings = {"model": fingerprint_model(str(folder)), "source": fingerprint(source), "text": text_column}
    store = Store(target.parent / f".{target.name}-{digest(settings)}")
    with store.locked(), Session(ClusterConfig(address=address), verbose) as session:
        if session.address:
            asked = Asked(target.parent, models={str(folder): "MODEL"})  # the input is read here
            check_cluster(session, asked, replace(session.demand(), workers=0), reporter)
        with reporter.step("read"):
            read = _read(store, settings, source, text_column)
        items = _items(read, store.root)
        rows = sum(pq.read_metadata(item["source"]).num_rows for item in items)
        todo = [item for item in items if not Path(item["target"]).exists()]
        with reporter.step("predict") as progress:
            gpu = session.use_gpu()
            task = LabelTask(str(folder), _kept_name(text_column), gpu)
            map_items(task, todo, rows=rows, session=session, progress=progress, use_gpu=gpu)
    parts = [Path(item["target"]) for item in items]
    empty = sum(pq.read_table(part, columns=["label"])["label"].null_count for part in parts)
    write_tables(parts, target)
    shutil.rmtree(store.root)
    note = f", {empty:,} of them without text and so without label" if empty else ""
    return f"{target}: {rows:,} rows{note}"


@dataclass(frozen=True)
class LabelTask:
    """Labels one part of the input; made once in each process."""

    model: str
    text_column: str
    use_gpu: bool

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the model and return the function that labels a part."""
        from react_ray.classifier import load

        classifier = load(self.model, self.use_gpu)

        def label(item: dict[str, Any]) -> int:
            table = pq.read_table(item["source"])
            texts = pc.utf8_trim_whitespace(table[self.text_column].cast(pa.string())).to_pylist()
            known = [row for row, text in enumerate(texts) if text]
            labels: list[str | None] = [None] * len(texts)
            scores: list[float | None] = [None] * len(texts)
            for row, prediction in zip(known, classifier.predict([texts[row] for row in known]), strict=True):
                labels[row], scores[row] = prediction.label, prediction.score
            table = table.append_column("label", pa.array(labels, pa.string()))
            write_whole(table.append_column("score", pa.array(scores, pa.float64())), Path(item["target"]))
            return len(texts)

        return label


def _read(store: Store, settings: dict[str, Any], source: str, text_column: str) -> Path:
    """The parts of the input; those of a broken file are deleted, a mended one makes others."""
    try:
        return store.stage("read", settings, lambda place: _split(source, place, text_column))
    except InputError:
        shutil.rmtree(store.root)
        raise


def _split(source: str, folder: Path, text_column: str) -> None:
    """Cut the input into parquet parts of one schema, which any number of processes can share.

    What the parts cannot have in common is found out here, before the work is done.
    """
    parts: list[tuple[Path, str]] = []
    for file in find_files(source):
        for table in read_whole(file, PART_ROWS):
            part = folder / f"{len(parts):06d}.parquet"
            write_whole(_renamed(table, text_column, file.path), part)
            parts.append((part, file.path))
    if not parts:
        raise InputError(f"{source}: no rows to label")
    schema = common_schema(parts)
    _check_text(schema.field(_kept_name(text_column)).type, source, text_column)
    for part, path in parts:
        if not pq.read_schema(part).equals(schema):
            write_whole(widen(pq.read_table(part), schema, path), part)


def _check_text(kind: pa.DataType, source: str, text_column: str) -> None:
    try:
        pa.nulls(0, kind).cast(pa.string())
    except pa.ArrowException:
        raise InputError(
            f"{source}: the column {text_column!r} holds {kind} where text is expected; see --text-column"
        ) from None


def _renamed(table: pa.Table, text_column: str, file: str) -> pa.Table:
    """The table under the names that it keeps in the output."""
    there = table.column_names
    if text_column not in there:
        raise InputError(
            f"{file} has no column {text_column!r} (there are: {', '.join(there)}); see --text-column"
        )
    for name in there:
        if _kept_name(name) != name and _kept_name(name) in there:
            raise InputError(
                f"{file} has both {name!r} and {_kept_name(name)!r}, the name under which the first is kept; "
                "rename one of them"
            )
    return table.rename_columns([_kept_name(name) for name in there])


def _kept_name(column: str) -> str:
    return f"{column}_given" if column in ("label", "score") else column


def _items(read: Path, root: Path) -> list[dict[str, Any]]:
    (root / "labelled").mkdir(exist_ok=True)
    parts = sorted(read.glob("*.parquet"))
    return [{"source": str(part), "target": str(root / "labelled" / part.name)} for part in parts]
