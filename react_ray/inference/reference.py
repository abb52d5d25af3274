"""Reference distribution for drift detection: the model's answers for a sample of texts.

``reference.json`` in the folder of a model has the share of texts whose answer contains
each class ("": none), and histograms of scores and of lengths.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    """Shares of values in the bins between ``edges``, including those below the first and above the last."""

    edges: list[float]
    shares: list[float]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins")

    @classmethod
    def of(cls, values: ArrayLike) -> Histogram:
        """Make bins of equal shares, as far as ties allow, and an empty one on each side."""
        inner = np.quantile(np.asarray(values, float), np.linspace(0, 1, BINS + 1))
        edges = np.unique([*inner[:-1], np.nextafter(inner[-1], np.inf)])
        return cls(edges.tolist(), (count(values, edges) / np.size(values)).tolist())


@dataclass(frozen=True)
class Reference:
    """Distributions of classes, scores and lengths in a sample of texts."""

    texts: int
    labels: dict[str, float]
    scores: Histogram
    lengths: Histogram


def count(values: ArrayLike, edges: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the ``values`` in each of the ``len(edges) + 1`` bins."""
    bins = np.searchsorted(np.asarray(edges, float), np.asarray(values, float), side="right")
    return np.bincount(bins, minlength=len(edges) + 1)


def measure(
    names: Sequence[Collection[str]], scores: ArrayLike, lengths: Sequence[int], classes: Sequence[str]
) -> Reference:
    """Compute the reference of texts whose answers contain the classes ``names`` ("" for none).

    ``scores`` are those of the answers, ``lengths`` in tokens, ``classes`` all classes of the model.
    """
    named = Counter(name for answered in names for name in set(answered) or ("",))
    all_classes = [*classes, *sorted(named.keys() - set(classes))]
    return Reference(
        len(names),
        {name: named[name] / len(names) for name in all_classes},
        Histogram.of(scores),
        Histogram.of(lengths),
    )


def spread(rows: Sequence[Any]) -> list[Any]:
    """Select at most MOST_TEXTS of ``rows``, evenly spaced, because a file may be sorted."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_TEXTS)).astype(int))
    return [rows[place] for place in places]


def write_reference(folder: Path, model: Path, inputs: Sequence[Any], use_gpu: bool) -> None:
    """Compute the reference of ``model`` on ``inputs`` and write it to ``folder``, unless there are none.

    An input is a text, or an object with the task's input columns.
    """
    if not len(inputs):
        return
    from react_ray.inference.classifier import load

    classifier = load(model, use_gpu)
    rows = classifier.rows(inputs)
    examples = classifier.examples(rows)
    answers = classifier.decode(classifier.run(examples), examples, rows, 1)
    lengths = [0] * len(rows)
    for example in examples:
        lengths[example.row] += len(example.ids)
    names = [classifier.task.names_in(answer.value) for answer in answers]
    reference = measure(names, [answer.score for answer in answers], lengths, classifier.labels)
    (folder / FILE).write_text(json.dumps(asdict(reference), ensure_ascii=False, indent=1), encoding="utf-8")


def load_reference(folder: Path) -> Reference | None:
    """Load the reference of the model in ``folder``; None if it has no valid one."""
    try:
        return TypeAdapter(Reference).validate_json((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
