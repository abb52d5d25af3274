"""What a run would read, refuse and cost, found out without training."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.cluster.readiness import Readiness
from react_ray.cluster.session import Session
from react_ray.config.settings import Config
from react_ray.data.encode import Encoder, default_prompts
from react_ray.data.similar_names import visible
from react_ray.data.views import BLOCKS, VIEWS
from react_ray.labelers.candidates import FOLDS, ITERATIONS
from react_ray.lgan.probe import MANY_CLASSES, seconds_a_cell
from react_ray.models.pretrained import load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.pipeline.run import located, run
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.units import unit_task
from react_ray.training.batches import validation_sample_size

__all__ = ["Check", "check", "gigabytes"]

SAMPLE_TEXTS = 400
SHOWN_FILES = 20
SHOWN_CLASSES = 100
HINT_CLASSES = 1000
"""Above this most of a run's time goes into the number of classes: the report says what to set."""
PASSES = {False: 4000, True: 550}
"""Passes of fits over all rows and classes in a run (True: with many classes), of one view's width each."""
SOLVER_ROWS = 3.6
"""Rows that a step of L-BFGS costs beside its pass, for each number of a row's features."""
CELL_BYTES = 60
"""A row and class at the peak: label distributions, made and trained on, of 4 and of 8 bytes a number."""
CLASS_BYTES = 800
"""A weight of a class: what L-BFGS remembers of it, and three players with their optimisers."""
CUT = 0.01
"""Share of texts longer than the model reads from which on it is worth a warning."""
TRAINING_COST = 3.0
"""A training step against an inference step on the same tokens (forward, backward twice as much)."""


@dataclass(frozen=True)
class Check:
    """The findings: ``rows`` as ``data.prepare`` counted them, the estimated cost, the cluster's nodes."""

    rows: dict[str, Any]
    cost: dict[str, float]
    folder: Path
    ready: Readiness | None = None

    def summary(self) -> str:
        """All findings in words."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.rows["parts"].items())
        unused = self.rows["unused"]
        if unused:
            parts += f" ({unused:,} more are not used: data.pool)"
        lines = [f"rows: {parts}", f"classes: {len(self.rows['classes'])}"]
        lines += self._classes()
        refused = self.rows["refused"]
        lines.append(f"refused: {sum(refused.values()):,}" + (f", see {self.folder}" if refused else ""))
        lines += [f"  {reason}: {count:,}" for reason, count in refused.items()]
        lines += [f"warning: {warning}" for warning in self.rows["warnings"]]
        nodes = [self.ready.summary()] if self.ready else []
        return "\n".join([*lines, *self._files(), *self._costs(), *nodes])

    def _classes(self) -> list[str]:
        """The classes with their labelled rows; of many those with most."""
        counts = self.rows["classes"]
        shown = sorted(counts, key=counts.get, reverse=True) if len(counts) > SHOWN_CLASSES else counts
        names = list(shown)[:SHOWN_CLASSES]
        lines = [f"  {visible(name)[1:-1]}: {counts[name]:,} labelled" for name in names]
        more = len(counts) - SHOWN_CLASSES
        return [*lines, f"  and {more:,} more classes"] if more > 0 else lines

    def _files(self) -> list[str]:
        """What became of the rows of each file."""
        files = self.rows["files"]
        lines = [
            f"  {f['file']}: {f['read']:,} read = {f['rows']:,} used + {f['unused']:,} not used "
            f"+ {f['refused']:,} refused" + "".join(f"; {note}" for note in f.get("notes", ()))
            for f in files[:SHOWN_FILES]
        ]
        more = [f"  and {len(files) - SHOWN_FILES} more files"] if len(files) > SHOWN_FILES else []
        return ["files:", *lines, *more]

    def _costs(self) -> list[str]:
        cost, unused = self.cost, self.rows["unused"]
        lines = [
            f"estimate: {cost['encode_tokens']:,.0f} tokens to encode at {cost['tokens_per_second']:,.0f} "
            f"a second (measured here, one process): {cost['encode_minutes']:.1f} minutes; "
            f"at most {cost['training_steps']:,.0f} training steps; "
            f"{cost['label_minutes']:.1f} minutes to make labels; "
            f"{cost['minutes']:.1f} minutes in all with as many, {cost['memory_gb']:.1f} GB of memory"
        ]
        if cost["cut"] >= CUT:
            lines.append(
                f"warning: {cost['cut']:.0%} of the texts are longer than the model reads: their rest is not "
                "seen (finetune.max_length, or a model that reads more)"
            )
        classes = len(self.rows["classes"])
        if classes > HINT_CLASSES:
            lines.append(
                f"warning: {classes:,} classes: time and memory grow with rows times classes. "
                "augment.copies=0 (or 1) saves most memory, data.pool=N and lgan.verifier=false save time."
            )
        if unused:
            minutes = cost["tokens_per_row"] * unused / cost["tokens_per_second"] / 60
            lines.append(f"labels for the rows not used, with react-ray predict: {minutes:,.1f} minutes")
        return lines


def check(config: Config, *, verbose: bool = False, quiet: bool = False) -> Check:
    """Read and check the inputs as ``run`` does, and estimate what the rest would take.

    Raises what ``run`` would raise for the same inputs, and ClusterError when the
    cluster lacks the resources that are asked for.
    """
    config = located(config)
    done = run(config, until="prepare", verbose=verbose, quiet=quiet)
    prepared = done.stages["prepare"]
    if done.ready is None:
        with Session(config.cluster, verbose) as session:
            session.check_resources()
    rows = json.loads((prepared / "summary.json").read_text(encoding="utf-8"))
    return Check(rows, _estimate(config, prepared, rows["parts"]), prepared / "refused.jsonl", done.ready)


def _estimate(config: Config, prepared: Path, parts: dict[str, int]) -> dict[str, float]:
    """Of encoding, and of fine-tuning two models; of one where there are names of classes alone."""
    task = get_task(config.task)
    with pq.ParquetFile(prepared / "rows.parquet") as file:
        rows, size = file.metadata.num_rows, _bytes(file.metadata)
        inputs = [field.name for field in task.inputs]
        drawn = pa.Table.from_batches([next(file.iter_batches(SAMPLE_TEXTS, columns=inputs))])
    sample = [text for name in task.texts for text in drawn[name].to_pylist()]
    labels = LabelMap.load(prepared / "labels.json")
    names = labels.texts()
    copies = config.augment.copies * parts["labeled"]
    encoder = Encoder(config.encoder or config.model, config.encode)
    tokens = encoder.count_tokens(sample)
    speed, per_row = tokens / _seconds(encoder, sample), tokens / max(len(drawn), 1)
    prompts = config.encode.prompts or default_prompts(names)
    read = encoder.count_tokens([prompt.replace("{}", name) for prompt in prompts for name in names])
    given = parts["labeled"] + parts["unlabeled"]
    candidates = task.labeler == "candidates"  # it encodes neither copies nor names
    proposed = min(config.candidates.rows, parts["unlabeled"]) if candidates else 0
    texts = per_row * (rows + copies)
    trained = config.finetune.token_budget
    if config.finetune.epochs:
        trained = int(config.finetune.epochs * texts)
    if candidates:
        texts, read = per_row * (parts["labeled"] + proposed), 0
    models = 2 if parts["labeled"] else 1
    in_rounds = config.finetune.evaluations * validation_sample_size(parts["validation"])
    looks = models * per_row * (in_rounds + parts["validation"] + parts["test"]) + per_row * proposed
    parameters = sum(p.numel() for p in encoder.model.parameters())
    width = encoder.model.config.hidden_size
    row = 4 * width * (BLOCKS + sum(view.count for view in VIEWS))  # bytes
    if candidates:
        units = (parts["labeled"] + proposed) * _units_a_row(task, drawn)
        options = len(task.output_names(labels.names))
        label_minutes = FOLDS * ITERATIONS * options * units * seconds_a_cell(width) / 60
        memory, cells, weights = 16 * parameters + int(units * row / BLOCKS) + size, int(units * options), 0
    else:
        label_minutes = _label_minutes(len(names), given, copies, width)
        memory = 16 * parameters + row * (rows + copies) + size
        cells, weights = len(names) * (given + copies), len(names) * width
    return {
        "cut": _cut_share(config, task, drawn, labels.names, encoder),
        "encode_tokens": texts + read,
        "tokens_per_second": speed,
        "tokens_per_row": per_row,
        "encode_minutes": (texts + read) / speed / 60,
        "training_steps": models * trained / per_row / config.finetune.batch_size,
        "label_minutes": label_minutes,
        "minutes": (texts + read + looks + TRAINING_COST * models * trained) / speed / 60 + label_minutes,
        "memory_gb": gigabytes(memory, cells, weights),
    }


def _units_a_row(task: Task, rows: pa.Table) -> float:
    """Units of a row that the labeler candidates judges, such as words: the mean of some rows."""
    units = unit_task(task).units(rows)
    return 1.0 if units is None or not units else sum(map(len, units)) / len(units)


def _cut_share(config: Config, task: Task, rows: pa.Table, labels: Sequence[str], encoder: Encoder) -> float:
    """Share of some rows that the trained model reads only the start of; not of those read in windows."""
    tokenizer = load_tokenizer(config.model)
    longest = min(config.finetune.max_length, tokenizer.model_max_length)
    if config.encoder in (None, config.model):
        longest = longest_text(encoder.model, tokenizer, longest)
    lengths = []
    for length in (longest, longest + 1):
        found: dict[int, list[int]] = {}
        for example in task.encode(TransformersTokenizer(tokenizer, length), rows, labels):
            found.setdefault(example.row, []).append(len(example.ids))
        lengths.append(found)
    whole, more = lengths
    cut = [row for row, own in whole.items() if len(own) == 1 and more[row][0] > own[0]]
    return len(cut) / max(len(rows), 1)


def _seconds(encoder: Encoder, texts: list[str]) -> float:
    """To encode ``texts``, once it is warm."""
    encoder.encode(texts[:8])
    started = time.monotonic()
    encoder.encode(texts)
    return time.monotonic() - started


def _label_minutes(classes: int, rows: int, copies: int, width: int) -> float:
    """Of the label GAN's fits, on one core; with many classes the copies are left out of them."""
    many = classes > MANY_CLASSES
    fitted = rows + (0 if many else copies) + SOLVER_ROWS * width
    return PASSES[many] * classes * fitted * seconds_a_cell(width) / 60


def gigabytes(rows_and_model: int, cells: int, weights: int) -> float:
    """Of memory at the peak, libraries included."""
    return (rows_and_model + CELL_BYTES * cells + CLASS_BYTES * weights) / 1e9 + 1


def _bytes(metadata: pq.FileMetaData) -> int:
    """Of all rows in memory, nearly all of which are texts."""
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
