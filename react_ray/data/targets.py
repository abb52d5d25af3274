"""Targets of rows of any task: comparison by a key, and counts by class."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from react_ray.tasks import Task

__all__ = ["Targets", "canonical_json"]

SHOWN_CHARS = 80


def canonical_json(value: Any) -> str:
    """Serialize a value so that equal values give equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class Targets:
    """Operations on the targets of a task by their keys.

    The key of a target that is a string is the string; of any other it is the canonical JSON.
    """

    def __init__(self, task: Task):
        self.task = task
        self._plain = pa.types.is_string(task.target.type)
        self._names: dict[str, tuple[str, ...]] = {}

    @property
    def word(self) -> str:
        """Plural noun for targets in messages."""
        return "labels" if self.task.target.name == "label" else "targets"

    def key(self, target: Any) -> str | None:
        """Return the key of a target, or None."""
        return target if target is None or self._plain else canonical_json(target)

    def keys(self, column: pa.ChunkedArray) -> list[str | None]:
        """Return the keys of a column of targets."""
        return [self.key(target) for target in column.to_pylist()]

    def of(self, key: str) -> Any:
        """Return the target with this key."""
        return key if self._plain else json.loads(key)

    def names(self, key: str) -> tuple[str, ...]:
        """Return the distinct classes in a target."""
        if key not in self._names:
            self._names[key] = tuple(dict.fromkeys(self.task.names_in(self.of(key))))
        return self._names[key]

    def shown(self, key: str) -> str:
        """Format a target for messages."""
        words = self.task.shown(self.of(key))
        return words if self._plain or len(words) <= SHOWN_CHARS else f"{words[:SHOWN_CHARS]}…"

    def count(self, keys: Iterable[str]) -> Counter[str]:
        """Count the targets that contain each class."""
        return Counter(name for key in keys for name in self.names(key))

    def evidence(self, keys: Sequence[str]) -> int:
        """Return the number of evaluated units in some targets, see :meth:`Task.evidence`."""
        return self.task.evidence([self.of(key) for key in keys])

    def strata(self, keys: Sequence[str]) -> list[str]:
        """Return the rarest class of each target, "" where it has none."""
        counts = self.count(keys)
        return [min(self.names(key), key=lambda name: (counts[name], name), default="") for key in keys]
