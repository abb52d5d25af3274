"""Classes of a run in a fixed order, saved with every artefact."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelMap"]


@dataclass(frozen=True)
class LabelMap:
    """Class names in their fixed order (sorted), with optional descriptions.

    The position of a name is its class index everywhere: in the LGAN, in the
    columns of a label distribution and in ``config.id2label`` of the model.
    """

    names: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], descriptions: Mapping[str, str] | None = None) -> LabelMap:
        """Make a map of all ``names`` and all described classes, sorted."""
        described = dict(descriptions or {})
        return cls(tuple(sorted({*names, *described})), described)

    def __len__(self) -> int:
        return len(self.names)

    def indices(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return the class indices of ``labels``; KeyError names the first unknown one."""
        position = {name: i for i, name in enumerate(self.names)}
        return np.array([position[label] for label in labels], dtype=np.int64)

    def texts(self) -> list[str]:
        """Return a text for each class: its description, or its name spelt out."""
        return [self.descriptions.get(name) or spell_out(name) for name in self.names]

    def save(self, path: Path) -> None:
        """Write the map as JSON."""
        content = {"names": list(self.names), "descriptions": dict(self.descriptions)}
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> LabelMap:
        """Load a map that :meth:`save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["names"]), content["descriptions"])


def spell_out(name: str) -> str:
    """Turn an identifier into words: ``card_arrival`` → ``card arrival``."""
    for mark in "_/:-":
        name = name.replace(mark, " ")
    return " ".join(name.split())
