"""Learning rate of the embedded models in tasks whose head is new."""

from __future__ import annotations

from typing import Any

from react_ray.config.settings import AUTO, EMBEDDED, MULTILINGUAL

__all__ = ["small_model_rate"]

SMALL_MODELS = (EMBEDDED, MULTILINGUAL, AUTO)
RATE = 2e-4
"""At the usual rate, small models hardly learn a head that starts from random weights."""


def small_model_rate(model: str) -> dict[str, Any]:
    """Return settings of ``finetune``: a higher learning rate if ``model`` is an embedded one.

    Example
    -------
    >>> small_model_rate("embedded"), small_model_rate("roberta-base")
    ({'lr': 0.0002}, {})
    """
    return {"lr": RATE} if model in SMALL_MODELS else {}
