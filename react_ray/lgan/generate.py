"""Label generation: label distribution, score of D and weight of each unlabelled row (S4).

D_aug = {(x, y), (x', y), (u, G_y(u))}: labelled rows x with weight 1, their copies x' with less, and
unlabelled rows u, weighted by the probability that the generated label is correct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from react_ray.console.reporter import Progress
from react_ray.lgan.calibrate import calibrate, expected_accuracy
from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities, save_arrays
from react_ray.lgan.names import join, product
from react_ray.lgan.neighbours import nearest, neighbour_count, smooth
from react_ray.lgan.networks import NOISE, Networks
from react_ray.lgan.probe import one_hot
from react_ray.lgan.state import load_networks
from react_ray.lgan.verify import judge

__all__ = [
    "Generation",
    "LabelProbabilities",
    "TrainedLabelGenerator",
    "augmented_table",
    "fine_tuned_weight",
    "generate_labels",
    "join_fine_tuned",
    "label_probabilities",
    "left_out_table",
    "weigh_for_training",
]

NOISE_DRAWS = 8
BLOCK, BLOCK_CELLS = 4096, 1 << 20
"""Maximum rows, and rows times classes, that are computed at a time."""
COPY_WEIGHT = 0.5
"""Weight of a copy whose label has probability 1 under G_y; less than 1, because copies are redundant."""
MIN_PROBABILITY = 0.2
"""Probability below which a generated label is rejected."""
FINE_TUNED_WEIGHT, FINE_TUNED_ROWS = 0.5, 100
"""Weight of the fine-tuned model in the labels with many labelled rows, and the rows at half of it.

Chosen on the training rows of eight sets with 1 to 50 labels a class, one draw each.
"""
SHARPENING = 2.0
"""Power of the probabilities in D_aug, as in MixMatch (Berthelot et al. 2019, arXiv:1905.02249): smoothing
over neighbours makes the labels underconfident, and a model trained on those learns less."""
WEIGHT_POWER = 4
"""Power of the training weights: models memorize wrong labels, and the most certain labels have fewest."""


class TrainedLabelGenerator:
    """Inference with the trained label generator G_y."""

    def __init__(self, names: Features, folder: Path, seed: int):
        self.networks = Networks.make(torch.from_numpy(names), 0)
        load_networks(self.networks, folder)
        self.networks.modules().eval()
        self.seed = seed

    @torch.no_grad()
    def predict_proba(self, features: Features) -> Probabilities:
        """Return G_y's mean probabilities over draws of the noise z: n x K."""
        noise = torch.randn(NOISE_DRAWS, 1, NOISE, generator=torch.Generator().manual_seed(self.seed))
        classes = len(self.networks.label_generator.bias)
        parts, block_size = [np.zeros((0, classes), np.float32)], min(BLOCK, max(1, BLOCK_CELLS // classes))
        for start in range(0, len(features), block_size):
            rows = torch.from_numpy(features[start : start + block_size])
            draws = [
                torch.softmax(self.networks.label_generator(rows, z.expand(len(rows), -1)), 1) for z in noise
            ]
            parts.append(torch.stack(draws).mean(0).numpy())
        return np.concatenate(parts)


@dataclass(frozen=True)
class Generation:
    """Generated labels of m unlabelled rows, and weights of c copies.

    ``score`` is D's log-odds of the generated label. ``foreign`` marks rows that are out of scope, see
    :mod:`react_ray.lgan.out_of_scope`; their weight is 0.
    """

    labels: Probabilities
    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    foreign: NDArray[np.bool_]
    copy_weight: NDArray[np.float32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the unlabelled rows whose label is certain enough to be used: m."""
        return self.weight > 0

    def save(self, folder: Path) -> None:
        """Write ``labels.safetensors`` atomically."""
        save_arrays(dict(vars(self)), folder / "labels.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Generation:
        """Read the file of :meth:`save`."""
        return cls(**load_file(folder / "labels.safetensors"))


@dataclass(frozen=True)
class LabelProbabilities:
    """Label probabilities of the unlabelled rows (m x K): of G_y with smoothing, of D, and of both."""

    generated: Probabilities
    judged: Probabilities
    joined: Probabilities


def label_probabilities(
    inputs: LganInputs,
    labeler: TrainedLabelGenerator,
    smoothing: float,
    words: Features | None,
    verifier: bool,
    progress: Progress | None = None,
) -> LabelProbabilities:
    """Predict the unlabelled rows by G_y, smooth over neighbours, and verify by D if ``verifier``."""
    rows = inputs.unlabeled
    generated = labeler.predict_proba(rows)
    if len(rows):
        generated = smooth(
            generated, nearest(rows, rows, neighbour_count(len(rows), inputs.classes)), smoothing
        )
    judged = judge(inputs, generated, words, progress) if verifier and len(rows) else generated
    return LabelProbabilities(generated, judged, product(generated, judged, 0.5))


def fine_tuned_weight(names_weight: float, labelled: int) -> float:
    """Return the weight of the model that was fine-tuned on ``labelled`` rows in the labels of the pool.

    It learned from these rows alone: it counts for less the more the names of the classes say, and the fewer
    rows there are.
    """
    return FINE_TUNED_WEIGHT * (1 - names_weight) * labelled / (labelled + FINE_TUNED_ROWS)


def join_fine_tuned(
    joined: Probabilities, fine_tuned: Probabilities, labels: Indices, weight: float
) -> Probabilities:
    """Return joined^(1 - weight) * fine_tuned^weight, normalized: m x K.

    A class without a row in ``labels`` keeps its probability, for the fine-tuned model never saw it.
    """
    labelled = np.isin(np.arange(joined.shape[1]), labels)
    return join(fine_tuned, joined, 1 - weight, labelled)


def generate_labels(
    inputs: LganInputs,
    labeler: TrainedLabelGenerator,
    probabilities: LabelProbabilities,
    homophily: float,
    correct: NDArray[np.bool_] | None = None,
    out_of_scope: NDArray[np.bool_] | None = None,
) -> Generation:
    """Return labels with weights and D's scores; ``correct`` is as in :func:`expected_accuracy`.

    Rows that are ``out_of_scope`` (mask: m) get weight 0.
    """
    joined, copies = probabilities.joined, inputs.augmented
    likeliest = joined.argmax(1)
    calibrated = joined
    if len(joined):
        calibrated = calibrate(joined, expected_accuracy(joined, homophily, correct))
    threshold = max(MIN_PROBABILITY, 1.2 / inputs.classes)
    out_of_scope = np.zeros(len(joined), bool) if out_of_scope is None else out_of_scope
    rejected = out_of_scope | (joined.max(1, initial=0) < threshold)
    source_labels = inputs.augmented_labels[:, None]
    copy_probability = np.take_along_axis(labeler.predict_proba(copies), source_labels, 1)[:, 0]
    return Generation(
        labels=_sharpen(joined),
        score=_log_odds(probabilities.judged, likeliest),
        weight=np.where(rejected, 0, calibrated.max(1, initial=0)).astype(np.float32),
        foreign=out_of_scope,
        copy_weight=(COPY_WEIGHT * copy_probability).astype(np.float32),
    )


def _sharpen(probabilities: Probabilities) -> Probabilities:
    powers = probabilities**SHARPENING
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def _log_odds(judged: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Return log p - log(1 - p) of one label for each row; above 0 if D classifies the pair as real."""
    probability = judged.astype(np.float64)[np.arange(len(labels)), labels].clip(1e-6, 1 - 1e-6)
    return (np.log(probability) - np.log1p(-probability)).astype(np.float32)


def augmented_table(
    inputs: LganInputs,
    generation: Generation,
    labeled: pa.Table,
    unlabeled: pa.Table,
    copies: pa.Table,
) -> pa.Table:
    """Return D_aug: input columns, label (distribution), weight, origin and score of the selected rows.

    The three tables have the input columns of the task, in the order of the features in ``inputs``.
    """
    selected = np.flatnonzero(generation.kept)
    labels = [
        one_hot(inputs.labels, inputs.classes),
        one_hot(inputs.augmented_labels, inputs.classes),
        generation.labels[selected],
    ]
    rows = pa.concat_tables([labeled, copies, unlabeled.take(pa.array(selected))])
    weights: list[NDArray[Any]] = [
        np.ones(len(inputs.labels)),
        generation.copy_weight,
        generation.weight[selected],
    ]
    no_scores = [None] * (len(labeled) + len(copies))
    origins = ("labeled", "augmented", "generated")
    return pa.table(
        {
            **dict(zip(rows.column_names, rows.columns, strict=True)),
            "label": _lists(np.vstack(labels)),
            "weight": pa.array(np.concatenate(weights).astype(np.float64)),
            "origin": pa.array(np.repeat(origins, [len(part) for part in labels]).tolist(), pa.string()),
            "score": pa.array(no_scores + generation.score[selected].tolist(), pa.float64()),
        }
    )


def _lists(rows: Probabilities) -> pa.Array:
    """Convert an array to a column of lists, without a Python object for each number."""
    starts = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return pa.LargeListArray.from_arrays(starts, rows.ravel().astype(np.float64)).cast(pa.list_(pa.float64()))


def left_out_table(
    generation: Generation, names: Sequence[str], ids: Sequence[str], texts: Sequence[str]
) -> pa.Table:
    """Return the unlabelled rows that are not in D_aug: id, text, likeliest label, probability, reason."""
    rows = np.flatnonzero(~generation.kept).tolist()
    labels = generation.labels[rows] ** (1 / SHARPENING)
    labels /= labels.sum(1, keepdims=True)
    reasons = ("the label is too uncertain", "out of scope: like none of the labelled rows")
    return pa.table(
        {
            "id": pa.array([ids[i] for i in rows], pa.string()),
            "text": pa.array([texts[i] for i in rows], pa.string()),
            "label": pa.array([names[i] for i in labels.argmax(1).tolist()], pa.string()),
            "probability": pa.array(labels.max(1, initial=0).astype(np.float64)),
            "reason": pa.array([reasons[int(generation.foreign[i])] for i in rows], pa.string()),
        }
    )


def weigh_for_training(table: pa.Table) -> pa.Table:
    """Raise the weights of generated rows to WEIGHT_POWER, and rescale them to the same sum."""
    weights = table["weight"].to_numpy().copy()
    generated = pc.equal(table["origin"], "generated").to_numpy()
    powered = weights[generated] ** WEIGHT_POWER
    weights[generated] = powered * (weights[generated].sum() / max(powered.sum(), 1e-12))
    return table.set_column(table.schema.get_field_index("weight"), "weight", pa.array(weights))
