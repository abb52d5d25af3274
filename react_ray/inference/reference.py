"""What the training data look like to the model: what a service compares its own texts with.

``reference.json`` in the folder of a model holds, of a sample of texts, the shares of
the labels the model gives them, and histograms of its best score and of their length.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter

__all__ = [
    "FEW_TEXTS",
    "FILE",
    "Histogram",
    "Reference",
    "load_reference",
    "measure",
    "spread",
    "write_reference",
]

FILE = "reference.json"
MOST_TEXTS = 500
"""Texts that are looked at: enough for shares of a tenth to be right within some points."""
FEW_TEXTS = 200
"""Fewer test rows than these are not enough: texts of the pool are taken, though training has seen them."""
BINS = 10


@dataclass(frozen=True)
class Histogram:
    """Shares between ``edges``: below the first, from one to the next, from the last on."""

    edges: list[float]
    shares: list[float]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins")

    @classmethod
    def of(cls, values: ArrayLike) -> Histogram:
        """Bins of equal shares, as far as equal values allow, and one on each side for what never was."""
        inner = np.quantile(np.asarray(values, float), np.linspace(0, 1, BINS + 1))
        edges = np.unique([*inner[:-1], np.nextafter(inner[-1], np.inf)])
        return cls(edges.tolist(), (count(values, edges) / np.size(values)).tolist())


@dataclass(frozen=True)
class Reference:
    """A sample of training texts as the model sees them."""

    texts: int
    labels: dict[str, float]
    scores: Histogram
    lengths: Histogram


def count(values: ArrayLike, edges: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """How many ``values`` are in each of the ``len(edges) + 1`` bins."""
    bins = np.searchsorted(np.asarray(edges, float), np.asarray(values, float), side="right")
    return np.bincount(bins, minlength=len(edges) + 1)


def measure(probabilities: NDArray[np.float32], lengths: Sequence[int], labels: Sequence[str]) -> Reference:
    """The reference of texts with these ``probabilities`` (n x labels) and ``lengths`` in tokens."""
    best = probabilities.argmax(1)
    shares = np.bincount(best, minlength=len(labels)) / len(best)
    return Reference(
        len(best),
        dict(zip(labels, shares.tolist(), strict=True)),
        Histogram.of(probabilities.max(1)),
        Histogram.of(lengths),
    )


def spread(texts: Sequence[str]) -> list[str]:
    """MOST_TEXTS of ``texts`` at most, from all over them: a file may be sorted."""
    rows = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), MOST_TEXTS)).astype(int))
    return [texts[row] for row in rows]


def write_reference(folder: Path, model: Path, texts: Sequence[str], use_gpu: bool) -> None:
    """Measure ``model`` on ``texts`` and write it to ``folder``; nothing without texts."""
    if not texts:
        return
    from react_ray.inference.classifier import load

    classifier = load(model, use_gpu)
    encoded = classifier.encode(texts)
    found = measure(classifier.probabilities(encoded), [len(ids) for ids in encoded], classifier.labels)
    (folder / FILE).write_text(json.dumps(asdict(found), ensure_ascii=False, indent=1), encoding="utf-8")


def load_reference(folder: Path) -> Reference | None:
    """The reference of the model in ``folder``; None where it has none that can be read."""
    try:
        return TypeAdapter(Reference).validate_json((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
