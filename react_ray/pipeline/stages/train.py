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
from react_ray.training.batches import MAX_VALIDATION
from react_ray.training.run import finetune as finetune_arm

__all__ = ["distil", "finetune", "labels_only"]


def labels_only(context: Context) -> None:
    """Fine-tune on the labelled rows alone (plain arm)."""
    train = context.rows("labeled")
    if train.num_rows:  # with names of classes alone there is nothing to train on
        _finetune(context, train)


def finetune(context: Context) -> None:
    """S5: fine-tune on D_aug; without the label GAN, only if it has more than the labelled rows."""
    rows = pq.read_table(context.stages["generate"] / "augmented")
    if "pretrain" not in context.stages:
        if set(rows["origin"].unique().to_pylist()) != {"labeled"}:
            _finetune(context, rows)
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


def _finetune(context: Context, train: pa.Table, probe: Path | None = None) -> None:
    """Fine-tune a model; its head starts from ``probe``, a classifier of frozen sentence embeddings."""
    validation = context.rows("validation")
    config = context.config.model_copy(update={"model": context.model})
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
