"""Load a configuration from a preset, a YAML file, ``key=value`` arguments and flags.

Later sources override earlier ones. Errors name the key, so that a typing mistake is never ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from react_ray.config.masking import is_masked, texts_of
from react_ray.config.problems import explain, groups_of
from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.config.service import ServeConfig
from react_ray.config.settings import Config, variable_of
from react_ray.config.yaml_text import parse_yaml, read_yaml
from react_ray.errors import ConfigError

__all__ = ["load_config", "load_pretrain_config", "load_serve_config", "load_settings", "with_settings"]

_Root = TypeVar("_Root", bound=BaseModel)


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Config:
    """Load a configuration: preset, then file, then ``key=value``, then flags.

    Parameters
    ----------
    path
        YAML file with nested settings.
    overrides
        Settings as ``"key=value"``, with dotted keys and values in YAML.
    flags
        Settings by dotted key; None means not set.
    preset
        Name of a preset of the package.

    Raises
    ------
    ConfigError
        A setting is unknown or invalid; the message says what is expected. Also if an address was saved
        without its secret and the environment does not have it, see :meth:`Config.save`.

    Example
    -------
    >>> config = load_config(overrides=["finetune.epochs=3"], flags={"data.labeled": "labels.csv"})
    >>> config.finetune.epochs, config.data.labeled
    (3.0, 'labels.csv')
    """
    tree: dict[str, Any] = {}
    if preset:
        _merge(tree, _read_preset(preset))
    return _load(Config, tree, path, overrides, flags or {})


def load_pretrain_config(
    path: str | Path | None = None, overrides: Iterable[str] = (), flags: Mapping[str, Any] | None = None
) -> PretrainConfig:
    """Load the settings of pretraining: file, then ``key=value``, then flags. Raises ConfigError."""
    return _load(PretrainConfig, {}, path, overrides, flags or {})


def _load(
    root: type[_Root],
    tree: dict[str, Any],
    path: str | Path | None,
    overrides: Iterable[str],
    flags: Mapping[str, Any],
) -> _Root:
    if path is not None:
        _merge(tree, _read_file(Path(path)))
    tree = _override(tree, overrides, flags)
    for key, address in list(texts_of(tree)):
        if is_masked(address):
            _set(tree, key, _address_from_environment(key, address))
    return _validate(root, tree)


def load_settings(root: type[_Root], overrides: Iterable[str], flags: Mapping[str, Any]) -> _Root:
    """Load settings of any kind: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return _validate(root, _override({}, overrides, flags))


def load_serve_config(overrides: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> ServeConfig:
    """Load the service settings: ``key=value``, then flags. Raises ConfigError."""
    return load_settings(ServeConfig, overrides, flags or {})


def with_settings(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a copy of ``config`` with the ``values`` of some dotted keys changed. Raises ConfigError."""
    return _validate(Config, _override(config.model_dump(), (), values))


def _override(tree: dict[str, Any], overrides: Iterable[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    for override in overrides:
        key, equals, value = (part.strip() for part in override.partition("="))
        if not equals:
            raise ConfigError(f"{override!r} is not of the form key=value")
        _set(tree, key, _read_value(key, value))
    for key, value in flags.items():
        if value is not None:
            _set(tree, key, value)
    return tree


def _read_value(key: str, value: str) -> Any:
    """Parse ``value`` as YAML, but keep plain text unchanged, so that "run #1" has no comment."""
    try:
        parsed = parse_yaml(value, key)
        plain_text = isinstance(parsed, str) and value[:1] not in ("'", '"', "|", ">", "!", "&")
        return value if plain_text or value[:1] == "#" else parsed
    except ConfigError as error:
        quoted = json.dumps(value, ensure_ascii=False)
        raise ConfigError(
            f"{key} = {value[:200]}: this is not YAML ({error}); put text with special characters in "
            f"double quotes, and the whole argument in single quotes for the shell: '{key}={quoted[:200]}'"
        ) from None


def _validate(root: type[_Root], tree: dict[str, Any]) -> _Root:
    # a section with nothing but comments is null in YAML: use its defaults
    for key, group in groups_of(root).items():
        *parents, last = key.split(".")
        section: Any = tree
        for parent in parents:
            section = section.get(parent) if isinstance(section, Mapping) else None
        if key and isinstance(section, dict) and section.get(last, group) is None:
            section[last] = {}
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, root)) from None


def _read_file(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected a mapping of settings")
    return content


def _read_preset(name: str) -> dict[str, Any]:
    folder = resources.files("react_ray") / "presets"
    names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())
    if name not in names:
        raise ConfigError(f"no preset {name!r}; expected one of {', '.join(names)}")
    return dict(parse_yaml((folder / f"{name}.yaml").read_text(encoding="utf-8"), name))


def _address_from_environment(key: str, address: str) -> str:
    variable = variable_of(key)
    if variable not in os.environ:
        raise ConfigError(
            f"{key} = {address}: this address was saved without its secret; set the environment variable "
            f"{variable} to the full address"
        )
    return os.environ[variable]


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        if tree.get(parent) is None:
            tree[parent] = {}
        tree = tree[parent]
        if not isinstance(tree, dict):
            raise ConfigError(f"{dotted}: {parent} is a value, not a group of settings")
    tree[last] = value
