"""Rows and their features, aligned and grouped by the parts of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from react_ray.data.encode import load_features
from react_ray.data.views import BLOCKS
from react_ray.folders import replace_file
from react_ray.tasks.labels import LabelMap

__all__ = ["EncodedRows", "load_models", "save_models"]

MODELS = "encoders.json"


@dataclass(frozen=True)
class EncodedRows:
    """Features that the label GAN is trained on; arrays are aligned with ``rows``.

    ``rows`` has id, label, part and truth (no texts); ``matrix`` is n x d;
    ``augmented`` holds the copies of labelled texts (a x d) and ``augmented_labels``
    their class indices; ``names`` is K x d, one row a class. Each row has ``blocks`` blocks.
    """

    labels: LabelMap
    rows: pd.DataFrame
    matrix: NDArray[np.float32]
    augmented: NDArray[np.float32]
    augmented_labels: NDArray[np.int64]
    names: NDArray[np.float32]
    blocks: int

    @classmethod
    def load(cls, prepared: Path, augmented: Path, encoded: Path) -> EncodedRows:
        """Load the outputs of the stages prepare, augment and encode."""
        labels = LabelMap.load(prepared / "labels.json")
        columns = ["id", "label", "part", "truth"]
        copies = pq.read_table(augmented / "rows.parquet", columns=["label"])["label"].to_pylist()
        names = load_features(encoded / "names")
        return cls(
            labels=labels,
            rows=pq.read_table(prepared / "rows.parquet", columns=columns).to_pandas(),
            matrix=load_features(encoded / "rows"),
            augmented=load_features(encoded / "augmented").reshape(-1, names.shape[1]),
            augmented_labels=labels.indices(copies),
            names=names,
            blocks=BLOCKS * len(load_models(encoded)),
        )

    def of(self, part: str) -> NDArray[np.float32]:
        """Return the features of one part: labeled, unlabeled, validation or test."""
        return self.matrix[(self.rows["part"] == part).to_numpy()]

    def targets(self, part: str) -> NDArray[np.int64]:
        """Return the class indices of one labelled part."""
        return self.labels.indices(self.rows.loc[self.rows["part"] == part, "label"].tolist())


def save_models(models: Sequence[str], folder: Path) -> None:
    """Write which models make the features in ``folder``."""
    replace_file(
        folder / MODELS, lambda temporary: temporary.write_text(json.dumps(list(models)), encoding="utf-8")
    )


def load_models(folder: Path) -> tuple[str, ...]:
    """Return the models that made the features in ``folder``; none if it was left before they began."""
    file = folder / MODELS
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else ()
