"""What a method may say besides its test probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency.signals import Signals
from react_ray.lgan import Generation
from react_ray.lgan.inputs import Probabilities

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """Test probabilities (n x K) and details for JSON.

    Of a method that makes labels: those, signals of their worth and the estimated class ``balance`` (K).
    """

    probabilities: Probabilities
    details: dict[str, Any] = field(default_factory=dict)
    made: Generation | None = None
    signals: Signals = field(default_factory=dict)
    balance: NDArray[np.floating] = field(default_factory=lambda: np.zeros(0))
