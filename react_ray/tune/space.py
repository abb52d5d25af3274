"""Search space: settings by dotted key, each with a range or choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from react_ray.config.file import with_settings
from react_ray.config.problems import groups_of, settings_of, suggest
from react_ray.config.settings import Config, Range
from react_ray.errors import ConfigError
from react_ray.pipeline.run import check_task
from react_ray.tasks import get_task

__all__ = ["Space", "Values", "corners", "find_space", "holds", "values_of"]

Space = Mapping[str, Range | Sequence[Any]]
"""Dotted key of a setting -> values to try."""
Values = dict[str, Any]
"""Dotted key of a setting -> its value in a trial."""

SEARCHABLE_GROUPS = ("augment", "candidates", "encode", "lgan", "finetune")
METRIC = "finetune.metric"
SEARCHABLE_KEYS = ("model", "encoder")
"""Settings that can be searched, with those in SEARCHABLE_GROUPS; others are not hyperparameters."""

_FINETUNE: dict[str, Range | Sequence[Any]] = {
    "finetune.lr": Range(low=1e-5, high=2e-4, log=True),
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
CHANGEABLE_KEYS = ("finetune.lr", "finetune.weight_decay", "finetune.max_grad_norm", "finetune.dropout")
"""Settings that population based training can change during the training of a model."""
DEFAULTS: Mapping[str, Space] = {
    "finetune": _FINETUNE,
    "lgan": _LGAN | _AUGMENT,
    "run": {
        **_AUGMENT,
        **{key: _LGAN[key] for key in ("lgan.names", "lgan.rounds")},
        "finetune.lr": _FINETUNE["finetune.lr"],
    },
}


def find_space(config: Config) -> Space:
    """Return the search space of ``config``, with all values validated. Raises ConfigError."""
    is_population = config.tune.scheduler == "pbt"
    if is_population and (config.tune.stage, config.tune.repeats) != ("finetune", 1):
        raise ConfigError(
            "tune.scheduler = pbt changes settings during fine-tuning; set "
            "tune.stage to finetune and tune.repeats to 1"
        )
    space = config.tune.space or (_POPULATION if is_population else _default_space(config))
    for key in space:
        _check_key(key)
        if is_population and key not in CHANGEABLE_KEYS:
            allowed = ", ".join(CHANGEABLE_KEYS)
            raise ConfigError(
                f"tune.space: {key} cannot change during training, as pbt requires; allowed are {allowed}"
            )
    return {key: _validated(config, key, values) for key, values in space.items()}


def _default_space(config: Config) -> Space:
    """Return the default space of the stage, without settings of labelers that the task does not use.

    Where models are fine-tuned, half and twice the tokens of training are tried too.
    """
    space = dict(DEFAULTS[config.tune.stage])
    if config.tune.stage != "lgan":
        tokens = config.finetune.token_budget
        space["finetune.token_budget"] = (max(1, tokens // 2), tokens, 2 * tokens)
    if get_task(config.task).labeler == "label_gan":
        return space
    return {key: values for key, values in space.items() if not key.startswith("lgan.")}


def _check_key(key: str) -> None:
    groups, settings = groups_of(Config), settings_of(Config)
    if key in groups:
        example = next(setting for setting in settings if setting.startswith(f"{key}.") or not key)
        raise ConfigError(f"tune.space: {key} is a group of settings: name one of them, such as {example}")
    if key == METRIC:
        raise ConfigError(f"tune.space: {key} cannot be searched, because trials are compared by it")
    if key.split(".")[0] in SEARCHABLE_GROUPS or key in SEARCHABLE_KEYS:
        if key not in settings:
            raise ConfigError(f"tune.space: unknown setting {key!r}{suggest(key, Config)}")
        return
    allowed = ", ".join([*(f"{name}.*" for name in SEARCHABLE_GROUPS), *SEARCHABLE_KEYS])
    suggestion = "" if key in settings else suggest(key, Config)
    hint = suggestion if suggestion.startswith("; did you mean") else ""
    raise ConfigError(f"tune.space: {key} cannot be searched; allowed are {allowed}{hint}")


def _validated(config: Config, key: str, values: Range | Sequence[Any]) -> Range | list[Any]:
    """Return ``values`` with the type of the setting: 1 becomes true for a switch, 8.0 an integer 8.

    Raises ConfigError if a value is invalid, the task does not have it (such as an augmentation), or a range
    is not numeric.
    """
    try:
        validated = [_checked(config, key, value) for value in corners(values)]
    except ConfigError as error:
        raise ConfigError(f"tune.space: {error}") from None
    if not isinstance(values, Range):
        return [value for index, value in enumerate(validated) if value not in validated[:index]]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in validated):
        raise ConfigError(f"tune.space: {key} is not a number: give a list of values, not a range")
    all_integers = all(isinstance(value, int) for value in validated)
    return values.model_copy(update={"low": validated[0], "high": validated[1]}) if all_integers else values


def _checked(config: Config, key: str, value: Any) -> Any:
    changed = with_settings(config, {key: value})
    check_task(changed)
    return values_of(changed, [key])[key]


def corners(values: Range | Sequence[Any]) -> list[Any]:
    """Return the bounds of a range, or all choices."""
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def holds(space: Space, values: Values) -> bool:
    """Whether ``values`` are in ``space``."""

    def within(choices: Range | Sequence[Any], value: Any) -> bool:
        if not isinstance(choices, Range):
            return value in choices
        return isinstance(value, int | float) and choices.low <= value <= choices.high

    return all(within(space[key], value) for key, value in values.items())


def values_of(config: Config, space: Iterable[str]) -> Values:
    """Return the values of ``config`` for the keys of ``space``."""
    settings = config.model_dump(mode="json")
    result = {}
    for key in space:
        value: Any = settings
        for part in key.split("."):
            value = value[part]
        result[key] = value
    return result
