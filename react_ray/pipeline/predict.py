"""Label files of any size: rows, all their columns and their order are kept.

The texts of the input are read into parquet parts, a file a process; the texts are labelled some thousand
at a time, by whichever process is free; and the input is read again, row by row, to be written with what was
predicted. So rows come back as they were, memory does not grow with the input, and a killed call goes on
with what is missing.
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
from react_ray.data.row import Wanted
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
"""The column of a labelled part beside those that are added."""


@dataclass(frozen=True)
class PredictOptions:
    """How a file is read and written.

    The columns of the task have the names ``columns`` in the files; texts of more than ``max_chars``
    characters are rejected. With ``guard_formulas``, cells of csv and tsv files that a spreadsheet would run
    as formulas are put behind an apostrophe.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    max_chars: int = DataConfig().max_chars
    guard_formulas: bool = False
    task: str = DEFAULT_TASK  # that of the model
    triples: bool = False  # whether a relation model adds a column of its own

    @property
    def added(self) -> tuple[pa.Field, ...]:
        """The columns that are added."""
        return added_columns(self.task, self.triples)

    def wanted(self, source: Source) -> Wanted:
        """The columns that are looked for in a file."""
        return FileColumns(get_task(self.task), self.names(), Options(), source, labeled=False).wanted

    def names(self) -> Columns:
        """The names of the columns; ConfigError for one that the task does not have."""
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
    """Write ``source`` with the answers of ``model`` added to ``target``; a summary in words.

    The task of the model says which columns are added, such as ``label`` and ``score``; ``triples`` too,
    where it finds entities and ``relations`` is the folder of a relation model. Each row comes back as it
    was. Rows without text have nothing in the columns that are added. Rows that a run would reject are left
    out and listed beside the target: TARGET.refused.jsonl. Columns of the input that are called as those that
    are added stay under names such as label_given. A killed call goes on where it stopped when it is
    given again. Raises InputError.
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
            asked = Requirements(target.parent, (source,), models.asked)
            check_cluster(session, asked, replace(session.demand(), workers=0), reporter)
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
    """Delete what a failed call leaves, unless the same call can go on with labels that are there."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not any(root.glob("labelled/*.parquet")):
            shutil.rmtree(root, ignore_errors=True)
        raise


@dataclass(frozen=True)
class LabelTask:
    """Labels some texts of the input; made once in each process."""

    models: Answering
    use_gpu: bool
    options: PredictOptions

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the models and return the function that labels a part."""
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
            made = answers(table.select(names))
            arrays = [pa.array([one[field.name] for one in made], field.type) for field in added]
            schema = pa.schema([pa.field(ROW, pa.int64()), *added])
            return pa.Table.from_arrays([table["row"], *arrays], schema=schema)

        return label


@dataclass(frozen=True)
class CutTask:
    """Reads the texts of one input file into row groups of a parquet file; made once in each process."""

    options: PredictOptions
    part_rows: int

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """The function that reads a file and returns the number of its texts."""

        def cut(item: dict[str, Any]) -> int:
            source, target = Source(**item["source"]), Path(item["target"])
            kinds = json.dumps(column_kinds(source, self.options.wanted(source), self.options.added))
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
    """What was read of the input into ``folder``: texts to label, and what is written of the other rows."""

    source: str
    target: Path
    options: PredictOptions
    folder: Path = Path()

    @cached_property
    def files(self) -> list[Source]:
        """The files of the input: found once, and not written down, for their addresses may hold secrets."""
        return find_files(self.source)

    def cut(self, folder: Path, session: Session, progress: Progress) -> None:
        """Read the texts; what the output cannot hold is found out here, before the work is done."""
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
            column = self.options.names().text
            hint = f"; the texts are looked for in the column {column!r}, see --text-column"
            raise InputError(f"{self.source}: no rows to label{self._told()}{hint}")
        self._layout().check_width(self.target, self.source)

    def shards(self) -> list[tuple[Source, Shard]]:
        """The files of the input, each with what was read of it."""
        return [
            (source, Shard("predict", source.path, self.folder / f"{number:06d}.parquet"))
            for number, source in enumerate(self.files)
        ]

    def items(self, target: Path) -> list[dict[str, Any]]:
        """The row groups to label, in order."""
        target.mkdir(exist_ok=True)
        found = []
        for _, shard in self.shards():
            metadata = pq.read_metadata(shard.target)
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                part = target / f"{shard.target.stem}-{group:06d}.parquet"
                if rows:
                    found.append(
                        {"source": str(shard.target), "group": group, "rows": rows, "target": str(part)}
                    )
        return found

    def write(self, items: list[dict[str, Any]], state: list[tuple[str, str]]) -> str:
        """Write the output and the list of rejected rows; a summary in words.

        ``state`` is the fingerprint of the input as it was read the first time.
        """
        rows = blank = 0
        guard, added = self.options.guard_formulas, self.options.added

        def write(half: Path) -> None:
            nonlocal rows, blank
            with closing(open_output(half, self.target, self._layout(), guard, added)) as output:
                for source, shard in self.shards():
                    parts = [item["target"] for item in items if item["source"] == str(shard.target)]
                    original = self._original(source, shard)
                    output.begin(original)
                    for whole, values in answered_rows(original, parts, blank_rows(shard)):
                        output.add(whole, *values)
                        rows += 1
                        blank += not values
            if fingerprint(self.source) != state:
                raise InputError(f"{self.source} was changed meanwhile; give the same command again")

        replace_file(self.target, write)
        note = f", {blank:,} of them without text and so without label" if blank else ""
        notes = [f"\n  {shard.file}: {told}" for _, shard in self.shards() for told in shard.notes()]
        return f"{self.target}: {rows:,} rows{note}{self._list_refused()}{''.join(notes)}"

    def _layout(self) -> OutputColumns:
        return OutputColumns(self._original(source, shard) for source, shard in self.shards())

    def _original(self, source: Source, shard: Shard) -> Original:
        kinds = json.loads(shard.target.with_suffix(".kinds.json").read_text(encoding="utf-8"))
        return original_of(source, self.options.wanted(source), kinds, self.options.added)

    def _refused(self) -> Iterator[dict[str, Any]]:
        """The rows that are left out, in the order of files and rows."""
        for _, shard in self.shards():
            for row in shard.refused():
                if row["reason"] != EMPTY:
                    yield {key: row[key] for key in ("file", "row", "reason", "text")}

    def _told(self) -> str:
        kinds = Counter(kind_of(row["reason"]) for row in self._refused())
        told = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
        return f"; rejected: {sum(kinds.values()):,} ({told})" if kinds else ""

    def _list_refused(self) -> str:
        """Write the list of rejected rows beside the target, if there are any; a summary in words."""
        path = self.target.with_name(f"{self.target.name}.refused.jsonl")
        told = self._told()
        path.unlink(missing_ok=True)
        if told:
            replace_file(path, self._write_refused, private=True)
            told += f", see {path}"
        return told

    def _write_refused(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self._refused())
