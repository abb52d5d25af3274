"""Prediction for files of any size, which keeps rows, columns and their order.

First the texts of the input are read into parquet shards, one worker per file. Then workers predict row
groups of some thousand texts. Finally the input is read again and written row by row with the predictions.
So rows are unchanged, memory does not grow with the input, and an interrupted call resumes.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.cluster.datasets import map_items
from react_ray.cluster.readiness import Requirements, check_cluster
from react_ray.cluster.session import Session, check_job_output
from react_ray.config.settings import ClusterConfig, Columns, DataConfig
from react_ray.console.reporter import Progress, Reporter, quiet_libraries, warnings_to
from react_ray.data.columns import FileColumns, input_names
from react_ray.data.encode import write_whole
from react_ray.data.originals import Original, column_kinds, original_of
from react_ray.data.read import EMPTY
from react_ray.data.rejections import kind_of
from react_ray.data.row import ColumnSelection
from react_ray.data.shards import ROW_BYTES, Shard, read_shard
from react_ray.data.sources import Source, find_files, fingerprint
from react_ray.data.tables import OutputColumns, checked_target, open_output
from react_ray.errors import InputError
from react_ray.folders import replace_file
from react_ray.inference.inputs import parts_of
from react_ray.pipeline.answered import answered_rows, blank_rows
from react_ray.pipeline.answering import Answering, added_columns
from react_ray.pipeline.store import Store, digest
from react_ray.tasks import DEFAULT_TASK, get_task
from react_ray.tasks.columns import Options

__all__ = ["CutTask", "LabelTask", "predict_file"]

PART_ROWS = 4096
ROW = "row of the file"
"""Column of the row numbers in a labelled part."""


@dataclass(frozen=True)
class PredictOptions:
    """Options for reading and writing files.

    ``columns`` maps columns of the task to their names in the files; texts of more than ``max_chars``
    characters are rejected. ``guard_formulas`` prefixes cells of csv and tsv files that a spreadsheet would
    run as formulas with an apostrophe.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    max_chars: int = DataConfig().max_chars
    guard_formulas: bool = False
    task: str = DEFAULT_TASK  # of the model
    triples: bool = False  # whether a relation model adds the column of triples

    @property
    def added(self) -> tuple[pa.Field, ...]:
        """Added columns."""
        return added_columns(self.task, self.triples)

    def selection(self, source: Source) -> ColumnSelection:
        """Return the columns to read from a file."""
        return FileColumns(get_task(self.task), self.names(), Options(), source, labeled=False).selection

    def names(self) -> Columns:
        """Return the column names; ConfigError for a column that the task does not have."""
        return input_names(get_task(self.task), self.columns)


def predict_file(
    model: str,
    source: str,
    target: str | Path,
    options: PredictOptions = PredictOptions(),
    *,
    relations: str | None = None,
    address: str | None = None,
    verbose: bool = False,
    quiet: bool = False,
) -> str:
    """Write ``source`` with added predictions of ``model`` to ``target``; return a summary.

    The task of the model determines the added columns, such as ``label`` and ``score``; ``triples`` is added
    for an entity model with ``relations``, the folder of a relation model. Rows are otherwise unchanged; rows
    without text have empty added columns. Rows that a run would reject are written to TARGET.refused.jsonl
    instead. Input columns with the name of an added column are renamed, such as label_given. The same call
    resumes after an interruption. Raises InputError.
    """
    check_job_output(str(target))
    target = checked_target(target)
    models = Answering.of(model, relations)
    options = replace(options, task=models.task, triples=bool(models.relations))
    options.names()  # before work is spent on a name that the task does not have
    quiet_libraries(verbose)
    reporter = Reporter(quiet)
    settings: dict[str, Any] = {
        "model": models.version,
        **({"relations": models.relations_version} if models.relations else {}),
        "source": fingerprint(source),
        "task": options.task,
        "columns": dict(options.columns),
        "max_chars": options.max_chars,
    }
    store = Store(target.parent / f".{target.name}-{digest(settings)}")
    cluster = ClusterConfig(address=address)
    with (
        store.locked(),
        _kept_if_worth_it(store.root),
        warnings_to(reporter),
        Session(cluster, verbose) as session,
    ):
        if session.address:
            requirements = Requirements(target.parent, (source,), models.required_folders)
            check_cluster(session, requirements, replace(session.demand(), workers=0), reporter)
        read = _Read(source, target, options)
        with reporter.step("read") as progress:
            read.folder = store.stage("read", settings, lambda part: read.cut(part, session, progress))
        items = read.items(store.root / "labelled")
        rows = sum(item["rows"] for item in items)
        todo = [item for item in items if not Path(item["target"]).exists()]
        with reporter.step("predict") as progress:
            gpu = session.use_gpu()
            labels = LabelTask(models, gpu, options)
            map_items(labels, todo, rows=rows, session=session, progress=progress, use_gpu=gpu)
        with reporter.step("write"):
            summary = read.write(items, settings["source"])
    shutil.rmtree(store.root)
    return summary


@contextmanager
def _kept_if_worth_it(root: Path) -> Iterator[None]:
    """Delete the cache of a failed call, unless it has predictions from which the same call can resume."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not any(root.glob("labelled/*.parquet")):
            shutil.rmtree(root, ignore_errors=True)
        raise


@dataclass(frozen=True)
class LabelTask:
    """Worker task: predict a row group of the input."""

    models: Answering
    use_gpu: bool
    options: PredictOptions

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the models and return a function that predicts a row group."""
        answers, added = self.models.load(self.use_gpu), self.options.added
        task = get_task(self.options.task)
        names = [field.name for field in task.inputs]

        def label(item: dict[str, Any]) -> int:
            with pq.ParquetFile(item["source"]) as file:
                table = file.read_row_group(item["group"], columns=[*names, "row"])
            parts = [answered(part) for part in parts_of(task, table)]
            write_whole(pa.concat_tables(parts), Path(item["target"]))
            return len(table)

        def answered(table: pa.Table) -> pa.Table:
            predictions = answers(table.select(names))
            arrays = [pa.array([answer[field.name] for answer in predictions], field.type) for field in added]
            schema = pa.schema([pa.field(ROW, pa.int64()), *added])
            return pa.Table.from_arrays([table["row"], *arrays], schema=schema)

        return label


@dataclass(frozen=True)
class CutTask:
    """Worker task: read the texts of one input file into the row groups of a parquet file."""

    options: PredictOptions
    part_rows: int

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Return a function that reads a file and returns the number of its texts."""

        def cut(item: dict[str, Any]) -> int:
            source, target = Source(**item["source"]), Path(item["target"])
            kinds = json.dumps(column_kinds(source, self.options.selection(source), self.options.added))
            target.with_suffix(".kinds.json").write_text(kinds, encoding="utf-8")
            return read_shard(
                source,
                target,
                self.options.names(),
                task=get_task(self.options.task),
                labeled=False,
                max_chars=self.options.max_chars,
                group_rows=self.part_rows,
            )

        return cut


@dataclass
class _Read:
    """The input after reading: shards in ``folder`` with the texts to predict and the rejected rows."""

    source: str
    target: Path
    options: PredictOptions
    folder: Path = Path()

    @cached_property
    def files(self) -> list[Source]:
        """Files of the input; not stored on disk, because addresses may contain secrets."""
        return find_files(self.source)

    def cut(self, folder: Path, session: Session, progress: Progress) -> None:
        """Read the texts, and check that the output format can hold all rows before predicting."""
        self.folder = folder
        items = [
            {"source": asdict(file), "target": str(shard.target)}
            for file, shard in self.shards()
            if not shard.target.exists()
        ]
        files = self.files
        size = sum(file.size() for file in files) if len(files) > 1 else 0  # a file is read by one process
        task = CutTask(self.options, PART_ROWS)
        map_items(task, items, rows=size // ROW_BYTES, session=session, progress=progress)
        if not any(shard.rows() or any(blank_rows(shard)) for _, shard in self.shards()):
            names = self.options.names()
            places = " and ".join(repr(names.of(name)) for name in get_task(self.options.task).needs[0])
            hint = f"; inputs are read from {places}, see --column NAME=OTHER"
            raise InputError(f"{self.source}: no rows to label{self._rejected_summary()}{hint}")
        self._layout().check_width(self.target, self.source)

    def shards(self) -> list[tuple[Source, Shard]]:
        """Return the files of the input with their shards."""
        return [
            (source, Shard("predict", source.path, self.folder / f"{number:06d}.parquet"))
            for number, source in enumerate(self.files)
        ]

    def items(self, target: Path) -> list[dict[str, Any]]:
        """Return the row groups to predict, in order."""
        target.mkdir(exist_ok=True)
        items = []
        for _, shard in self.shards():
            metadata = pq.read_metadata(shard.target)
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                part = target / f"{shard.target.stem}-{group:06d}.parquet"
                if rows:
                    items.append(
                        {"source": str(shard.target), "group": group, "rows": rows, "target": str(part)}
                    )
        return items

    def write(self, items: list[dict[str, Any]], state: list[tuple[str, str]]) -> str:
        """Write the output and the list of rejected rows; return a summary.

        ``state`` is the fingerprint of the input at the first reading.
        """
        rows = blank = 0
        guard, added = self.options.guard_formulas, self.options.added

        def write(temporary: Path) -> None:
            nonlocal rows, blank
            with closing(open_output(temporary, self.target, self._layout(), guard, added)) as output:
                for source, shard in self.shards():
                    parts = [item["target"] for item in items if item["source"] == str(shard.target)]
                    original = self._original(source, shard)
                    output.begin(original)
                    for raw, values in answered_rows(original, parts, blank_rows(shard)):
                        output.add(raw, *values)
                        rows += 1
                        blank += not values
            if fingerprint(self.source) != state:
                raise InputError(f"{self.source} changed during prediction; run the same command again")

        replace_file(self.target, write)
        note = f", {blank:,} of them without text, so without prediction" if blank else ""
        notes = [f"\n  {shard.file}: {note}" for _, shard in self.shards() for note in shard.notes()]
        return f"{self.target}: {rows:,} rows{note}{self._list_refused()}{''.join(notes)}"

    def _layout(self) -> OutputColumns:
        return OutputColumns(self._original(source, shard) for source, shard in self.shards())

    def _original(self, source: Source, shard: Shard) -> Original:
        kinds = json.loads(shard.target.with_suffix(".kinds.json").read_text(encoding="utf-8"))
        return original_of(source, self.options.selection(source), kinds, self.options.added)

    def _refused(self) -> Iterator[dict[str, Any]]:
        """Yield the rejected rows, in the order of files and rows."""
        for _, shard in self.shards():
            for row in shard.refused():
                if kind_of(row["reason"]) != EMPTY:
                    yield {key: row[key] for key in ("file", "row", "reason", "text")}

    def _rejected_summary(self) -> str:
        kinds = Counter(kind_of(row["reason"]) for row in self._refused())
        listed = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
        return f"; rejected: {sum(kinds.values()):,} ({listed})" if kinds else ""

    def _list_refused(self) -> str:
        """Write the rejected rows to a file next to the target, if there are any; return a summary."""
        path = self.target.with_name(f"{self.target.name}.refused.jsonl")
        summary = self._rejected_summary()
        path.unlink(missing_ok=True)
        if summary:
            replace_file(path, self._write_refused, private=True)
            summary += f", see {path}"
        return summary

    def _write_refused(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self._refused())
