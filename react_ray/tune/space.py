"""What a search tries: settings by their dotted keys, each with a range or choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from react_ray.config.file import with_settings
from react_ray.config.problems import groups_of, settings_of, suggest
from react_ray.config.settings import Config, Range
from react_ray.errors import ConfigError
from react_ray.tasks import get_task

__all__ = ["Space", "Values", "corners", "find_space", "holds", "values_of"]

Space = Mapping[str, Range | Sequence[Any]]
"""Dotted key of a setting -> the values to try."""
Values = dict[str, Any]
"""Dotted key of a setting -> its value in a trial."""

GROUPS = ("augment", "candidates", "encode", "lgan", "finetune")
METRIC = "finetune.metric"
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
_POPULATION: dict[str, Range | Sequence[Any]] = {
    "finetune.lr": _FINETUNE["finetune.lr"],
    "finetune.weight_decay": Range(low=1e-3, high=0.3, log=True),
}
ON_THE_WAY = ("finetune.lr", "finetune.weight_decay", "finetune.max_grad_norm", "finetune.dropout")
"""What population based training may change between two rounds of one model's training."""
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
    population = config.tune.scheduler == "pbt"
    if population and (config.tune.stage, config.tune.repeats) != ("finetune", 1):
        raise ConfigError(
            "tune.scheduler = pbt: it changes settings while a model is fine-tuned; set "
            "tune.stage to finetune and tune.repeats to 1"
        )
    space = config.tune.space or (_POPULATION if population else _default(config))
    for key in space:
        _check_key(key)
        if population and key not in ON_THE_WAY:
            allowed = ", ".join(ON_THE_WAY)
            raise ConfigError(
                f"tune.space: {key} cannot change on the way (tune.scheduler = pbt): {allowed} can"
            )
    return {key: _typed(config, key, values) for key, values in space.items()}


def _default(config: Config) -> Space:
    """The space of a stage, without settings of a labeler that the task does not use."""
    space = DEFAULTS[config.tune.stage]
    if get_task(config.task).labeler == "label_gan":
        return space
    return {key: values for key, values in space.items() if not key.startswith("lgan.")}


def _check_key(key: str) -> None:
    groups, settings = groups_of(Config), settings_of(Config)
    if key in groups:
        example = next(setting for setting in settings if setting.startswith(f"{key}.") or not key)
        raise ConfigError(f"tune.space: {key} is a group of settings: name one of them, such as {example}")
    if key == METRIC:
        raise ConfigError(f"tune.space: {key} cannot be searched: trials are compared by it")
    if key.split(".")[0] in GROUPS or key in KEYS:
        if key not in settings:
            raise ConfigError(f"tune.space: unknown setting {key!r}{suggest(key, Config)}")
        return
    allowed = ", ".join([*(f"{name}.*" for name in GROUPS), *KEYS])
    meant = "" if key in settings else suggest(key, Config)
    hint = meant if meant.startswith("; did you mean") else ""
    raise ConfigError(f"tune.space: {key} cannot be searched; allowed are {allowed}{hint}")


def _typed(config: Config, key: str, values: Range | Sequence[Any]) -> Range | list[Any]:
    """``values`` as the setting holds them: 1 is true for a switch, 8.0 is 8 for a whole number.

    Raises ConfigError where the setting takes one of them not, or has no values in between.
    """
    try:
        taken = [values_of(with_settings(config, {key: value}), [key])[key] for value in corners(values)]
    except ConfigError as error:
        raise ConfigError(f"tune.space: {error}") from None
    if not isinstance(values, Range):
        return [value for number, value in enumerate(taken) if value not in taken[:number]]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in taken):
        raise ConfigError(f"tune.space: {key} has no values between two: give a list of values")
    whole = all(isinstance(value, int) for value in taken)
    return values.model_copy(update={"low": taken[0], "high": taken[1]}) if whole else values


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


def values_of(config: Config, space: Iterable[str]) -> Values:
    """What ``config`` itself has for the keys of ``space``."""
    known = config.model_dump(mode="json")
    found = {}
    for key in space:
        value: Any = known
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found
