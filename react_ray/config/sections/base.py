"""Base class of all settings, and types that several sections share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Settings"]

Count = Annotated[int, Field(ge=0, strict=True)]
"""A non-negative integer, for unions with words; strict, so that true and false are rejected."""


class Settings(BaseModel):
    """Immutable settings; unknown keys are rejected.

    Every field has a description, which ``react-ray settings`` and validation errors print.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    def only(self, keys: Collection[str]) -> Self:
        """A copy that has the settings ``keys`` alone; reading any other raises AttributeError.

        Keys are names of settings or groups, or dotted names of settings in a group.
        """
        restricted = self.model_copy()
        for name in type(self).model_fields:
            inner = [subkey for key in keys for head, _, subkey in [key.partition(".")] if head == name]
            if not inner:
                del restricted.__dict__[name]
            elif "" not in inner:
                restricted.__dict__[name] = getattr(self, name).only(inner)
        return restricted

    @classmethod
    def partial(cls, values: Mapping[str, Any]) -> Self:
        """The settings in ``values``, checked; reading any other raises AttributeError."""
        return cls.model_validate(values).only(values)
