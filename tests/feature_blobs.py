"""Made features: rows around class centres, names near them, and a run of the label GAN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from react_ray.config.settings import LganConfig
from react_ray.labelers.label_gan import prepare
from react_ray.lgan import LganInputs, pretrain, train
from react_ray.training.worker import LocalWorker

WIDTH = 32
QUICK: dict[str, Any] = {
    "pretrain_steps": 40,
    "steps": 120,
    "batch_size": 64,
    "adversarial": 0.05,
    "sampled": 0.1,
}
"""With the game, which is off by default."""


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Blobs:
    inputs: LganInputs
    truth: NDArray[np.int64]  # of the unlabelled rows
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    def with_inputs(self, **changes: Any) -> Blobs:
        return replace(self, inputs=replace(self.inputs, **changes))

    def macro_f1(self, predicted: NDArray[Any]) -> float:
        return float(f1_score(self.test_labels, predicted.argmax(1), average="macro", zero_division=0))


def make_blobs(
    classes: int = 4,
    per_class: int = 2,
    pool: int = 400,
    spread: float = 1.6,
    balance: list[float] | None = None,
    names_off: float = 1.0,
    seed: int = 0,
) -> Blobs:
    """``spread`` and ``names_off``: how far rows and names lie from the class centres."""
    draw = np.random.default_rng(seed)
    centres = unit(draw.normal(size=(classes, WIDTH)))

    def rows(labels: NDArray[np.int64]) -> NDArray[np.float32]:
        noise = draw.normal(size=(len(labels), WIDTH)) / np.sqrt(WIDTH)
        return unit(centres[labels] + spread * noise)

    names = unit(centres + names_off * draw.normal(size=centres.shape) / np.sqrt(WIDTH))
    labels = np.repeat(np.arange(classes), per_class)
    truth = draw.choice(classes, size=pool, p=balance)
    test = draw.choice(classes, size=300, p=balance)
    inputs = LganInputs(rows(labels), labels, rows(truth), names)
    return Blobs(inputs, truth, rows(test), test)


def prepared(folder: Path, inputs: LganInputs, **settings: Any) -> dict[str, Any]:
    """Inputs and teacher in ``folder``; the settings as the loops take them."""
    config = LganConfig(**{**QUICK, **settings}).model_dump()
    prepare(inputs, config, folder / "inputs")
    return {"inputs": str(folder / "inputs"), "settings": config, "seed": 0}


def run_phases(folder: Path, inputs: LganInputs, **settings: Any) -> Path:
    """Both phases in this process; the folder of the trained players."""
    given = prepared(folder, inputs, **settings)
    first, second = folder / "phase1", folder / "phase2"
    pretrain.loop(LocalWorker(folder / "w1"), output=str(first), **given)
    train.loop(LocalWorker(folder / "w2"), phase1=str(first), output=str(second), **given)
    return second
