"""Base class of all settings, and types that several sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Settings"]

Count = Annotated[int, Field(ge=0, strict=True)]
"""A non-negative integer, for unions with words; strict, so that true and false are rejected."""


class Settings(BaseModel):
    """Immutable settings; unknown keys are rejected.

    Every field has a description, which ``react-ray settings`` and validation errors print.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
