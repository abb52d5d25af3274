"""Methods that fine-tune an encoder, minutes a cell: labels only, the whole road, SetFit."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import react_ray
from benchmarks.datasets import write_files
from benchmarks.label_efficiency.draws import Draw
from benchmarks.label_efficiency.methods.answer import Answer
from benchmarks.label_efficiency.methods.label_gan import GAME, held_back
from react_ray.cluster.session import Session
from react_ray.inference.classifier import load
from react_ray.lgan.inputs import Probabilities
from react_ray.models.pretrained import resolve
from react_ray.training.run import finetune

__all__ = ["ROAD_VARIANTS", "labels_only", "setfit", "whole_road"]

PEER = Path(__file__).parents[1] / "setfit_peer.py"
ROAD_VARIANTS: dict[str, dict[str, Any]] = {
    "no_names": {"lgan.names": False},
    "one_round": {"lgan.rounds": 1},
    "no_verifier": {"lgan.verifier": False},
    "no_copies": {"augment.copies": 0},
    "no_head_start": {"finetune.head_start": False},
    "game": {f"lgan.{name}": value for name, value in GAME.items()},
}
"""Ablations of the whole road, named whole_road-NAME: the settings that are changed."""


def labels_only(draw: Draw) -> Answer:
    """The run's plain arm: the encoder fine-tuned on the labelled rows, with the run's settings."""
    labels = [draw.classes.names[label] for label in draw.labels]
    rows = pa.table({"text": draw.labeled.texts, "label": labels})
    back = held_back(draw)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = _config(draw, folder, {"data.labeled": "given as a table"})
        with Session(config.cluster) as session:
            model = finetune(
                folder,
                train=rows.filter(pa.array(~back)),
                validation=rows.filter(pa.array(back)) if back.any() else None,
                labels=draw.classes,
                config=config,
                session=session,
            )
        found = load(model, session.use_gpu()).predict_proba(draw.test.texts)
    return Answer(found, {"validation": int(back.sum())})


def whole_road(draw: Draw, changes: dict[str, Any] | None = None) -> Answer:
    """A whole run on files, as a user would start it, with ``changes`` of settings; the saved model's say."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        labels = [draw.classes.names[label] for label in draw.labels]
        files = write_files(
            folder,
            pd.DataFrame({"text": draw.labeled.texts, "label": labels}),
            pd.DataFrame({"text": draw.pool.texts}),
            pd.DataFrame({"text": draw.test.texts}),
            draw.classes,
        )
        inputs = {"labeled": files.labeled, "labels": files.labels, "unlabeled": files.unlabeled}
        given = {f"data.{key}": str(path) for key, path in inputs.items() if path}
        config = _config(draw, folder, {**given, "onnx": False, **(changes or {})})
        run = react_ray.run(config, quiet=True)
        classifier = run.classifier()
        found = classifier.predict_proba(draw.test.texts)
    order = [classifier.labels.index(name) for name in draw.classes.names]
    details = {"chosen": run.metrics["chosen"], "seconds": run.metrics["seconds"]}
    return Answer(found[:, order], details)


def setfit(draw: Draw, python: Path | None = None) -> Answer:
    """SetFit (Tunstall et al. 2022, arXiv:2209.11055), the package itself, run by ``python``.

    It has an environment of its own; see ``setfit_peer`` for its settings.
    """
    if python is None:
        raise ValueError("setfit needs --setfit-python, the interpreter of its environment")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train = pd.DataFrame({"text": draw.labeled.texts, "label": draw.labels})
        train.to_parquet(folder / "train.parquet", index=False)
        pd.DataFrame({"text": draw.test.texts}).to_parquet(folder / "test.parquet", index=False)
        given = {"--folder": folder, "--model": resolve(draw.encoder), "--seed": draw.seed}
        started = time.perf_counter()
        command = [str(python), "-I", str(PEER), *(str(word) for pair in given.items() for word in pair)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"SetFit ended with {done.returncode}:\n{done.stderr[-3000:]}")
        found = np.load(folder / "probabilities.npy").astype(np.float32)
    return Answer(_spread(found, draw), {"seconds": round(time.perf_counter() - started, 1)})


def _config(draw: Draw, folder: Path, flags: dict[str, Any]) -> react_ray.Config:
    """The run's defaults, in this process: a cell is the unit that is spread over machines."""
    own = {"output": str(folder / "run"), "seed": draw.seed, "cluster.workers": 0}
    own |= {"model": draw.encoder, "encoder": draw.encoder}
    return react_ray.load_config(flags={**own, **flags})


def _spread(found: Probabilities, draw: Draw) -> Probabilities:
    """Columns of the classes that have labelled rows, put among those of all classes."""
    spread = np.zeros((len(found), len(draw.classes)), np.float32)
    spread[:, np.unique(draw.labels)] = found
    return spread
