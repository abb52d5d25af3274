"""What a search tries: settings by their dotted keys, each with a range or choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from react_ray.config import Config, Range
from react_ray.config_file import with_settings
from react_ray.errors import ConfigError

__all__ = ["Space", "Values", "corners", "find_space", "holds", "values_of"]

Space = Mapping[str, Range | Sequence[Any]]
"""Dotted key of a setting -> the values to try."""
Values = dict[str, Any]
"""Dotted key of a setting -> its value in a trial."""

GROUPS = ("augment", "encode", "lgan", "finetune")
KEYS = ("model", "encoder")
"""What may be searched. Data and seeds are no hyperparameters, and where a run works changes no figure."""

_FINETUNE: dict[str, Range | Sequence[Any]] = {
    "finetune.lr": Range(low=1e-5, high=2e-4, log=True),
    "finetune.token_budget": (40_000, 80_000, 160_000),
    "finetune.batch_size": (8, 16, 32),
}
_LGAN: dict[str, Range | Sequence[Any]] = {
    "lgan.names": (True, False),
    "lgan.rounds": Range(low=1, high=10),
    "lgan.lr_labels": Range(low=1e-5, high=1e-3, log=True),
    "lgan.consistency": (0.0, 0.5),
    "lgan.adversarial": (0.0, 0.05),
}
_AUGMENT: dict[str, Range | Sequence[Any]] = {
    "augment.copies": (0, 4, 8),
    "augment.strength": Range(low=0.05, high=0.3),
}
DEFAULTS: Mapping[str, Space] = {
    "finetune": _FINETUNE,
    "lgan": _LGAN | _AUGMENT,
    "run": {
        **_AUGMENT,
        **{key: _LGAN[key] for key in ("lgan.names", "lgan.rounds")},
        **{key: _FINETUNE[key] for key in ("finetune.lr", "finetune.token_budget")},
    },
}


def find_space(config: Config) -> Space:
    """The space that ``config`` asks for, each value in it tried against the settings' own limits.

    Raises ConfigError that names the key.
    """
    space = config.tune.space or DEFAULTS[config.tune.stage]
    for key, values in space.items():
        group = key.split(".")[0]
        if group not in GROUPS and key not in KEYS:
            allowed = ", ".join([*(f"{name}.*" for name in GROUPS), *KEYS])
            raise ConfigError(f"tune.space: {key} cannot be searched; allowed are {allowed}")
        _check(key, values)
        for value in corners(values):
            try:
                with_settings(config, {key: value})
            except ConfigError as error:
                raise ConfigError(f"tune.space: {error}") from None
    return space


def _check(key: str, values: Range | Sequence[Any]) -> None:
    if not isinstance(values, Range):
        if not values:
            raise ConfigError(f"tune.space: {key} has no value to try; give a list, or low and high")
    elif values.low >= values.high:
        raise ConfigError(f"tune.space: {key}: low = {values.low} is not below high = {values.high}")
    elif values.log and values.low <= 0:
        raise ConfigError(f"tune.space: {key}: low = {values.low}, but a logarithmic range starts above 0")


def corners(values: Range | Sequence[Any]) -> list[Any]:
    """The ends of a range, or all choices."""
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def holds(space: Space, values: Values) -> bool:
    """Whether ``values`` could be drawn from ``space``."""

    def within(given: Range | Sequence[Any], value: Any) -> bool:
        if not isinstance(given, Range):
            return value in given
        return isinstance(value, int | float) and given.low <= value <= given.high

    return all(within(space[key], value) for key, value in values.items())


def values_of(config: Config, space: Space) -> Values:
    """What ``config`` itself has for the keys of ``space``."""
    known = config.model_dump(mode="json")
    found = {}
    for key in space:
        value: Any = known
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found
