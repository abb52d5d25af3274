"""Arms of a run (the compared methods), and the choice of the one whose model is published.

probe            a linear model on the sentence embeddings of the labelled rows
self_training    the same, trained on its own confident labels as well
label_generator  G_y of the label GAN, on all features of the frozen encoder
labels_only      the pretrained model fine-tuned on the labelled rows
generated_labels the pretrained model fine-tuned on D_aug
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.console.reporter import Progress
from react_ray.evaluate.intervals import probability_worse
from react_ray.inference.classifier import load
from react_ray.labelers.gate import MIN_ROWS, worse_limit
from react_ray.lgan import LganInputs, TrainedLabelGenerator, fit_probe, self_train
from react_ray.tasks import Task

__all__ = [
    "Choice",
    "Probabilities",
    "choice_of",
    "choose",
    "model_of",
    "models_of",
    "predict_features",
    "predict_rows",
]

Probabilities = NDArray[np.float32]
"""n x K, a row a text, a column a class."""
GENERATED = "generated_labels"
MODEL_STAGES = {GENERATED: "finetune", "labels_only": "labels_only", "probe": "distil"}
"""The stage whose folder holds the model of an arm; that of the probe is its distilled model."""
PLAIN = ("probe", "labels_only")
"""Arms that use no generated label, simplest first."""
FINETUNED = (GENERATED, "labels_only")
"""Arms whose model is fine-tuned whether or not they are chosen."""
CHUNK = 512
"""Texts between two progress reports, sorted by length to reduce padding."""


@dataclass(frozen=True)
class Choice:
    """The chosen arm, and the reason in a sentence."""

    chosen: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """Return the choice as a JSON object."""
        return asdict(self)


def predict_features(
    rows: NDArray[np.float32], inputs: LganInputs, networks: Path, seed: int
) -> dict[str, Probabilities]:
    """Return class probabilities of the arms on frozen features, for ``rows`` (n x d)."""
    predictions = {"label_generator": TrainedLabelGenerator(inputs.names, networks, seed).predict_proba(rows)}
    if len(inputs.labeled):
        plain, sentences = inputs.seen_as(inputs.sentence), inputs.sentence.of(rows, inputs.blocks)
        probe = fit_probe(plain.labeled, inputs.labels, inputs.classes)
        trained = self_train(plain.labeled, inputs.labels, plain.pool, inputs.classes)
        predictions["probe"] = probe.predict_proba(sentences)
        predictions["self_training"] = trained.predict_proba(sentences)
    return predictions


def predict_rows(
    rows: pa.Table, models: Mapping[str, Path], use_gpu: bool, progress: Progress | None = None
) -> dict[str, list[Answer]]:
    """Predict ``rows`` with saved models (arm -> folder); arms without a folder were not trained."""
    trained = {arm: folder for arm, folder in models.items() if folder.is_dir()}
    lengths = [len(text) for text in rows["text"].to_pylist()]
    order = np.array(sorted(range(len(lengths)), key=lengths.__getitem__), np.int64)
    predictions: dict[str, list[Answer]] = {}
    for number, (arm, folder) in enumerate(trained.items()):
        classifier = load(folder, use_gpu)
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            answers |= zip(chunk.tolist(), classifier.answers(rows.take(chunk)), strict=True)
            if progress:
                answered = number * len(rows) + start + len(chunk)
                progress(answered, len(trained) * len(rows), f"texts, {arm}")
        predictions[arm] = [answers[row] for row in range(len(rows))]
    return predictions


def choose(
    decision: Mapping[str, Any],
    plain_arms: Sequence[str],
    validation: Mapping[str, Sequence[Answer]],
    task: Task,
    rows: pa.Table,
    labels: Sequence[str],
    seed: int,
    generated: int,
) -> Choice:
    """Apply the gate: choose ``generated_labels`` unless it is worse than the better of the ``plain_arms``.

    With at least MIN_ROWS validation ``rows`` the answers of the fine-tuned models are compared; otherwise
    ``decision``, the result of the label GAN's gate on frozen features, is used. ``generated`` is the number
    of generated labels in D_aug.
    """
    if not plain_arms:
        warning = f" Warning: {decision['why']}" if decision["alarms"] else ""
        return Choice(
            GENERATED, f"Some classes have no labelled row, so no plain method is available.{warning}"
        )
    few, metric = task.evidence(rows[task.target.name].to_pylist()) < MIN_ROWS, task.metrics[0]
    score = {} if few else {arm: task.measure(validation[arm], rows, labels)[metric] for arm in validation}
    # with too few rows, the first, which is the probe: fine-tuning on few labels alone is most often worst
    plain = plain_arms[0] if few else max(plain_arms, key=score.__getitem__)
    if decision["alarms"] or few:
        return Choice(GENERATED if decision["use_lgan"] else plain, decision["why"])
    plain_counts, lgan_counts = (task.statistics(validation[arm], rows, labels) for arm in (plain, GENERATED))
    worse = probability_worse(plain_counts, lgan_counts, task.score, metric, seed)
    limit = worse_limit(task.labeler)
    trained_on = "generated labels" if generated else "the labelled rows and changed copies of them"
    why = (
        f"On {len(rows)} validation rows the model trained on {trained_on} has {metric} "
        f"{score[GENERATED]:.3f}, {plain} {score[plain]:.3f}; probability of being worse {worse:.2f} "
        f"(limit {limit:g})."
    )
    return Choice(GENERATED if worse <= limit else plain, why)


def has_arm(stages: dict[str, Path], arm: str) -> bool:
    """Return whether a plain arm is part of the run; only runs of the label GAN have the probe."""
    return "pretrain" in stages if arm == "probe" else (stages[MODEL_STAGES[arm]] / "model").is_dir()


def choice_of(stages: dict[str, Path]) -> dict[str, str]:
    """Load the choice of a run: ``chosen`` and ``why``."""
    choice: dict[str, str] = json.loads((stages["choose"] / "choice.json").read_text(encoding="utf-8"))
    return choice


def model_of(stages: dict[str, Path]) -> Path:
    """Return the folder of the chosen model."""
    return stages[MODEL_STAGES[choice_of(stages)["chosen"]]] / "model"


def models_of(stages: dict[str, Path]) -> dict[str, Path]:
    """Return the folders of the fine-tuned arms; those that were not trained do not exist."""
    return {arm: stages[MODEL_STAGES[arm]] / "model" for arm in FINETUNED}
