"""Stages of the labeler candidates: propose and generate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file

from react_ray.answer import save_answers
from react_ray.cluster.datasets import map_items
from react_ray.config.settings import EncodeConfig
from react_ray.data.encode import Encoders
from react_ray.data.views import BLOCKS
from react_ray.errors import InputError
from react_ray.inference.classifier import load
from react_ray.labelers import candidates
from react_ray.labelers.label_steps import HeldOut, Verifier, label_steps, try_verifier
from react_ray.lgan.inputs import save_arrays
from react_ray.pipeline.context import Context
from react_ray.tasks import get_task
from react_ray.tasks.units import UnitTask, unit_task
from react_ray.training.batches import MAX_VALIDATION, MIN_VALIDATION

__all__ = ["by_row", "generate", "load_proposals", "propose"]

GROUP_ROWS = 512
"""Pool rows of a work item: at most one per worker is lost when a stage is interrupted."""
COPY_WEIGHT = 0.5
HELD_OUT = "validation"

Units = NDArray[np.float32]


def propose(context: Context) -> None:
    """S2: propose labels for each unit of sampled pool rows with the fine-tuned model; encode the units."""
    model = context.stages["labels_only"] / "model"
    if not model.is_dir():
        raise InputError(
            f"{context.task.title} needs labelled rows (--labeled FILE): class names alone are not enough "
            "to generate labels"
        )
    files = {
        "pool": context.sample("unlabeled", context.config.candidates.rows),
        "labeled": context.rows("labeled"),
    }
    if unit_task(context.task).exclusive:
        files[HELD_OUT] = context.sample(HELD_OUT, MAX_VALIDATION, with_target=True)
    items: list[dict[str, Any]] = []
    for name, rows in files.items():
        source = context.folder / f"{name}.parquet"
        pq.write_table(rows, source, row_group_size=GROUP_ROWS)
        for group in range(pq.read_metadata(source).num_row_groups if rows.num_rows else 0):
            target = context.folder / name / f"{group:06d}.safetensors"
            items.append({"source": str(source), "group": group, "target": str(target)})
    config, gpu = context.config, context.session.use_gpu()
    if not unit_task(context.task).exclusive:
        encoders = Encoders(context.encoders, config.encode, gpu)
        names = encoders.encode_names(context.labels().texts(), config.encode.prompts)
        save_arrays({"names": names}, context.folder / "names.safetensors")
    work = ProposeTask(config.task, str(model), context.encoders, config.encode, gpu)
    map_items(
        work,
        [item for item in items if not Path(item["target"]).exists()],
        rows=sum(rows.num_rows for rows in files.values()),
        session=context.session,
        progress=context.progress,
        use_gpu=gpu,
    )


@dataclass(frozen=True)
class ProposeTask:
    """Worker task: compute proposals and features of a row group."""

    task: str
    model: str
    encoders: Sequence[str]
    settings: EncodeConfig
    use_gpu: bool

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load both models and return a function that processes an item."""
        task, saved = unit_task(get_task(self.task)), load(self.model, self.use_gpu)
        encoders, labels = Encoders(self.encoders, self.settings, self.use_gpu), saved.labels

        def work(item: dict[str, Any]) -> int:
            rows = pq.ParquetFile(item["source"]).read_row_group(item["group"])
            inputs = rows.select([field.name for field in task.inputs])
            examples = saved.examples(inputs)
            outputs = saved.run(examples)
            proposals = task.propose(outputs, examples, inputs, labels, saved.settings)
            arrays: dict[str, NDArray[Any]] = {
                "given": np.concatenate(proposals).astype(np.float32),
                "sizes": np.array([len(units) for units in proposals], np.int64),
                "features": _features(task, encoders, inputs),
            }
            save_arrays(arrays, Path(item["target"]))
            return len(rows)

        return work


def _features(task: UnitTask, encoders: Encoders, rows: pa.Table) -> NDArray[np.float32]:
    """Return frozen features of all units of some rows, u x d."""
    spans = task.units(rows)
    if spans is None:
        return encoders.features(task, rows)
    return np.concatenate(encoders.encode_spans(rows["text"].to_pylist(), spans))


def generate(context: Context) -> None:
    """S4: generate labels and weights for the pool rows, write D_aug, and apply the gate."""
    task, labels, folder = unit_task(context.task), context.labels().names, context.stages["propose"]
    rows, labeled = (pq.read_table(folder / f"{name}.parquet") for name in ("pool", "labeled"))
    truth = np.concatenate(task.distributions(labeled, labels))
    pool = load_proposals(folder / "pool", truth.shape[1])
    steps, weight_of_names, verifier = _label_units(context, labeled, truth, pool)
    joined, sharp = steps["aligned"], steps["sharpened"]
    answers = task.decide(by_row(joined, pool["sizes"]), rows, labels)
    named = np.array([bool(task.names_in(answer.value)) for answer in answers], np.int64)
    certainty = candidates.row_certainty(joined, pool["sizes"], task.exclusive)
    weight = candidates.row_weights(certainty, named)
    save_answers(answers, context.folder / "answers.jsonl")
    save_arrays({"weight": weight, "certainty": certainty}, context.folder / "labels.safetensors")
    _write(context, rows, labeled, by_row(sharp, pool["sizes"]), weight)
    alarms = candidates.collapse_alarm(joined, truth, task.output_names(labels))
    accepted = int((weight > 0).sum())
    decision = {"use_lgan": not alarms, "why": _why(len(rows), accepted, alarms), "alarms": alarms}
    diagnostics: dict[str, Any] = {
        "decision": decision,
        "kept": accepted,
        "generated": len(rows),
        "names_weight": weight_of_names,
    }
    if verifier and len(rows):
        diagnostics["verifier"] = {"why": verifier.why, **verifier.figures}
    (context.folder / "diagnostics.json").write_text(json.dumps(diagnostics, ensure_ascii=False, indent=1))


def _label_units(
    context: Context, labeled: pa.Table, truth: Units, pool: dict[str, NDArray[Any]]
) -> tuple[dict[str, Units], float, Verifier | None]:
    """Label the units of the pool and of held-out rows, by D too where the held-out rows speak for it.

    Returns the labels of the pool after each step, the weight of names, and the verdict on D; None: by the
    settings, or for sets of labels, which are better without.
    """
    task, config, folder = unit_task(context.task), context.config, context.stages["propose"]
    labelled = load_proposals(folder / "labeled", truth.shape[1])
    rows = _held_out_rows(context) if len(pool["sizes"]) else None
    units, sizes = pool, pool["sizes"][:0]
    if rows is not None:
        held_out = load_proposals(folder / HELD_OUT, truth.shape[1])
        units = {name: np.concatenate([pool[name], held_out[name]]) for name in pool}
        sizes = held_out["sizes"]
    fold = np.repeat(candidates.fold_of_rows(len(units["sizes"]), config.seed), units["sizes"])
    names = load_file(folder / "names.safetensors")["names"] if not task.exclusive else None
    blocks, end = BLOCKS * len(context.encoders), len(pool["given"])

    def label(with_d: bool) -> tuple[dict[str, Units], float]:
        used_fold = fold if with_d else None
        return label_steps(labelled, truth, units, task.exclusive, used_fold, names, config.seed, blocks)

    def score(probabilities: Units) -> float:
        labels = context.labels().names
        answers = task.decide(by_row(probabilities[end:], sizes), rows, labels)
        return task.measure(answers, rows, labels)[task.metrics[0]]

    if config.candidates.verifier is None and task.exclusive:
        known = None if rows is None else HeldOut(len(rows), task.metrics[0], score)
        steps, weight, verifier = try_verifier(label, known)
    else:
        (steps, weight), verifier = label(bool(config.candidates.verifier)), None
    return {name: step[:end] for name, step in steps.items()}, weight, verifier


def _held_out_rows(context: Context) -> pa.Table | None:
    """Load the held-out rows with proposals; None: there are too few, or D is not in question."""
    task, path = context.task, context.stages["propose"] / f"{HELD_OUT}.parquet"
    if context.config.candidates.verifier is not None or not path.exists():
        return None
    rows = pq.read_table(path)
    return rows if task.evidence(rows[task.target.name].to_pylist()) >= MIN_VALIDATION else None


def _why(rows: int, accepted: int, alarms: Sequence[str]) -> str:
    """Describe in a sentence how the labels of ``rows`` of the pool are used."""
    if alarms:
        return f"The labels generated for the pool collapsed: {'; '.join(alarms)}."
    if not rows:
        return (
            "No unlabelled row was used, so no labels were generated: the model is trained on the labelled "
            "rows and any changed copies of them."
        )
    return f"{accepted:,} of {rows:,} proposals for pool rows are trained on."


def load_proposals(folder: Path, options: int) -> dict[str, NDArray[Any]]:
    """Load the output of stage propose: given, features (both of all units) and sizes (units of each row)."""
    parts = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    if not parts:
        empty = np.zeros((0, options), np.float32)
        return {"given": empty, "features": empty, "sizes": np.zeros(0, np.int64)}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def by_row(units: NDArray[np.float32], sizes: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Split units into rows of ``sizes`` units."""
    return np.split(units, np.cumsum(sizes)[:-1]) if len(sizes) else []


def _write(
    context: Context,
    pool: pa.Table,
    labeled: pa.Table,
    generated: Sequence[NDArray[np.float32]],
    weight: NDArray[np.float32],
) -> None:
    """Write D_aug, and the pool rows that are left out of it."""
    task, labels = unit_task(context.task), context.labels().names
    copies = pq.read_table(context.stages["augment"] / "rows.parquet")
    selected = np.flatnonzero(weight > 0).tolist()
    tables = (labeled, copies, pool.take(pa.array(selected, pa.int64())))
    distributions = [*task.distributions(labeled, labels), *task.distributions(copies, labels)]
    weights = [np.ones(len(labeled)), np.full(len(copies), COPY_WEIGHT), weight[selected]]
    origins = np.repeat(["labeled", "augmented", "generated"], [len(table) for table in tables])
    rows = pa.concat_tables([table.select(list(context.inputs)) for table in tables])
    targets = task.soft_column([*distributions, *(generated[i] for i in selected)])
    augmented = rows.append_column(task.target.name, targets)
    augmented = augmented.append_column("weight", pa.array(np.concatenate(weights).astype(np.float64)))
    augmented = augmented.append_column("origin", pa.array(origins.tolist(), pa.string()))
    (context.folder / "augmented").mkdir(exist_ok=True)
    pq.write_table(augmented, context.folder / "augmented" / "part-00000.parquet")
    left_out = pool.take(pa.array(np.flatnonzero(weight == 0)))
    reasons = pa.array(["the label is too uncertain"] * len(left_out), pa.string())
    pq.write_table(left_out.append_column("reason", reasons), context.folder / "left_out.parquet")
