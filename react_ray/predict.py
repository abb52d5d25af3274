"""Label files of any size: rows, all their columns and their order are kept.

The input is cut into parquet parts of some thousand rows, a file a process; the parts are labelled, each
by whichever process is free; and they are joined in order. So memory does not grow with the input, and a
killed call goes on with the parts that are missing.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.cluster.datasets import map_items
from react_ray.cluster.readiness import Asked, check_cluster
from react_ray.cluster.session import Session, check_lasting
from react_ray.config import ClusterConfig
from react_ray.console import Reporter, quiet_libraries, warnings_to
from react_ray.data.encode import write_whole
from react_ray.data.read import SHOWN_CHARS, printable
from react_ray.data.refusals import kind_of
from react_ray.data.shards import ROW_BYTES
from react_ray.data.sources import Source, find_files, fingerprint
from react_ray.data.tables import checked_target, common_schema, read_whole, widen, write_tables
from react_ray.errors import InputError
from react_ray.folders import model_folder, model_version
from react_ray.model_folder import check_classifier
from react_ray.store import Store, digest
from react_ray.worker import Progress

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

    Rows without text keep an empty label and score. Rows that cannot be read are left out, and
    listed in a file beside the target: TARGET.refused.jsonl. Columns of the input that are
    called label or score stay as label_given and score_given. A killed call goes on
    where it stopped when it is given again. Raises InputError.
    """
    check_lasting(str(target))
    target = checked_target(target)
    folder = model_folder(model).absolute()  # workers have working directories of their own
    check_classifier(folder)
    version = model_version(folder)
    quiet_libraries(verbose)
    reporter = Reporter(quiet)
    settings = {"model": version, "source": fingerprint(source), "text": text_column}
    store = Store(target.parent / f".{target.name}-{digest(settings)}")
    cluster = ClusterConfig(address=address)
    with store.locked(), warnings_to(reporter), Session(cluster, verbose) as session:
        if session.address:
            asked = Asked(target.parent, (source,), {str(folder): "MODEL"})
            check_cluster(session, asked, replace(session.demand(), workers=0), reporter)
        with reporter.step("read") as progress:
            read = _read(store, settings, source, text_column, session, progress)
        items = _items(read, store.root)
        rows = sum(pq.read_metadata(item["source"]).num_rows for item in items)
        todo = [item for item in items if not Path(item["target"]).exists()]
        with reporter.step("predict") as progress:
            gpu = session.use_gpu()
            task = LabelTask(str(folder), _kept_name(text_column), gpu, version)
            map_items(task, todo, rows=rows, session=session, progress=progress, use_gpu=gpu)
    parts = [Path(item["target"]) for item in items]
    with reporter.step("write"):
        write_tables(parts, target)
        refused = _list_refused(read, target)
    empty = sum(pq.read_table(part, columns=["label"])["label"].null_count for part in parts)
    shutil.rmtree(store.root)
    note = f", {empty:,} of them without text and so without label" if empty else ""
    return f"{target}: {rows:,} rows{note}{refused}"


@dataclass(frozen=True)
class LabelTask:
    """Labels one part of the input; made once in each process."""

    model: str
    text_column: str
    use_gpu: bool
    version: str
    """Of the model: every process loads this one, or none."""

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the model and return the function that labels a part."""
        from react_ray.classifier import load

        classifier = load(self.model, self.use_gpu, self.version)

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


@dataclass(frozen=True)
class CutTask:
    """Cuts one input file into parquet parts; made once in each process."""

    text_column: str
    part_rows: int

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """The function that cuts a file and returns the number of its rows."""

        def cut(item: dict[str, Any]) -> int:
            source, target = Source(**item["source"]), Path(item["target"])
            rows = 0
            with target.with_suffix(".refused").open("w", encoding="utf-8") as refused:

                def refuse(row: int, reason: str, text: str) -> None:
                    told = {"reason": printable(reason), "text": printable(text[:SHOWN_CHARS])}
                    refused.write(json.dumps({"file": source.path, "row": row, **told}) + "\n")

                tables = read_whole(source, self.text_column, self.part_rows, refuse)
                for number, table in enumerate(tables):
                    part = target.with_name(f"{target.stem}-{number:06d}.parquet")
                    write_whole(_renamed(table, source.path), part)
                    rows += len(table)
            target.with_suffix(".refused").replace(target)
            return rows

        return cut


def _read(
    store: Store,
    settings: dict[str, Any],
    source: str,
    text_column: str,
    session: Session,
    progress: Progress,
) -> Path:
    """The parts of the input; those of a broken file are deleted, a mended one makes others."""

    def cut(folder: Path) -> None:
        _cut(source, folder, text_column, session, progress)

    try:
        return store.stage("read", settings, cut)
    except InputError:
        shutil.rmtree(store.root)
        raise


def _cut(source: str, folder: Path, text_column: str, session: Session, progress: Progress) -> None:
    """Cut the input into parquet parts of one schema, which any number of processes can share.

    What the parts cannot have in common is found out here, before the work is done.
    """
    files = find_files(source)
    targets = [folder / f"{number:06d}.jsonl" for number in range(len(files))]
    items = [
        {"source": asdict(file), "target": str(target)}
        for file, target in zip(files, targets, strict=True)
        if not target.exists()
    ]
    size = sum(file.size() for file in files) if len(files) > 1 else 0  # a file is read by one process
    task = CutTask(text_column, PART_ROWS)
    map_items(task, items, rows=size // ROW_BYTES, session=session, progress=progress)
    parts = [
        (part, file.path)
        for file, target in zip(files, targets, strict=True)
        for part in sorted(folder.glob(f"{target.stem}-*.parquet"))
    ]
    if not parts:
        raise InputError(f"{source}: no rows to label{_describe(_refused(folder))}")
    schema = common_schema(parts)
    _check_text(schema.field(_kept_name(text_column)).type, source, text_column)
    for part, path in parts:
        if not pq.read_schema(part).equals(schema):
            write_whole(widen(pq.read_table(part), schema, path), part)


def _refused(read: Path) -> Iterator[dict[str, Any]]:
    """The rows that could not be read, in the order of files and rows."""
    for path in sorted(read.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _describe(refused: Iterable[dict[str, Any]]) -> str:
    kinds = Counter(kind_of(row["reason"]) for row in refused)
    told = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
    return f"; refused: {sum(kinds.values()):,} ({told})" if kinds else ""


def _list_refused(read: Path, target: Path) -> str:
    """Write the list of refused rows beside the target, if there are any; a summary in words."""
    path = target.with_name(f"{target.name}.refused.jsonl")
    told = _describe(_refused(read))
    path.unlink(missing_ok=True)
    if told:
        half = path.with_name(path.name + ".half")
        with half.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _refused(read))
        half.replace(path)
        told += f", see {path}"
    return told


def _check_text(kind: pa.DataType, source: str, text_column: str) -> None:
    try:
        pa.nulls(0, kind).cast(pa.string())
    except pa.ArrowException:
        raise InputError(
            f"{source}: the column {text_column!r} holds {kind} where text is expected; see --text-column"
        ) from None


def _renamed(table: pa.Table, file: str) -> pa.Table:
    """The table under the names that it keeps in the output."""
    there = table.column_names
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
