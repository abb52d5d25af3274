"""Stages of the labeler proposals: propose and generate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file

from react_ray.answer import Answer, load_answers, save_answers
from react_ray.data.encode import Encoders
from react_ray.data.views import SENTENCE
from react_ray.errors import InputError
from react_ray.labelers.pairs import Pairs, judge_pairs, pair_features
from react_ray.labelers.proposals import Verified, collapse_alarm, proposal_weights, verify
from react_ray.lgan.inputs import save_arrays
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages.back_translate import BACK_TRANSLATED, back_translated
from react_ray.pipeline.stages.candidates import COPY_WEIGHT
from react_ray.tasks.open_task import OpenTask

__all__ = ["generate", "propose"]

ARM = "labels_only"
UNCERTAIN = "the answer is too uncertain"
COLLAPSED = "the answers collapsed"
HELD_OUT = "validation"

Lists = list[list[Any]]


def propose(context: Context) -> None:
    """S2: candidates of the fine-tuned model for some rows of the pool; with D, features of all pairs."""
    model = context.stages[ARM] / "model"
    if not model.is_dir():
        raise InputError(f"{context.task.title} needs labelled rows (--labeled FILE)")
    pool = context.sample("unlabeled", context.config.candidates.rows)
    rows = {"pool": _open_task(context).complete(pool)}
    if context.config.proposals.verifier:
        rows[HELD_OUT] = context.rows(HELD_OUT)
    gpu = context.session.use_gpu()
    answers = {}
    for name, table in rows.items():
        pq.write_table(table, context.folder / f"{name}.parquet")
        answers[name] = (
            arms.predict_rows(table, {ARM: model}, gpu, context.progress)[ARM] if len(table) else []
        )
        save_answers(answers[name], context.folder / f"{name}.jsonl")
    if context.config.proposals.verifier:
        _save_pairs(context, rows, answers, gpu)


def _save_pairs(
    context: Context, rows: dict[str, pa.Table], answers: dict[str, list[Answer]], gpu: bool
) -> None:
    """Encode the pairs that D is fitted to, and those that it judges."""
    task = _open_task(context)
    labeled, seed = context.rows("labeled"), context.config.seed
    target = task.target.name
    best = pa.array([answer.value for answer in answers["pool"]], task.target.type)
    proposed = rows["pool"].select(list(context.inputs)).append_column(task.target, best)
    back = back_translated(context.stages["back_translate"], task)
    sets = {
        "known": (labeled, _with_truth(task, labeled, labeled[target].to_pylist(), seed)),
        "guessed": (proposed, _with_truth(task, proposed, best.to_pylist(), seed)),
        "pool": (proposed, [task.candidates(answer) for answer in answers["pool"]]),
        HELD_OUT: (rows[HELD_OUT], [task.candidates(answer) for answer in answers[HELD_OUT]]),
        BACK_TRANSLATED: (back, [[(row[target], row["score"])] for row in back.to_pylist()]),
    }
    texts = [
        task.pair_texts(value, row)
        for table, pairs in sets.values()
        for row, values in zip(table.to_pylist(), pairs, strict=True)
        for value, _ in values
    ]
    encoders = Encoders(context.encoders, context.config.encode, gpu)
    features = pair_features(lambda batch: SENTENCE.of(encoders.encode(batch), encoders.blocks), texts)
    start = 0
    for name, (_, pairs) in sets.items():
        sizes = np.array([len(values) for values in pairs], np.int64)
        end = start + int(sizes.sum())
        scores = np.array([score for values in pairs for _, score in values], np.float32)
        arrays: dict[str, NDArray[Any]] = {"sizes": sizes, "scores": scores, "features": features[start:end]}
        save_arrays(arrays, context.folder / f"{name}.safetensors")
        start = end


def _with_truth(task: OpenTask, rows: pa.Table, targets: Sequence[Any], seed: int) -> Lists:
    """The target of each row with 1, and wrong ones with 0."""
    negatives = task.wrong_targets(rows, seed) if len(rows) else []
    return [
        [(target, 1.0), *((value, 0.0) for value in values)]
        for target, values in zip(targets, negatives, strict=True)
    ]


def _open_task(context: Context) -> OpenTask:
    if not isinstance(context.task, OpenTask):
        raise TypeError(f"{context.task.name} has no candidates: its labeler is {context.task.labeler}")
    return context.task


def generate(context: Context) -> None:
    """S4: the best candidate of each row with its weight, D_aug, and whether it may be used."""
    task, folder = context.task, context.stages["propose"]
    rows, answers = pq.read_table(folder / "pool.parquet"), load_answers(folder / "pool.jsonl")
    verdict = None
    if context.config.proposals.verifier:
        verdict = _verify(context, answers)
        answers = verdict.answers
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
    warm = (context.stages["warm_up"] / "model").is_dir()
    if alarms and warm:  # the labelled rows alone are trained on, from the model of warm_up
        weight[:] = 0
    selected = np.flatnonzero(weight > 0)
    values = pa.array([answers[place].value for place in selected.tolist()], task.target.type)
    pool = rows.take(pa.array(selected)).select(list(context.inputs)).append_column(task.target, values)
    back = _back_translated(context, verdict)
    parts = {"labeled": labeled, "generated": pool, BACK_TRANSLATED: back}
    _write(context, parts, weight[selected].astype(np.float64))
    left_out = rows.take(pa.array(np.flatnonzero(weight == 0)))
    reasons = pa.array([COLLAPSED if alarms else UNCERTAIN] * len(left_out), pa.string())
    pq.write_table(left_out.append_column("reason", reasons), context.folder / "left_out.parquet")
    why = _why(len(rows), len(selected), len(back), alarms)
    decision = {"use_lgan": warm or not alarms, "why": why, "alarms": alarms}
    diagnostics: dict[str, Any] = {"decision": decision, "kept": len(selected), "generated": len(rows)}
    if verdict:
        diagnostics["verifier"] = {"why": verdict.why, **verdict.figures}
    if warm:
        made = pq.read_metadata(context.stages["warm_up"] / "train.parquet").num_rows
        why = f"For generated labels, the model was first trained on {made:,} questions made from contexts."
        diagnostics["warm_up"] = {"why": why, "rows": made}
    (context.folder / "diagnostics.json").write_text(json.dumps(diagnostics, ensure_ascii=False, indent=1))


def _why(rows: int, selected: int, back_translated: int, alarms: Sequence[str]) -> str:
    """Describe how the answers for ``rows`` of the pool, and generated inputs, are used."""
    if alarms:
        return f"The labels generated for the pool collapsed: {'; '.join(alarms)}."
    if not (rows or back_translated):
        return "No unlabelled row was used: the model is trained on the labelled rows and copies of them."
    why = f"{selected:,} of {rows:,} answers for pool rows are trained on."
    if back_translated:
        why += f" So are {back_translated:,} targets with inputs generated for them."
    return why


def _verify(context: Context, answers: Sequence[Answer]) -> Verified:
    """Judge the candidates of the pool by D, with weights calibrated on the validation rows."""
    task, folder, seed = _open_task(context), context.stages["propose"], context.config.seed
    labelled, proposed, pool, held_out = (
        _load(folder, name) for name in ("known", "guessed", "pool", HELD_OUT)
    )
    proposed = replace(proposed, weight=np.array([a.score for a in answers], np.float32)[proposed.row])
    rows = pq.read_table(folder / f"{HELD_OUT}.parquet")
    held_out_answers = load_answers(folder / f"{HELD_OUT}.jsonl")
    values = [value for answer in held_out_answers for value, _ in task.candidates(answer)]
    credit = task.credit([Answer(value, 1.0) for value in values], rows.take(pa.array(held_out.row)))
    return verify(
        [[value for value, _ in task.candidates(answer)] for answer in answers],
        judge_pairs(labelled, proposed, pool, seed),
        pool,
        judge_pairs(labelled, proposed, held_out, seed, apart=True),
        held_out,
        credit,
        seed,
    )


def _back_translated(context: Context, verdict: Verified | None) -> pa.Table:
    """Targets with generated inputs and their weights, without those with the lowest scores."""
    rows = back_translated(context.stages["back_translate"], context.task)
    score = np.array(rows["score"].to_pylist(), np.float32)
    if verdict and verdict.mix and len(rows):
        names = ("known", "guessed", BACK_TRANSLATED)
        labelled, proposed, pairs = (_load(context.stages["propose"], name) for name in names)
        score = verdict.mix(judge_pairs(labelled, proposed, pairs, context.config.seed, apart=True), score)
    weight = proposal_weights(score, context.config.seed).astype(np.float64)
    return rows.append_column("weight", pa.array(weight)).filter(pa.array(weight > 0))


def _load(folder: Path, name: str) -> Pairs:
    arrays = load_file(folder / f"{name}.safetensors")
    row = np.repeat(np.arange(len(arrays["sizes"])), arrays["sizes"])
    weight = np.ones(len(row), np.float32)
    return Pairs(row, arrays["features"], arrays["scores"], weight)


def _write(context: Context, parts: dict[str, pa.Table], weight: np.ndarray) -> None:
    """Write D_aug: labelled rows, changed copies, answered rows of the pool, and rows made from texts."""
    copies = pq.read_table(context.stages["augment"] / "rows.parquet")
    tables = {"labeled": parts["labeled"], "augmented": copies, **parts}
    back_weight = np.array(parts[BACK_TRANSLATED]["weight"].to_pylist(), np.float64)
    weights = [
        np.ones(len(parts["labeled"])),
        np.full(len(copies), COPY_WEIGHT),
        weight,
        back_weight,
    ]
    schema = pa.schema([*context.task.inputs, context.task.target])
    rows = pa.concat_tables([table.select(schema.names).cast(schema) for table in tables.values()])
    origins = np.repeat(list(tables), [len(table) for table in tables.values()])
    rows = rows.append_column("weight", pa.array(np.concatenate(weights).astype(np.float64)))
    rows = rows.append_column("origin", pa.array(origins.tolist(), pa.string()))
    (context.folder / "augmented").mkdir(exist_ok=True)
    pq.write_table(rows, context.folder / "augmented" / "part-00000.parquet")
