"""Which models a setting stands for: one by name, several, or the embedded ones that are installed."""

from __future__ import annotations

from collections.abc import Sequence

from react_ray.config.settings import AUTO, EMBEDDED, MULTILINGUAL, SCRATCH
from react_ray.models.multilingual import installed

__all__ = ["embedded_models", "encoder_choices", "encoder_setting", "encoding_model", "model_choices"]


def embedded_models() -> tuple[str, ...]:
    """Return the names of the embedded models that are installed, the English one first."""
    return (EMBEDDED, MULTILINGUAL) if installed() else (EMBEDDED,)


def model_choices(model: str) -> tuple[str, ...]:
    """Return the models that the setting ``model`` may stand for."""
    return embedded_models() if model == AUTO else (model,)


def encoding_model(model: str, generates: bool) -> str:
    """Return the setting ``model`` for the choice of encoders: one that generates texts encodes none."""
    return SCRATCH if generates else model


def encoder_choices(encoder: str | Sequence[str] | None, model: str) -> tuple[str, ...]:
    """Return the models that the setting ``encoder`` may stand for, beside the setting ``model``.

    >>> encoder_choices("auto", "some/model"), encoder_choices(["embedded", "some/model"], "embedded")
    (('some/model',), ('embedded', 'some/model'))
    """
    if encoder is None and model != SCRATCH:
        return model_choices(model)
    if encoder in (None, AUTO):
        return embedded_models() if model in (AUTO, EMBEDDED, MULTILINGUAL, SCRATCH) else (model,)
    return (encoder,) if isinstance(encoder, str) else tuple(encoder)


def encoder_setting(encoder: str | Sequence[str] | None, model: str) -> str | tuple[str, ...]:
    """Return ``encoder`` in its one form: auto where several may be used, else the names of all that are."""
    choices = encoder_choices(encoder, model)
    return AUTO if encoder in (None, AUTO) and len(choices) > 1 else choices
