"""The methods of a run side by side, and which of them the user gets.

probe            a linear model on the sentence embeddings of the labelled rows
self_training    the same, fed with its own confident labels
label_generator  G_y of the label GAN, on all that the frozen encoder says of a row
labels_only      the pretrained model fine-tuned on the labelled rows
lgan             the pretrained model fine-tuned on D_aug
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from react_ray.classifier import load
from react_ray.lgan import SENTENCE, Labeler, LganInputs, fit_probe, self_train
from react_ray.lgan.gate import MIN_ROWS, WORSE, probability_worse
from react_ray.worker import Progress

__all__ = [
    "Choice",
    "Probabilities",
    "choice_of",
    "choose",
    "model_of",
    "predict_features",
    "predict_texts",
]

Probabilities = NDArray[np.float32]
"""n x K, a row a text, a column a class."""
CHUNK = 512
"""Texts between two signs of progress; texts of like length, so that little is padded."""


@dataclass(frozen=True)
class Choice:
    """The arm whose model the user gets, and why in a sentence."""

    chosen: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def predict_features(
    rows: NDArray[np.float32], inputs: LganInputs, players: Path, seed: int
) -> dict[str, Probabilities]:
    """What the arms that work on frozen features say of ``rows`` (n x d)."""
    found = {"label_generator": Labeler(inputs.names, players, seed).predict_proba(rows)}
    if len(inputs.labeled):
        plain, sentences = inputs.seen_as(SENTENCE), SENTENCE.of(rows, inputs.blocks)
        probe = fit_probe(plain.labeled, inputs.labels, inputs.classes)
        trained = self_train(plain.labeled, inputs.labels, plain.pool, inputs.classes)
        found |= {"probe": probe.predict_proba(sentences), "self_training": trained.predict_proba(sentences)}
    return found


def predict_texts(
    texts: Sequence[str], models: Mapping[str, Path], use_gpu: bool, progress: Progress | None = None
) -> dict[str, Probabilities]:
    """What saved models (arm -> folder) say of ``texts``; an arm without a folder was not trained."""
    there = {arm: folder for arm, folder in models.items() if folder.is_dir()}
    order = np.array(sorted(range(len(texts)), key=lambda row: len(texts[row])), np.int64)
    found: dict[str, Probabilities] = {}
    for number, (arm, folder) in enumerate(there.items()):
        classifier = load(folder, use_gpu)
        found[arm] = np.zeros((len(texts), len(classifier.labels)), np.float32)
        for start in range(0, len(order), CHUNK):
            rows = order[start : start + CHUNK]
            found[arm][rows] = classifier.predict_proba([texts[row] for row in rows])
            if progress:
                done = number * len(texts) + start + len(rows)
                progress(done, len(there) * len(texts), f"texts, {arm}")
    return found


def choose(
    decision: Mapping[str, Any],
    plain_arms: Sequence[str],
    validation: Mapping[str, Probabilities],
    truth: NDArray[np.int64],
    seed: int,
    kept: int,
) -> Choice:
    """The gate: ``lgan``, unless it is worse than the better of the ``plain_arms``.

    ``decision`` is what the label GAN's own gate found on stored features; from
    MIN_ROWS validation rows on, the fine-tuned models are compared on those instead.
    ``kept`` generated labels are in D_aug.
    """
    if not plain_arms:
        warning = f" Beware: {decision['why']}" if decision["alarms"] else ""
        return Choice(
            "lgan", f"Not every class has a labelled row: no plain method to fall back to.{warning}"
        )
    plain = _better_plain(plain_arms, validation, truth)
    if decision["alarms"] or len(truth) < MIN_ROWS:
        return Choice("lgan" if decision["use_lgan"] else plain, decision["why"])
    right = {arm: validation[arm].argmax(1) == truth for arm in ("lgan", plain)}
    worse = probability_worse(right[plain], right["lgan"], seed)
    trained_on = "generated labels" if kept else "the labelled rows and changed copies of them"
    why = (
        f"On {len(truth)} validation rows the model trained on {trained_on} is right for "
        f"{right['lgan'].mean():.1%}, "
        f"{plain} for {right[plain].mean():.1%}; probability of being worse {worse:.2f} (limit {WORSE:g})."
    )
    return Choice("lgan" if worse <= WORSE else plain, why)


def _better_plain(
    arms: Sequence[str], validation: Mapping[str, Probabilities], truth: NDArray[np.int64]
) -> str:
    """The plain arm with the higher validation macro-F1; without rows to tell, the first.

    That is the probe: fine-tuning on a handful of labels alone is most often the worst.
    """

    def macro_f1(arm: str) -> float:
        return float(f1_score(truth, validation[arm].argmax(1), average="macro", zero_division=0))

    return max(arms, key=macro_f1) if len(truth) >= MIN_ROWS else arms[0]


def choice_of(done: dict[str, Path]) -> dict[str, str]:
    """The arm that was chosen, and why."""
    choice: dict[str, str] = json.loads((done["choose"] / "choice.json").read_text(encoding="utf-8"))
    return choice


def model_of(done: dict[str, Path]) -> Path:
    """The folder of the model that was chosen; the probe's is the one it was distilled into."""
    stage = {"lgan": "finetune", "labels_only": "labels_only", "probe": "choose"}
    return done[stage[choice_of(done)["chosen"]]] / "model"
