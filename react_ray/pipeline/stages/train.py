"""Stages that fine-tune the pretrained model: labels_only, finetune, distil."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from react_ray import lgan as label_gan
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages.label_gan import augmented
from react_ray.tasks.open_task import OpenTask
from react_ray.training.batches import MAX_VALIDATION, share_budget
from react_ray.training.run import finetune as finetune_arm

__all__ = ["MOST_SELF_SUPERVISED", "distil", "finetune", "labels_only", "models_trained", "warm_up"]

MOST_SELF_SUPERVISED = 4000
"""Most rows to train on that are made from inputs alone."""


def labels_only(context: Context) -> None:
    """Fine-tune on the labelled rows alone (plain arm)."""
    train = context.rows("labeled")
    if train.num_rows:  # with names of classes alone there is nothing to train on
        _finetune(context, train)


def warm_up(context: Context) -> None:
    """Train on rows that the task makes from inputs alone, such as cloze questions, before stage finetune."""
    if not (context.config.proposals.cloze and isinstance(context.task, OpenTask)):
        return
    known = context.rows("labeled", context.inputs)
    pool = context.sample("unlabeled", MOST_SELF_SUPERVISED).select(known.column_names)
    rows = context.task.self_supervised(pa.concat_tables([known, pool]), MOST_SELF_SUPERVISED)
    if len(rows):
        _finetune(context, rows)


def finetune(context: Context) -> None:
    """S5: fine-tune on D_aug; without the label GAN, only if there is more than the labelled rows."""
    rows = pq.read_table(context.stages["generate"] / "augmented")
    if "pretrain" not in context.stages:
        warm = context.stages.get("warm_up")
        model = str(warm / "model") if warm and (warm / "model").is_dir() else None
        if model or set(rows["origin"].unique().to_pylist()) != {"labeled"}:
            _finetune(context, rows, model=model)
        return
    weighed = label_gan.weigh_for_training(rows)
    if context.model not in context.encoders:  # the teacher knows nothing of its features
        _finetune(context, weighed)
        return
    encoder = context.encoders.index(context.model)
    teacher = context.stages["pretrain"] / "inputs" / f"sentence_{encoder}.safetensors"
    _finetune(context, weighed, teacher)


def distil(context: Context) -> None:
    """Distil the probe into a model folder if it is the chosen arm; otherwise do nothing."""
    if arms.choice_of(context.stages)["chosen"] == "probe":
        _distil_probe(context)


def _distil_probe(context: Context) -> None:
    """Fine-tune on D_aug with the labels of the frozen probe, which has no model folder of its own."""
    inputs = label_gan.LganInputs.load(context.stages["pretrain"] / "inputs")
    sentences = inputs.seen_as(inputs.sentence)
    probe = label_gan.fit_probe(sentences.labeled, inputs.labels, inputs.classes)
    generation = label_gan.Generation.load(context.stages["generate"])
    relabelled = replace(
        generation,
        labels=probe.predict_proba(sentences.unlabeled),
        weight=np.ones_like(generation.weight),
    )
    probe_file = None
    if context.model in context.encoders:
        probe_file = context.folder / "probe.safetensors"
        view = inputs.seen_as(replace(label_gan.SENTENCE, encoder=context.encoders.index(context.model)))
        start = label_gan.fit_probe(view.labeled, inputs.labels, inputs.classes)
        save_file({"weights": start.weights, "bias": start.bias}, probe_file)
    _finetune(context, augmented(context, inputs, relabelled), probe_file)


def models_trained(context: Context) -> int:
    """Return the number of models that a run of spans or texts trains.

    Those of the labelled rows, of generated labels, and of the reverse direction (back-translation).
    """
    if context.config.data.targets:
        return 3
    return 2 if context.rows("unlabeled", ("id",)).num_rows else 1


def _finetune(context: Context, train: pa.Table, probe: Path | None = None, model: str | None = None) -> None:
    """Fine-tune ``model`` (by default that of the run).

    Its head starts from ``probe``, a classifier of frozen sentence embeddings.
    """
    validation = context.rows("validation")
    settings = context.config.finetune
    if context.task.generates:
        settings = share_budget(settings, models_trained(context))
    config = context.config.model_copy(update={"model": model or context.model, "finetune": settings})
    unlabeled = context.sample("unlabeled", MAX_VALIDATION) if context.task.settles_on_unlabeled else None
    finetune_arm(
        context.folder,
        train=train,
        validation=validation if validation.num_rows else None,
        labels=context.labels(),
        config=config,
        session=context.session,
        progress=context.progress,
        log=context.log(),
        probe=probe,
        unlabeled=unlabeled if unlabeled is not None and unlabeled.num_rows else None,
    )
