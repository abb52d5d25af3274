"""Preflight check of a run: accepted and rejected rows, and the estimated cost, without training."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from react_ray.cluster.readiness import Readiness
from react_ray.cluster.session import Session
from react_ray.config.settings import Config
from react_ray.data.encode import Encoder, Encoders, default_prompts
from react_ray.data.similar_names import visible
from react_ray.data.target_texts import count_target_texts
from react_ray.models.pretrained import load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.pipeline.context import base_model_of, encoders_of
from react_ray.pipeline.generation_cost import generation_cost
from react_ray.pipeline.labeling_cost import RunSize, labeling_cost
from react_ray.pipeline.run import located, run
from react_ray.pipeline.sampled import spread_rows
from react_ray.pipeline.stages.train import MOST_SELF_SUPERVISED
from react_ray.tasks import Task, get_task
from react_ray.tasks.cutting import cut_shares
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.nouns import Nouns
from react_ray.tasks.open_task import OpenTask
from react_ray.training.batches import plan_epochs, validation_sample_size

__all__ = ["Check", "check", "gigabytes"]

SAMPLE_TEXTS = 400
SHOWN_FILES = 20
SHOWN_CLASSES = 100
HINT_CLASSES = 1000
"""With more classes, most of a run's time grows with their number: the summary suggests settings."""
CELL_BYTES = 60
"""Peak memory of a row and class: generated label distributions, in 4 and 8 bytes a number."""
CLASS_BYTES = 800
"""Peak memory of a class weight: the L-BFGS history, and three networks with their optimizers."""
CUT = 0.01
"""Share of truncated texts from which on a warning is given."""
TRAINING_COST = 3.0
"""A training step against an inference step on the same tokens (forward, backward twice as much)."""


@dataclass(frozen=True)
class Check:
    """Result of a preflight check: counted rows, estimated cost, and state of the cluster's nodes.

    ``rows`` is the summary of :func:`react_ray.data.prepare.prepare`; ``nouns`` name the classes of the task.
    ``encoders`` are the models that encode; ``lengths`` of the texts in characters: the median, that of the
    95th percentile, the longest; ``targets`` the accepted and the rejected rows of ``data.targets``.
    """

    rows: dict[str, Any]
    cost: dict[str, float]
    folder: Path
    nouns: Nouns
    ready: Readiness | None = None
    encoders: tuple[str, ...] = ()
    lengths: tuple[int, int, int] | None = None
    targets: tuple[int, int] | None = None

    def summary(self) -> str:
        """Summarize the result in a few lines."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.rows["parts"].items())
        unused = self.rows["unused"]
        if unused:
            parts += f" ({unused:,} more are not used: data.pool)"
        lines = [f"rows: {parts}"]
        if self.targets:
            lines.append("texts of data.targets: {:,} accepted, {:,} rejected".format(*self.targets))
        if self.rows["classes"]:
            lines += [f"{self.nouns.options}: {len(self.rows['classes']):,}", *self._classes()]
        if self.lengths:
            median, most, longest = self.lengths
            lines.append(
                f"characters of a text: median {median:,}, 95 % have at most {most:,}, longest {longest:,}"
            )
        refused = self.rows["refused"]
        lines.append(f"rejected: {sum(refused.values()):,}" + (f", see {self.folder}" if refused else ""))
        lines += [f"  {reason}: {count:,}" for reason, count in refused.items()]
        lines += [f"warning: {warning}" for warning in self.rows["warnings"]]
        nodes = [self.ready.summary()] if self.ready else []
        return "\n".join([*lines, *self._files(), *self._costs(), *nodes])

    def _classes(self) -> list[str]:
        """Format the classes with their labelled rows; of many, the most frequent."""
        counts = self.rows["classes"]
        shown = sorted(counts, key=counts.get, reverse=True) if len(counts) > SHOWN_CLASSES else counts
        names = list(shown)[:SHOWN_CLASSES]
        lines = [f"  {visible(name)[1:-1]}: {counts[name]:,} labelled" for name in names]
        more = len(counts) - SHOWN_CLASSES
        return [*lines, f"  and {more:,} more {self.nouns.options}"] if more > 0 else lines

    def _files(self) -> list[str]:
        """Format how many rows of each file are used and rejected."""
        files = self.rows["files"]
        lines = [
            f"  {f['file']}: {f['read']:,} read = {f['rows']:,} used + {f['unused']:,} not used "
            f"+ {f['refused']:,} rejected" + "".join(f"; {note}" for note in f.get("notes", ()))
            for f in files[:SHOWN_FILES]
        ]
        more = [f"  and {len(files) - SHOWN_FILES} more files"] if len(files) > SHOWN_FILES else []
        return ["files:", *lines, *more]

    def _of_encoders(self) -> str:
        if len(self.encoders) < 2 or not self.cost["encode_tokens"]:
            return ""
        return f"; every text by {' and '.join(self.encoders)}: encoder={self.encoders[0]} takes one alone"

    def _costs(self) -> list[str]:
        cost, unused = self.cost, self.rows["unused"]
        lines = [
            f"estimate: {cost['encode_tokens']:,.0f} tokens to encode at {cost['tokens_per_second']:,.0f} "
            f"a second (measured here, one process{self._of_encoders()}): "
            f"{cost['encode_minutes']:.1f} minutes; "
            f"at most {cost['training_steps']:,.0f} training steps; "
            f"{cost['label_minutes']:.1f} minutes to generate labels; "
            f"at most {cost['minutes']:.1f} minutes in all, {cost['memory_gb']:.1f} GB of memory"
        ]
        if cost["cut"] >= CUT:
            lines.append(
                f"warning: {cost['cut']:.0%} of the texts are longer than what the model reads: they "
                f"will be cut, {cost['cut_tokens']:.0%} of all tokens (counted in {cost['cut_rows']:,.0f} "
                "rows; raise finetune.max_length, or finetune.windows for texts to classify)"
            )
        classes, options = len(self.rows["classes"]), self.nouns.options
        if classes > HINT_CLASSES:
            lines.append(
                f"warning: {classes:,} {options}: time and memory grow with rows times {options}. "
                "augment.copies=0 (or 1) saves most memory, data.pool=N and lgan.verifier=false save time."
            )
        if unused:
            minutes = cost["tokens_per_row"] * unused / cost["tokens_per_second"] / 60
            lines.append(f"labelling the unused rows with react-ray predict: {minutes:,.1f} minutes")
        return lines


def check(config: Config, *, verbose: bool = False, quiet: bool = False) -> Check:
    """Read and check the inputs as ``run`` does, and estimate the cost of the other stages.

    Raises the errors of ``run`` for the same inputs, and ClusterError when the cluster
    lacks the required resources.
    """
    config = located(config)
    outcome = run(config, until="prepare", verbose=verbose, quiet=quiet)
    prepared = outcome.stages["prepare"]
    if outcome.ready is None:
        with Session(config.cluster, verbose) as session:
            session.check_resources()
    rows = json.loads((prepared / "summary.json").read_text(encoding="utf-8"))
    nouns = get_task(config.task).nouns
    cost = _estimate(config, outcome.stages, rows["parts"])
    encoders = encoders_of(outcome.stages)
    lengths = _text_lengths(prepared / "rows.parquet", get_task(config.task))
    targets = count_target_texts(config.data, get_task(config.task)) if config.data.targets else None
    return Check(rows, cost, prepared / "refused.jsonl", nouns, outcome.ready, encoders, lengths, targets)


def _text_lengths(path: Path, task: Task) -> tuple[int, int, int]:
    """Return the median, 95th percentile and maximum of the lengths of all texts in characters."""
    with pq.ParquetFile(path) as file:
        parts = [
            pc.utf8_length(column).to_numpy()
            for batch in file.iter_batches(columns=list(task.texts))
            for column in batch.columns
        ]
    median, most, longest = np.quantile(np.concatenate(parts), [0.5, 0.95, 1.0], method="higher").tolist()
    return median, most, longest


def _estimate(config: Config, stages: Mapping[str, Path], parts: dict[str, int]) -> dict[str, float]:
    """Estimate the cost of a run; without labelled rows, only one model is fine-tuned."""
    task, prepared = get_task(config.task), stages["prepare"]
    path = prepared / "rows.parquet"
    with pq.ParquetFile(path) as file:
        rows, table_bytes = file.metadata.num_rows, _bytes(file.metadata)
        inputs = [field.name for field in task.inputs]
        drawn = pa.Table.from_batches([next(file.iter_batches(SAMPLE_TEXTS, columns=inputs))])
    sample = [text for name in task.texts for text in drawn[name].to_pylist()]
    labels = LabelMap.load(prepared / "labels.json")
    if task.generates:
        model = base_model_of(stages)
        cut = _cut_shares(config, task, path, labels.names, model, None)
        return generation_cost(config, task, drawn, parts, model, cut)
    copies = config.augment.copies * parts["labeled"]
    used, model = encoders_of(stages), base_model_of(stages)
    if task.labeler == "proposals":  # nothing is encoded: one shows the pace of the model that is trained
        used = (model,) if model in used else used[:1]
    encoders = Encoders(used, config.encode)
    encoder = encoders.encoders[used.index(model) if model in used else 0]  # like the model that is trained
    per_row, speed = _pace(encoders, sample, len(drawn))
    trained_row, trained_speed = _pace(encoder, sample, len(drawn)) if len(used) > 1 else (per_row, speed)
    cut = _cut_shares(config, task, path, labels.names, model, encoder if model in used else None)
    if config.finetune.windows > 1:
        trained_row = max(trained_row, cut["cut_read"])
    size = RunSize(
        rows,
        labeled=parts["labeled"],
        unlabeled=parts["unlabeled"],
        copies=copies,
        proposed=_proposed(config, task, parts),
        table_bytes=table_bytes,
        encoders=len(used),
        width=encoders.width // encoders.blocks,
        parameters=sum(p.numel() for p in encoder.model.parameters()),
    )
    models = 2 if parts["labeled"] else 1
    in_rounds = config.finetune.evaluations * validation_sample_size(parts["validation"])
    evaluated = trained_row * (models * (in_rounds + parts["validation"] + parts["test"]) + size.proposed)
    encoded = _encoded_tokens(config, task, labels, encoders, per_row, size)
    labeling = labeling_cost(task, labels, drawn, size)
    trained = [parts["labeled"], parts["labeled"] + copies + parts["unlabeled"]]
    trained += [MOST_SELF_SUPERVISED] if _warms_up(config, task, drawn) else []
    tokens = trained_row * sum(n * plan_epochs(n, trained_row, config.finetune) for n in trained if n)
    training_minutes = (evaluated + TRAINING_COST * tokens) / trained_speed / 60
    return {
        **cut,
        "encode_tokens": encoded,
        "tokens_per_second": speed,
        "tokens_per_row": per_row,
        "encode_minutes": encoded / speed / 60,
        "training_steps": tokens / trained_row / config.finetune.batch_size,
        "label_minutes": labeling.minutes,
        "minutes": encoded / speed / 60 + training_minutes + labeling.minutes,
        "memory_gb": gigabytes(labeling.memory, labeling.cells, labeling.weights),
    }


def _proposed(config: Config, task: Task, parts: Mapping[str, int]) -> int:
    """Return the number of rows of the pool that the fine-tuned model labels."""
    if task.labeler != "label_gan":
        return min(config.candidates.rows, parts["unlabeled"])
    return parts["unlabeled"] if config.lgan.fine_tuned and parts["labeled"] else 0


def _warms_up(config: Config, task: Task, rows: pa.Table) -> bool:
    """Whether a model is trained on rows made from inputs first."""
    return config.proposals.cloze and isinstance(task, OpenTask) and len(task.self_supervised(rows, 1)) > 0


def _encoded_tokens(
    config: Config, task: Task, labels: LabelMap, encoders: Encoders, per_row: float, size: RunSize
) -> float:
    """Return the tokens that the frozen encoders read, of rows with ``per_row`` tokens and of class names."""
    if task.labeler == "proposals":
        return 0
    if task.labeler == "candidates":  # it encodes neither copies nor names
        return per_row * (size.labeled + size.proposed)
    names = labels.texts()
    prompts = config.encode.prompts or default_prompts(names)
    read = encoders.count_tokens([prompt.replace("{}", name) for prompt in prompts for name in names])
    return per_row * (size.rows + size.copies) + read


def _cut_shares(
    config: Config, task: Task, rows: Path, labels: Sequence[str], model: str, encoder: Encoder | None
) -> dict[str, float]:
    """Return the shares of texts and of tokens that ``model`` will not read, in a sample of rows.

    ``encoder`` is the same model, loaded, if it is one of the encoders.
    """
    tokenizer = load_tokenizer(model)
    longest = min(config.finetune.max_length, tokenizer.model_max_length)
    if encoder is not None:
        longest = longest_text(encoder.model, tokenizer, longest)
    sample = spread_rows(rows, [field.name for field in task.inputs], SAMPLE_TEXTS)
    windows = config.finetune.windows if task.long_texts == "windows" else 1
    shares = cut_shares(task, TransformersTokenizer(tokenizer, longest, windows=windows), sample, labels)
    names = {"texts": "cut", "tokens": "cut_tokens", "rows": "cut_rows", "read": "cut_read"}
    return {name: shares[key] for key, name in names.items()}


def _pace(encoder: Encoder | Encoders, texts: list[str], rows: int) -> tuple[float, float]:
    """Return the tokens per row and per second of encoding ``texts``, the texts of some ``rows``."""
    tokens = encoder.count_tokens(texts)
    return tokens / max(rows, 1), tokens / _seconds(encoder, texts)


def _seconds(encoder: Encoder | Encoders, texts: list[str]) -> float:
    """Measure the seconds to encode ``texts`` after a warm-up."""
    encoder.encode(texts[:8])
    started = time.monotonic()
    encoder.encode(texts)
    return time.monotonic() - started


def gigabytes(rows_and_model: int, cells: int, weights: int) -> float:
    """Estimate the peak memory in gigabytes, libraries included."""
    return (rows_and_model + CELL_BYTES * cells + CLASS_BYTES * weights) / 1e9 + 1


def _bytes(metadata: pq.FileMetaData) -> int:
    """Return the bytes of all rows in memory."""
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
