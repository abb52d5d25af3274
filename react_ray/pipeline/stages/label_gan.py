"""Stages of the label GAN: pretrain, lgan, propose, generate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file

from react_ray import lgan as label_gan
from react_ray.cluster.datasets import map_items
from react_ray.cluster.trainer import fit
from react_ray.folders import remove_folder
from react_ray.inference.classifier import load
from react_ray.labelers.label_gan import generate as generate_labels
from react_ray.labelers.label_gan import inputs_of
from react_ray.labelers.label_gan import prepare as prepare_labeler
from react_ray.lgan import pretrain as phase1
from react_ray.lgan import train as phase2
from react_ray.lgan.inputs import Probabilities, save_arrays
from react_ray.pipeline.context import Context
from react_ray.tasks.closed import class_probabilities

__all__ = ["augmented", "generate", "lgan", "load_proposals", "pretrain", "propose"]

POOL = "unlabeled"


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


def propose(context: Context) -> None:
    """S4: label the pool with the model that was fine-tuned on the labelled rows, if there is one."""
    model = context.stages["labels_only"] / "model"
    if not (context.config.lgan.fine_tuned and model.is_dir()):
        return
    rows, gpu = context.stages["prepare"] / "rows.parquet", context.session.use_gpu()
    groups = range(pq.read_metadata(rows).num_row_groups)
    items = [(group, context.folder / f"{group:06d}.safetensors") for group in groups]
    map_items(
        ClassifyTask(str(rows), str(model), gpu),
        [{"group": group, "target": str(target)} for group, target in items if not target.exists()],
        rows=len(context.rows(POOL, ("id",))),
        session=context.session,
        progress=context.progress,
        use_gpu=gpu,
    )


@dataclass(frozen=True)
class ClassifyTask:
    """Worker task: predict the classes of the unlabelled rows in a row group of the file ``rows``."""

    rows: str
    model: str
    use_gpu: bool

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the model and return a function that processes an item."""
        saved = load(self.model, self.use_gpu)

        def work(item: dict[str, Any]) -> int:
            group = pq.ParquetFile(self.rows).read_row_group(item["group"])
            pool = group.filter(pc.equal(group["part"], POOL))
            examples = saved.examples(pool.select([field.name for field in saved.task.inputs]))
            probabilities = class_probabilities(saved.run(examples), examples, len(saved.labels))
            save_arrays({"probabilities": probabilities.astype(np.float32)}, Path(item["target"]))
            return len(pool)

        return work


def load_proposals(folder: Path) -> Probabilities | None:
    """Load the output of stage propose: the classes of the pool by the fine-tuned model, m x K."""
    parts = [load_file(path)["probabilities"] for path in sorted(folder.glob("*.safetensors"))]
    return np.concatenate(parts) if parts else None


def generate(context: Context) -> None:
    """S4: generate labels for the pool, write D_aug, and apply the gate."""
    inputs, config = context.stages["pretrain"] / "inputs", context.config
    networks = context.stages["lgan"] / "players"
    settings = config.lgan.model_dump()
    labeled, unlabeled = (context.rows(part, ("id", *context.inputs)) for part in ("labeled", "unlabeled"))
    texts = labeled["text"].to_pylist() + unlabeled["text"].to_pylist()
    fine_tuned = load_proposals(context.stages["propose"])
    generation, _ = generate_labels(
        inputs, networks, context.folder, settings, config.seed, texts, fine_tuned, context.progress
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
