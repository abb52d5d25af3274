"""Stages of the label GAN: pretrain, lgan, generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from react_ray import lgan as label_gan
from react_ray.cluster.trainer import fit
from react_ray.folders import remove_folder
from react_ray.labelers.label_gan import generate as generate_labels
from react_ray.labelers.label_gan import inputs_of
from react_ray.labelers.label_gan import prepare as prepare_labeler
from react_ray.lgan import pretrain as phase1
from react_ray.lgan import train as phase2
from react_ray.pipeline.context import Context

__all__ = ["augmented", "generate", "lgan", "pretrain"]


def pretrain(context: Context) -> None:
    """P1: fit the teacher, and train a plain GAN on the unlabelled features."""
    inputs = inputs_of(context.features())
    options = context.config.lgan.model_dump()
    prepare_labeler(inputs, options, context.folder / "inputs", context.progress)
    settings = {"inputs": context.folder / "inputs", "output": context.folder / "players"}
    _train_networks(context, phase1.loop, settings)


def lgan(context: Context) -> None:
    """P2: train the label generator, alone or in adversarial training."""
    earlier = context.stages["pretrain"]
    settings = {"inputs": earlier / "inputs", "phase1": earlier / "players"}
    settings["output"] = context.folder / "players"
    _train_networks(context, phase2.loop, settings)


def generate(context: Context) -> None:
    """S4: generate labels for the pool, write D_aug, and apply the gate."""
    inputs, config = context.stages["pretrain"] / "inputs", context.config
    networks = context.stages["lgan"] / "players"
    settings = config.lgan.model_dump()
    labeled, unlabeled = (context.rows(part, ("id", *context.inputs)) for part in ("labeled", "unlabeled"))
    texts = labeled["text"].to_pylist() + unlabeled["text"].to_pylist()
    generation, _ = generate_labels(
        inputs, networks, context.folder, settings, config.seed, texts, context.progress
    )
    ids, pool = unlabeled["id"].to_pylist(), unlabeled["text"].to_pylist()
    left_out = label_gan.left_out_table(generation, context.labels().names, ids, pool)
    pq.write_table(left_out, context.folder / "left_out.parquet")
    table = augmented(context, label_gan.LganInputs.load(inputs), generation)
    (context.folder / "augmented").mkdir(exist_ok=True)
    pq.write_table(table, context.folder / "augmented" / "part-00000.parquet")


def _train_networks(context: Context, loop: Any, settings: dict[str, Path]) -> None:
    """Train a phase of the label GAN on the workers of the run."""
    training = context.folder / "training"
    plain: dict[str, Any] = {key: str(path) for key, path in settings.items()}
    plain |= {"settings": context.config.lgan.model_dump(), "seed": context.config.seed}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps of a millisecond: more threads would wait for each other
    try:
        fit(
            loop,
            plain,
            name="phase",
            folder=training,
            session=context.session,
            progress=context.progress,
            log=context.log(),
        )
    finally:
        torch.set_num_threads(threads)
    remove_folder(training)


def augmented(context: Context, inputs: label_gan.LganInputs, generation: label_gan.Generation) -> pa.Table:
    """Build D_aug of the run with the labels in ``generation``."""
    copies = pq.read_table(context.stages["augment"] / "rows.parquet", columns=list(context.inputs))
    labeled, unlabeled = (context.rows(part, context.inputs) for part in ("labeled", "unlabeled"))
    return label_gan.augmented_table(inputs, generation, labeled, unlabeled, copies)
