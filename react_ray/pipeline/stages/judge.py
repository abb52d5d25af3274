"""Stages choose and evaluate: choice of the arm, and metrics of all arms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from react_ray import lgan as label_gan
from react_ray.answer import Answer, load_answers, save_answers
from react_ray.data.similar_names import visible
from react_ray.evaluate.arms import ArmAnswers, measure_arms, measure_model
from react_ray.evaluate.metrics import answer_quality, label_quality
from react_ray.evaluate.schema import LabelQuality
from react_ray.evaluate.tables import worst_mistakes
from react_ray.inference.folder import settings_in
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.pipeline.sampled import spread_rows
from react_ray.tasks.closed import ranked
from react_ray.tasks.cutting import cut_shares
from react_ray.tasks.windows import saved_windows

__all__ = ["choose", "evaluate"]

SHOWN_CLASSES = 5
CUT_ROWS = 400
"""Rows of which the tokens beyond the model's maximum length are counted."""
ONLY_ARM = arms.Choice(
    "labels_only", "It is the only model: there was no generated label and no changed copy to train on."
)


def choose(context: Context) -> None:
    """Choose between the model trained on D_aug and that of the better plain arm (the gate)."""
    validation, labels = context.rows("validation"), context.labels().names
    answers_by_arm = _predict(context, "validation", validation)
    for arm, answers in answers_by_arm.items():
        save_answers(answers, context.folder / "validation" / f"{arm}.jsonl")
    is_only = not (context.stages["finetune"] / "model").is_dir()
    choice = ONLY_ARM if is_only else _choose(context, answers_by_arm, validation, labels)
    (context.folder / "choice.json").write_text(
        json.dumps(choice.as_dict(), ensure_ascii=False), encoding="utf-8"
    )


def _choose(
    context: Context, answers_by_arm: dict[str, list[Answer]], validation: pa.Table, labels: Sequence[str]
) -> arms.Choice:
    diagnostics = json.loads((context.stages["generate"] / "diagnostics.json").read_text())
    targets = context.rows("labeled")[context.task.target.name].to_pylist()
    named = {name for target in targets for name in context.task.names_in(target)}
    unseen = [name for name in labels if name not in named]
    by_name = unseen and context.task.labeler == "label_gan"  # it alone learns a class from its name
    plain = [] if by_name else [arm for arm in arms.PLAIN if arms.has_arm(context.stages, arm)]
    decision, generated = diagnostics["decision"], diagnostics["kept"]
    choice = arms.choose(
        decision, plain, answers_by_arm, context.task, validation, labels, context.config.seed, generated
    )
    for part in ("verifier", "warm_up"):
        if part in diagnostics:
            choice = replace(choice, why=f"{choice.why} {diagnostics[part]['why']}")
    if unseen and not by_name:
        choice = replace(choice, why=f"{choice.why} {_unseen_warning(unseen)}")
    return choice


def _unseen_warning(names: Sequence[str]) -> str:
    shown = ", ".join(map(visible, names[:SHOWN_CLASSES])) + (", ..." if len(names) > SHOWN_CLASSES else "")
    return f"Warning: without a labelled row, these are never predicted: {shown}."


def evaluate(context: Context) -> None:
    """S6: evaluate every arm and the chosen model on the validation and test rows."""
    task, labels = context.task, context.labels().names
    parts = {part: _judge(context, part) for part in ("validation", "test")}
    shown = parts["test"] or parts["validation"]
    figures = {
        **{part: measure_model(task, judged, labels) for part, judged in parts.items()},
        "arms": measure_arms(task, parts, labels),
        "label_quality": _label_quality(context),
        "cut": _cut(context),
        "mistakes": worst_mistakes(task, shown.rows, shown.model) if shown else [],
        "sections": task.sections(shown.model, shown.rows, labels) if shown else [],
    }
    (context.folder / "figures.json").write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")


def _cut(context: Context) -> dict[str, Any]:
    """Count what the chosen model does not read of a sample of all rows."""
    folder, task = arms.model_of(context.stages), context.task
    tokenizer = load_tokenizer(str(folder))
    settings = settings_in(folder)
    prefix, windows = str(settings.get("prefix", "")), saved_windows(settings)
    texts = TransformersTokenizer(tokenizer, tokenizer.model_max_length, prefix, windows)
    rows = spread_rows(context.stages["prepare"] / "rows.parquet", context.inputs, CUT_ROWS)
    shares = cut_shares(task, texts, rows, context.labels().names)
    return {**shares, "max_length": texts.max_length, "windows": windows}


def _judge(context: Context, part: str) -> ArmAnswers | None:
    rows = context.rows(part)
    if not rows.num_rows:
        return None
    paths = sorted((context.stages["choose"] / "validation").glob("*.jsonl"))
    answers_by_arm = (
        {path.stem: load_answers(path) for path in paths}
        if part == "validation"
        else _predict(context, part, rows)
    )
    chosen = arms.model_of(context.stages)
    if chosen.parent != context.stages.get("distil"):
        return ArmAnswers(rows, answers_by_arm, answers_by_arm[arms.choice_of(context.stages)["chosen"]])
    gpu = context.session.use_gpu()
    return ArmAnswers(
        rows,
        answers_by_arm,
        arms.predict_rows(rows, {"model": chosen}, gpu, context.progress)["model"],
    )


def _label_quality(context: Context) -> LabelQuality | None:
    if context.task.labeler != "label_gan":
        return _answer_quality(context)
    generation = label_gan.Generation.load(context.stages["generate"])
    teacher = json.loads((context.stages["pretrain"] / "inputs" / "teacher.json").read_text())
    truth = context.rows("unlabeled", ("truth",))["truth"].to_pylist()
    return label_quality(
        generation.labels,
        generation.weight,
        generation.score,
        context.labels().names,
        truth,
        teacher["prior"],
        generation.foreign,
    )


def _answer_quality(context: Context) -> LabelQuality | None:
    """Return the quality of the generated answers for sampled pool rows with a known truth."""
    task, folder = context.task, context.stages["generate"]
    answers = load_answers(folder / "answers.jsonl")
    weight = load_file(folder / "labels.safetensors")["weight"]
    drawn = pq.read_table(context.stages["propose"] / "pool.parquet")["id"].to_pylist()
    pool = context.rows("unlabeled", ("id", *context.inputs, "truth"))
    place = {name: number for number, name in enumerate(pool["id"].to_pylist())}
    rows = pool.take(pa.array([place[name] for name in drawn], pa.int64()))
    has_truth = pc.is_valid(rows["truth"]).to_numpy()
    truth = rows.rename_columns([*rows.column_names[:-1], task.target.name]).filter(pa.array(has_truth))
    credit = task.credit([answers[i] for i in np.flatnonzero(has_truth)], truth)
    return answer_quality(answers, weight, has_truth, credit, task.correct(credit))


def _predict(context: Context, part: str, rows: pa.Table) -> dict[str, list[Answer]]:
    """Return the answers of every arm for the rows of a part."""
    if not rows.num_rows:
        return {}
    models = arms.models_of(context.stages)
    on_rows = arms.predict_rows(rows, models, context.session.use_gpu(), context.progress)
    if context.task.labeler != "label_gan":
        return on_rows
    inputs = label_gan.LganInputs.load(context.stages["pretrain"] / "inputs")
    networks, seed = context.stages["lgan"] / "players", context.config.seed
    on_features = arms.predict_features(context.features().of(part), inputs, networks, seed)
    names = context.labels().names
    return {
        **{arm: ranked(probabilities, names) for arm, probabilities in on_features.items()},
        **on_rows,
    }
