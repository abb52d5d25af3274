"""Fine-tuning of an arm, from tables to a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.cluster.session import Session
from react_ray.cluster.trainer import fit
from react_ray.config.settings import Config
from react_ray.console.reporter import Progress
from react_ray.folders import remove_folder
from react_ray.tasks import get_task
from react_ray.tasks.labels import LabelMap
from react_ray.training.train import loop

__all__ = ["finetune"]


def finetune(
    folder: Path,
    *,
    train: pa.Table,
    validation: pa.Table | None,
    labels: LabelMap,
    config: Config,
    session: Session,
    progress: Progress | None = None,
    log: Path | None = None,
    probe: Path | None = None,
    unlabeled: pa.Table | None = None,
) -> Path:
    """Fine-tune ``config.model``, and return its folder ``folder/model``; also writes history.jsonl.

    A killed run resumes when this is called again with the same ``folder``, so different settings need
    different folders. Raises TrainingError.

    Parameters
    ----------
    train
        Inputs and target (labels or distributions), and optionally weight and origin.
    validation
        Inputs and target.
    log
        Folder for the metrics of training.
    probe
        File with a linear classifier of the model's frozen features, to initialize the head.
    unlabeled
        Inputs to calibrate on where there are no validation rows, for tasks that can.
    """
    work = folder / "training"
    if (folder / "history.jsonl").exists() and not work.exists():
        remove_folder(work)  # a kill may have interrupted its removal
        return folder / "model"
    pq.write_table(train, folder / "train.parquet")
    if validation is not None:
        pq.write_table(validation, folder / "validation.parquet")
    if unlabeled is not None:
        pq.write_table(unlabeled, folder / "unlabeled.parquet")
    settings = {
        "model": config.model,
        "labels": list(labels.names),
        "train": str(folder / "train.parquet"),
        "validation": str(folder / "validation.parquet") if validation is not None else None,
        "config": config.finetune.model_dump(),
        "seed": config.seed,
        "task": config.task,
        "settings": get_task(config.task).settings(config.generation),
        "probe": str(probe) if probe else None,
        "unlabeled": str(folder / "unlabeled.parquet") if unlabeled is not None else None,
    }
    checkpoint = fit(
        loop, settings, name=folder.name, folder=work, session=session, progress=progress, log=log
    )
    shutil.copytree(checkpoint / "model", folder / "model", dirs_exist_ok=True)
    shutil.copy(checkpoint / "history.jsonl", folder / "history.jsonl")
    remove_folder(work)
    return folder / "model"
