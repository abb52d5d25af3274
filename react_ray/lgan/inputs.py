"""Inputs of the label GAN: frozen features, label indices, class names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from react_ray.data.views import SENTENCE, View
from react_ray.errors import InputError
from react_ray.folders import replace_file

__all__ = ["Features", "Indices", "LganInputs", "Probabilities", "save_arrays"]

Features = NDArray[np.float32]
"""n x d, rows of norm 1: blocks of equal width and norm, see :mod:`react_ray.data.views`."""
NUMBERS = ("blocks", "plain")
"""Fields of :class:`LganInputs` that are no arrays."""
Indices = NDArray[np.int64]
"""n class indices."""
Probabilities = NDArray[np.float32]
"""n x K, rows that sum to 1."""


def _no_rows() -> Features:
    return np.zeros((0, 0), np.float32)


def _no_labels() -> Indices:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class LganInputs:
    """Frozen features of all rows and of the K class names, and the known labels.

    All except ``names`` may have no rows, and a class needs no labelled row. Raises InputError if shapes do
    not match, a value is not finite or a label is not a class.

    ``blocks`` are those of a row, BLOCKS for each encoder; ``plain`` is the encoder that the plain methods
    get, to which the teacher gives most weight.
    """

    labeled: Features
    labels: Indices
    unlabeled: Features
    names: Features
    augmented: Features = field(default_factory=_no_rows)
    augmented_labels: Indices = field(default_factory=_no_labels)
    validation: Features = field(default_factory=_no_rows)
    validation_labels: Indices = field(default_factory=_no_labels)
    blocks: int = 1
    plain: int = 0

    def __post_init__(self) -> None:
        width = self.names.shape[1]
        for name, value in self._arrays().items():
            kind = np.int64 if name.endswith("labels") else np.float32
            shape = (0,) if kind is np.int64 else (0, width)
            array = np.ascontiguousarray(value, kind) if len(value) else np.zeros(shape, kind)
            object.__setattr__(self, name, array)
        for name, labels in (
            ("labeled", self.labels),
            ("augmented", self.augmented_labels),
            ("validation", self.validation_labels),
        ):
            self._check(name, getattr(self, name), labels)
        self._check("unlabeled", self.unlabeled, None)
        self._check("names", self.names, None)
        if width % self.blocks:
            raise InputError(f"features of width {width} cannot be split into {self.blocks} blocks")
        if self.classes < 2:
            raise InputError(f"found {self.classes} class; a classifier needs at least 2")

    def _check(self, name: str, rows: Features, labels: Indices | None) -> None:
        if rows.ndim != 2 or rows.shape[1] != self.names.shape[1]:
            raise InputError(
                f"{name} features have shape {rows.shape}; expected n x {self.names.shape[1]} "
                "like the class names: encode both with the same encoder"
            )
        if not np.isfinite(rows).all():
            raise InputError(f"{name} features have values that are not finite: encode the rows again")
        if labels is None:
            return
        if len(labels) != len(rows):
            raise InputError(f"{len(rows)} {name} rows have {len(labels)} labels; expected one each")
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.classes:
            raise InputError(f"{name} labels must be 0 to {self.classes - 1}; found {labels.max()}")

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.names)

    @property
    def sentence(self) -> View:
        """The view of the plain methods: the sentence embeddings of the encoder ``plain``."""
        return replace(SENTENCE, encoder=self.plain)

    @property
    def pool(self) -> Features:
        """Rows to label: the unlabelled ones, or without them the copies."""
        return self.unlabeled if len(self.unlabeled) else self.augmented

    def seen_as(self, view: View) -> LganInputs:
        """Return the same rows with the features of one view."""
        rows = ("labeled", "unlabeled", "names", "augmented", "validation")
        seen: dict[str, Any] = {name: view.of(getattr(self, name), self.blocks) for name in rows}
        return replace(self, **seen, blocks=1, plain=0)

    def save(self, folder: Path) -> None:
        """Write ``inputs.safetensors`` atomically."""
        arrays = self._arrays() | {name: np.array(getattr(self, name)) for name in NUMBERS}
        save_arrays(arrays, folder / "inputs.safetensors")

    @classmethod
    def load(cls, folder: Path) -> LganInputs:
        """Read the file of :meth:`save`."""
        arrays: dict[str, Any] = load_file(folder / "inputs.safetensors")
        return cls(**{**arrays, **{name: arrays[name].item() for name in NUMBERS}})

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name: value for name, value in vars(self).items() if name not in NUMBERS}


def save_arrays(arrays: dict[str, NDArray[Any]], target: Path) -> None:
    """Write ``arrays`` to the safetensors file ``target`` atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    replace_file(target, lambda temporary: save_file(contiguous, temporary))
