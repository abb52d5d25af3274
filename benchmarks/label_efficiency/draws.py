"""One draw as methods see it: a few labels, a pool and a test set without any."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.datasets import NONE, LabelsPerClass, draw_rows, labelled_classes
from benchmarks.label_efficiency.features import Stored
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.lgan.inputs import Features, Indices
from react_ray.tasks.labels import LabelMap

__all__ = ["Draw", "Part", "Truth", "cut", "labeled_rows"]


@dataclass(frozen=True)
class Part:
    """Texts and what the encoder says of them: rows (n x 3d), and sentence embeddings (n x d)."""

    texts: list[str]
    rows: Features
    blocks: int = BLOCKS

    @property
    def features(self) -> Features:
        """What all methods get but the label GAN, which gets ``rows``."""
        return SENTENCE.of(self.rows, self.blocks)

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Draw:
    """All that a method may know. The labels of pool and test rows are not here.

    ``labels`` are the class indices of the labelled rows, ``names`` the rows of the
    K classes' names as texts, ``prompted`` what a run takes for them. ``copies`` are rows
    of changed copies of labelled rows, ``copies_of`` the place among the labelled rows of
    the row that each was made from.
    """

    dataset: str
    seed: int
    encoder: str
    classes: LabelMap
    names: Features
    prompted: Features
    labeled: Part
    labels: Indices
    copies: Features
    copies_of: Indices
    pool: Part
    test: Part
    blocks: int = BLOCKS


@dataclass(frozen=True)
class Truth:
    """Class indices of the pool (-1: none of the classes) and of the test rows: for judging."""

    pool: Indices
    test: Indices


def cut(
    stored: Stored, labels_per_class: LabelsPerClass, seed: int, pool: int, test: int | None
) -> tuple[Draw, Truth]:
    """The draw of this size and seed, and what is held back of it."""
    train, classes = stored.train, stored.classes
    rows = draw_rows(
        train, stored.test, labels_per_class=labels_per_class, pool=pool, test_rows=test, seed=seed
    )
    of_class = rows.labeled["label"].isin(labelled_classes(stored.name, classes))
    rows = replace(rows, labeled=rows.labeled[of_class])
    labeled, unlabeled, held_out = (part.index.to_numpy(np.int64) for part in vars(rows).values())
    place = np.full(len(train), -1)
    place[labeled] = np.arange(len(labeled))
    of = place[stored.copies.of]
    order = np.flatnonzero(of >= 0)
    order = order[np.argsort(of[order], kind="stable")]
    draw = Draw(
        dataset=stored.name,
        seed=seed,
        encoder=stored.encoder,
        classes=classes,
        names=stored.names,
        prompted=stored.prompted,
        labeled=Part(rows.labeled["text"].tolist(), stored.train_features[labeled], stored.blocks),
        labels=classes.indices(rows.labeled["label"].tolist()),
        copies=stored.copies.features[order],
        copies_of=of[order].astype(np.int64),
        pool=Part(rows.pool["text"].tolist(), stored.train_features[unlabeled], stored.blocks),
        test=Part(rows.test["text"].tolist(), stored.test_features[held_out], stored.blocks),
        blocks=stored.blocks,
    )
    position = {name: index for index, name in enumerate(classes.names)} | {NONE: -1}
    truth = (part["label"].map(position).to_numpy(np.int64) for part in (rows.pool, rows.test))
    return draw, Truth(*truth)


def labeled_rows(stored: Stored, labels_per_class: LabelsPerClass, seed: int) -> list[int]:
    """The training rows that have a label in a draw, whatever its pool."""
    rows = draw_rows(
        stored.train, stored.test, labels_per_class=labels_per_class, pool=0, test_rows=0, seed=seed
    )
    return rows.labeled.index.tolist()
