"""Label generation: a distribution, a verdict and a weight for each pool row (S4).

D_aug = {(x, y), (x', y'), (x', G_y(x'))}: labelled rows with weight 1, copies of
them with less, and pool rows with the weight their generated label deserves.
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
from react_ray.lgan.names import product
from react_ray.lgan.neighbours import nearest, neighbour_count, smooth
from react_ray.lgan.networks import NOISE, Networks
from react_ray.lgan.probe import one_hot
from react_ray.lgan.state import load_networks
from react_ray.lgan.verify import judge

__all__ = [
    "Generation",
    "LabelProbabilities",
    "Labeler",
    "augmented_table",
    "generate_labels",
    "label_probabilities",
    "left_out_table",
    "weigh_for_training",
]

DRAWS = 8
BLOCK, BLOCK_CELLS = 4096, 1 << 20
"""Rows at a time, and rows times classes: each is held for every draw."""
COPY_WEIGHT = 0.5
"""Weight of a copy whose label has probability 1 under G_y: copies repeat their text."""
FLOOR = 0.2
"""Probability below which a generated label is rejected."""
SHARPENING = 2.0
"""Power of the probabilities in D_aug, as in MixMatch (Berthelot et al. 2019, arXiv:1905.02249): the
neighbours' mean makes probabilities lower than the accuracy, and a model trained on those learns less."""
CAUTION = 4
"""Power of the training weights: models memorize wrong labels, and certain ones have the fewest errors."""


class Labeler:
    """The trained label generator G_y, for inference."""

    def __init__(self, names: Features, folder: Path, seed: int):
        self.networks = Networks.make(torch.from_numpy(names), 0)
        load_networks(self.networks, folder)
        self.networks.modules().eval()
        self.seed = seed

    @torch.no_grad()
    def predict_proba(self, features: Features) -> Probabilities:
        """Return G_y's mean probabilities over draws of z, n x K."""
        noise = torch.randn(DRAWS, 1, NOISE, generator=torch.Generator().manual_seed(self.seed))
        classes = len(self.networks.label_generator.bias)
        parts, block = [np.zeros((0, classes), np.float32)], min(BLOCK, max(1, BLOCK_CELLS // classes))
        for start in range(0, len(features), block):
            rows = torch.from_numpy(features[start : start + block])
            draws = [
                torch.softmax(self.networks.label_generator(rows, z.expand(len(rows), -1)), 1) for z in noise
            ]
            parts.append(torch.stack(draws).mean(0).numpy())
        return np.concatenate(parts)


@dataclass(frozen=True)
class Generation:
    """Labels for m pool rows and c copies; ``score`` is the log-odds of D for the generated label.

    ``foreign`` rows are out of scope, see :mod:`react_ray.lgan.out_of_scope`: their weight is 0.
    """

    labels: Probabilities
    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    foreign: NDArray[np.bool_]
    copy_weight: NDArray[np.float32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the pool rows whose label is certain enough to be used, m."""
        return self.weight > 0

    def save(self, folder: Path) -> None:
        """Write ``labels.safetensors`` in one step."""
        save_arrays(dict(vars(self)), folder / "labels.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Generation:
        """Read what :meth:`save` wrote."""
        return cls(**load_file(folder / "labels.safetensors"))


@dataclass(frozen=True)
class LabelProbabilities:
    """Label probabilities of the unlabelled rows, m x K: by G_y with neighbours, by D, and by both."""

    generated: Probabilities
    judged: Probabilities
    joined: Probabilities


def label_probabilities(
    inputs: LganInputs,
    labeler: Labeler,
    smoothing: float,
    words: Features | None,
    verifier: bool,
    progress: Progress | None = None,
) -> LabelProbabilities:
    """Label rows by G_y and their neighbours, and verify by D; without a ``verifier`` D's weight is 0."""
    rows = inputs.unlabeled
    generated = labeler.predict_proba(rows)
    if len(rows):
        generated = smooth(
            generated, nearest(rows, rows, neighbour_count(len(rows), inputs.classes)), smoothing
        )
    judged = judge(inputs, generated, words, progress) if verifier and len(rows) else generated
    return LabelProbabilities(generated, judged, product(generated, judged, 0.5))


def generate_labels(
    inputs: LganInputs,
    labeler: Labeler,
    probabilities: LabelProbabilities,
    homophily: float,
    correct: NDArray[np.bool_] | None = None,
    foreign: NDArray[np.bool_] | None = None,
) -> Generation:
    """Return labels with weights and D's scores; ``correct`` is as in :func:`expected_accuracy`.

    ``foreign`` rows (m), which are out of scope, get weight 0.
    """
    joined, copies = probabilities.joined, inputs.augmented
    best = joined.argmax(1)
    calibrated = joined
    if len(joined):
        calibrated = calibrate(joined, expected_accuracy(joined, homophily, correct))
    floor = max(FLOOR, 1.2 / inputs.classes)
    foreign = np.zeros(len(joined), bool) if foreign is None else foreign
    rejected = foreign | (joined.max(1, initial=0) < floor)
    meant = inputs.augmented_labels[:, None]
    copy_probability = np.take_along_axis(labeler.predict_proba(copies), meant, 1)[:, 0]
    return Generation(
        labels=_sharpen(joined),
        score=_log_odds(probabilities.judged, best),
        weight=np.where(rejected, 0, calibrated.max(1, initial=0)).astype(np.float32),
        foreign=foreign,
        copy_weight=(COPY_WEIGHT * copy_probability).astype(np.float32),
    )


def _sharpen(probabilities: Probabilities) -> Probabilities:
    powers = probabilities**SHARPENING
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def _log_odds(judged: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Return log p - log(1 - p) of one label for each row; above 0 where D classifies the pair as real."""
    probability = judged.astype(np.float64)[np.arange(len(labels)), labels].clip(1e-6, 1 - 1e-6)
    return (np.log(probability) - np.log1p(-probability)).astype(np.float32)


def augmented_table(
    inputs: LganInputs,
    generation: Generation,
    labeled: pa.Table,
    unlabeled: pa.Table,
    copies: pa.Table,
) -> pa.Table:
    """Return D_aug without rejected rows: input columns, label (distribution), weight, origin, score.

    The three tables have the input columns of the task, in the order of the features in ``inputs``.
    """
    kept = np.flatnonzero(generation.kept)
    labels = [
        one_hot(inputs.labels, inputs.classes),
        one_hot(inputs.augmented_labels, inputs.classes),
        generation.labels[kept],
    ]
    rows = pa.concat_tables([labeled, copies, unlabeled.take(pa.array(kept))])
    weights: list[NDArray[Any]] = [
        np.ones(len(inputs.labels)),
        generation.copy_weight,
        generation.weight[kept],
    ]
    no_scores = [None] * (len(labeled) + len(copies))
    origins = ("labeled", "augmented", "generated")
    return pa.table(
        {
            **dict(zip(rows.column_names, rows.columns, strict=True)),
            "label": _lists(np.vstack(labels)),
            "weight": pa.array(np.concatenate(weights).astype(np.float64)),
            "origin": pa.array(np.repeat(origins, [len(part) for part in labels]).tolist(), pa.string()),
            "score": pa.array(no_scores + generation.score[kept].tolist(), pa.float64()),
        }
    )


def _lists(rows: Probabilities) -> pa.Array:
    """Convert rows to a column of lists without creating a Python object for each number."""
    starts = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return pa.LargeListArray.from_arrays(starts, rows.ravel().astype(np.float64)).cast(pa.list_(pa.float64()))


def left_out_table(
    generation: Generation, names: Sequence[str], ids: Sequence[str], texts: Sequence[str]
) -> pa.Table:
    """Return unlabelled rows that are not in D_aug: id, text, likeliest label, its probability, reason."""
    rows = np.flatnonzero(~generation.kept).tolist()
    labels = generation.labels[rows] ** (1 / SHARPENING)
    labels /= labels.sum(1, keepdims=True)
    reasons = ("the label is not believed enough", "like none of the labelled rows")
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
    """Raise the weights of generated rows to the power CAUTION, and keep their sum."""
    weights = table["weight"].to_numpy().copy()
    generated = pc.equal(table["origin"], "generated").to_numpy()
    apart = weights[generated] ** CAUTION
    weights[generated] = apart * (weights[generated].sum() / max(apart.sum(), 1e-12))
    return table.set_column(table.schema.get_field_index("weight"), "weight", pa.array(weights))
