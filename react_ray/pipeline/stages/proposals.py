"""Stages of the labeler proposals: propose and generate."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.answer import load_answers, save_answers
from react_ray.errors import InputError
from react_ray.labelers.proposals import collapse_alarm, proposal_weights
from react_ray.lgan.inputs import save_arrays
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages.candidates import COPY_WEIGHT

__all__ = ["generate", "propose"]

ARM = "labels_only"
UNCERTAIN = "the answer is too uncertain"


def propose(context: Context) -> None:
    """S2: answers of the fine-tuned model for some rows of the pool."""
    model = context.done[ARM] / "model"
    if not model.is_dir():
        raise InputError(f"{context.task.title} needs labelled rows (--labeled FILE)")
    rows = context.sample("unlabeled", context.config.candidates.rows)
    pq.write_table(rows, context.folder / "pool.parquet")
    gpu = context.session.use_gpu()
    answers = arms.predict_rows(rows, {ARM: model}, gpu, context.progress)[ARM]
    save_answers(answers, context.folder / "answers.jsonl")


def generate(context: Context) -> None:
    """S4: weights of the answers, D_aug, and whether they may be used."""
    task, proposed = context.task, context.done["propose"]
    rows, answers = pq.read_table(proposed / "pool.parquet"), load_answers(proposed / "answers.jsonl")
    scores = np.array([answer.score for answer in answers], np.float64)
    weight = proposal_weights(scores, context.config.seed)
    save_answers(answers, context.folder / "answers.jsonl")
    save_arrays(
        {"weight": weight, "certainty": scores.astype(np.float32)}, context.folder / "labels.safetensors"
    )
    labeled = context.rows("labeled")
    columns = labeled.to_pylist()
    truth = [task.shown(row[task.target.name], row) for row in columns]
    shown = [task.shown(answer.value, row) for answer, row in zip(answers, rows.to_pylist(), strict=True)]
    alarms = collapse_alarm(answers, shown, truth)
    kept = np.flatnonzero(weight > 0)
    values = pa.array([answers[place].value for place in kept.tolist()], task.target.type)
    pool = rows.take(pa.array(kept)).select(list(context.inputs)).append_column(task.target, values)
    _write(context, {"labeled": labeled, "generated": pool}, weight[kept].astype(np.float64))
    left_out = rows.take(pa.array(np.flatnonzero(weight == 0)))
    reasons = pa.array([UNCERTAIN] * len(left_out), pa.string())
    pq.write_table(left_out.append_column("reason", reasons), context.folder / "left_out.parquet")
    why = f"{len(kept):,} of {len(rows):,} answers for pool rows are trained on."
    if alarms:
        why = f"The labels generated for the pool collapsed: {'; '.join(alarms)}."
    elif not len(rows):
        why = "No unlabelled row was used: the model is trained on the labelled rows and copies of them."
    decision = {"use_lgan": not alarms, "why": why, "alarms": alarms}
    diagnostics = {"decision": decision, "kept": len(kept), "generated": len(rows)}
    (context.folder / "diagnostics.json").write_text(json.dumps(diagnostics, ensure_ascii=False, indent=1))


def _write(context: Context, parts: dict[str, pa.Table], weight: np.ndarray) -> None:
    """Write D_aug: labelled rows, changed copies of them, and answered rows of the pool."""
    copies = pq.read_table(context.done["augment"] / "rows.parquet")
    tables = {"labeled": parts["labeled"], "augmented": copies, "generated": parts["generated"]}
    weights = [np.ones(len(parts["labeled"])), np.full(len(copies), COPY_WEIGHT), weight]
    schema = pa.schema([*context.task.inputs, context.task.target])
    rows = pa.concat_tables([table.select(schema.names).cast(schema) for table in tables.values()])
    origins = np.repeat(list(tables), [len(table) for table in tables.values()])
    rows = rows.append_column("weight", pa.array(np.concatenate(weights).astype(np.float64)))
    rows = rows.append_column("origin", pa.array(origins.tolist(), pa.string()))
    (context.folder / "augmented").mkdir(exist_ok=True)
    pq.write_table(rows, context.folder / "augmented" / "part-00000.parquet")
