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
from react_ray.lgan.networks import NOISE, Players
from react_ray.lgan.probe import one_hot
from react_ray.lgan.state import load_players
from react_ray.lgan.verify import judge

__all__ = [
    "Believed",
    "Generation",
    "Labeler",
    "augmented_table",
    "believe",
    "generate_labels",
    "left_out_table",
    "weigh_for_training",
]

DRAWS = 8
BLOCK, BLOCK_CELLS = 4096, 1 << 20
"""Rows at a time, and rows times classes: each is held for every draw."""
COPY_WEIGHT = 0.5
"""Of a copy whose label G_y fully believes: copies repeat their text."""
FLOOR = 0.2
"""Belief below which a generated label is rejected."""
SHARPENING = 2.0
"""Power of the probabilities in D_aug, as in MixMatch (Berthelot et al. 2019, arXiv:1905.02249): the
neighbours' mean makes labels softer than they are right, and a model trained on those forgets."""
CAUTION = 4
"""Power of the weights that are trained on: wrong labels are learnt by heart, and the surest hold fewest."""


class Labeler:
    """The trained label generator, as it is asked for labels."""

    def __init__(self, names: Features, folder: Path, seed: int):
        self.players = Players.make(torch.from_numpy(names), 0)
        load_players(self.players, folder)
        self.players.modules().eval()
        self.seed = seed

    @torch.no_grad()
    def predict_proba(self, features: Features) -> Probabilities:
        """G_y's mean distribution over draws of z, n x K."""
        noise = torch.randn(DRAWS, 1, NOISE, generator=torch.Generator().manual_seed(self.seed))
        classes = len(self.players.label_generator.bias)
        found, block = [np.zeros((0, classes), np.float32)], min(BLOCK, max(1, BLOCK_CELLS // classes))
        for start in range(0, len(features), block):
            rows = torch.from_numpy(features[start : start + block])
            draws = [
                torch.softmax(self.players.label_generator(rows, z.expand(len(rows), -1)), 1) for z in noise
            ]
            found.append(torch.stack(draws).mean(0).numpy())
        return np.concatenate(found)


@dataclass(frozen=True)
class Generation:
    """Labels for m pool rows and c copies; ``score`` is the log-odds of D for the label given.

    ``foreign`` rows are of none of the classes, see :mod:`react_ray.lgan.out_of_scope`: their weight is 0.
    """

    labels: Probabilities
    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    foreign: NDArray[np.bool_]
    copy_weight: NDArray[np.float32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Pool rows whose label is believed enough to be used, m."""
        return self.weight > 0

    def save(self, folder: Path) -> None:
        """Write ``labels.safetensors`` in one step."""
        save_arrays(dict(vars(self)), folder / "labels.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Generation:
        """Read what :meth:`save` wrote."""
        return cls(**load_file(folder / "labels.safetensors"))


@dataclass(frozen=True)
class Believed:
    """What G_y with its neighbours, D, and both as equals believe of the unlabelled rows, m x K."""

    given: Probabilities
    judged: Probabilities
    joined: Probabilities


def believe(
    inputs: LganInputs,
    labeler: Labeler,
    smoothing: float,
    words: Features | None,
    verifier: bool,
    progress: Progress | None = None,
) -> Believed:
    """Ask G_y and the neighbours for labels, and D what it thinks; without a ``verifier`` D has no say."""
    rows = inputs.unlabeled
    given = labeler.predict_proba(rows)
    if len(rows):
        given = smooth(given, nearest(rows, rows, neighbour_count(len(rows), inputs.classes)), smoothing)
    judged = judge(inputs, given, words, progress) if verifier and len(rows) else given
    return Believed(given, judged, product(given, judged, 0.5))


def generate_labels(
    inputs: LganInputs,
    labeler: Labeler,
    believed: Believed,
    homophily: float,
    right: NDArray[np.bool_] | None = None,
    foreign: NDArray[np.bool_] | None = None,
) -> Generation:
    """Labels with weights and D's verdicts; ``right`` is as in :func:`expected_accuracy`.

    ``foreign`` rows (m) get no weight.
    """
    joined, copies = believed.joined, inputs.augmented
    best = joined.argmax(1)
    calibrated = joined
    if len(joined):
        calibrated = calibrate(joined, expected_accuracy(joined, homophily, right))
    floor = max(FLOOR, 1.2 / inputs.classes)
    foreign = np.zeros(len(joined), bool) if foreign is None else foreign
    rejected = foreign | (joined.max(1, initial=0) < floor)
    meant = inputs.augmented_labels[:, None]
    copies_believed = np.take_along_axis(labeler.predict_proba(copies), meant, 1)[:, 0]
    return Generation(
        labels=_sharpen(joined),
        score=_log_odds(believed.judged, best),
        weight=np.where(rejected, 0, calibrated.max(1, initial=0)).astype(np.float32),
        foreign=foreign,
        copy_weight=(COPY_WEIGHT * copies_believed).astype(np.float32),
    )


def _sharpen(probabilities: Probabilities) -> Probabilities:
    powers = probabilities**SHARPENING
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def _log_odds(judged: Probabilities, labels: Indices) -> NDArray[np.float32]:
    """Of one label a row: log p - log(1 - p), above 0 where D takes the pair for real."""
    believed = judged.astype(np.float64)[np.arange(len(labels)), labels].clip(1e-6, 1 - 1e-6)
    return (np.log(believed) - np.log1p(-believed)).astype(np.float32)


def augmented_table(
    inputs: LganInputs,
    generation: Generation,
    labeled: pa.Table,
    unlabeled: pa.Table,
    copies: pa.Table,
) -> pa.Table:
    """D_aug: columns of the rows, label (distribution), weight, origin, score; rejected rows are left out.

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
    given = [None] * (len(labeled) + len(copies))
    origins = ("labeled", "augmented", "generated")
    return pa.table(
        {
            **dict(zip(rows.column_names, rows.columns, strict=True)),
            "label": _lists(np.vstack(labels)),
            "weight": pa.array(np.concatenate(weights).astype(np.float64)),
            "origin": pa.array(np.repeat(origins, [len(part) for part in labels]).tolist(), pa.string()),
            "score": pa.array(given + generation.score[kept].tolist(), pa.float64()),
        }
    )


def _lists(rows: Probabilities) -> pa.Array:
    """Rows as a column of lists, without a Python object a number: there are rows times classes of them."""
    starts = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return pa.LargeListArray.from_arrays(starts, rows.ravel().astype(np.float64)).cast(pa.list_(pa.float64()))


def left_out_table(
    generation: Generation, names: Sequence[str], ids: Sequence[str], texts: Sequence[str]
) -> pa.Table:
    """Unlabelled rows that are not in D_aug: id, text, likeliest label, its probability, reason."""
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
    """D_aug with the weights of its generated rows drawn apart; their sum stays."""
    weights = table["weight"].to_numpy().copy()
    generated = pc.equal(table["origin"], "generated").to_numpy()
    apart = weights[generated] ** CAUTION
    weights[generated] = apart * (weights[generated].sum() / max(apart.sum(), 1e-12))
    return table.set_column(table.schema.get_field_index("weight"), "weight", pa.array(weights))
