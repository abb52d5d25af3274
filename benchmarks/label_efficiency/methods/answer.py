"""What a method may say besides its test probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.label_efficiency.signals import Signals
from react_ray.lgan import Generation
from react_ray.lgan.inputs import Probabilities

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """Test probabilities (n x K), details for JSON, labels made for the pool and signals of their worth."""

    probabilities: Probabilities
    details: dict[str, Any] = field(default_factory=dict)
    made: Generation | None = None
    signals: Signals = field(default_factory=dict)
