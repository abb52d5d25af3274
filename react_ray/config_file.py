"""Where a configuration comes from: a preset, a YAML file, ``key=value`` and flags, in that order.

Unknown keys and values out of range are errors that name the key.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from react_ray.config import Config, ServeConfig
from react_ray.errors import ConfigError

__all__ = ["load_config", "load_serve_config", "with_settings"]

_Root = TypeVar("_Root", bound=BaseModel)


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Config:
    """Resolve a configuration: preset, then file, then ``key=value``, then flags.

    ``flags`` maps dotted keys to values; None means not given. Raises ConfigError
    that names the key, the value and what is allowed.
    """
    tree: dict[str, Any] = {}
    if preset:
        _merge(tree, _read_preset(preset))
    if path is not None:
        _merge(tree, _read_yaml(Path(path)))
    return _validate(Config, _override(tree, overrides, flags or {}))


def load_serve_config(overrides: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> ServeConfig:
    """The settings of the service: ``key=value``, then flags; errors as in :func:`load_config`."""
    return _validate(ServeConfig, _override({}, overrides, flags or {}))


def with_settings(config: Config, values: Mapping[str, Any]) -> Config:
    """``config`` with other values of some settings, by dotted key; errors as in :func:`load_config`."""
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
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        quoted = json.dumps(value, ensure_ascii=False)
        raise ConfigError(
            f"{key} = {value}: this is not YAML; put text with special characters in double quotes, and all "
            f"in single ones for the shell: '{key}={quoted}'"
        ) from None


def _validate(root: type[_Root], tree: Mapping[str, Any]) -> _Root:
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, root)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected keys and values")
    return content


def _read_preset(name: str) -> dict[str, Any]:
    folder = resources.files("react_ray") / "presets"
    known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())
    if name not in known:
        raise ConfigError(f"no preset {name!r}; there are: {', '.join(known)}")
    return yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{dotted}: {parent} is a value, not a group of settings")
    tree[last] = value


def _explain(error: ValidationError, root: type[BaseModel]) -> str:
    """One line for each setting that is wrong: its dotted key, what was given, what is expected."""
    lines = []
    expected: dict[str, list[str]] = {}  # of a setting of several kinds, one problem for each kind
    for problem in error.errors():
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {_key(problem['loc'])!r}{_suggest(problem['loc'], root)}")
        elif problem["type"] == "value_error":
            lines.append(str(problem["ctx"]["error"]))
        else:
            given = f"{_key(_of_setting(problem['loc'], root))} = {problem['input']!r}"
            expected.setdefault(given, []).append(problem["msg"].lower())
    return "\n".join(lines + [f"{given}: {', or '.join(each)}" for given, each in expected.items()])


def _key(location: Iterable[int | str]) -> str:
    return ".".join(map(str, location))


def _of_setting(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[int | str, ...]:
    """``location`` without the kinds of a value that pydantic puts behind the setting."""
    known = _dotted(root)
    return next((location[:n] for n in range(len(location)) if _key(location[:n]) in known), location)


def _suggest(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """The setting that was probably meant, in the same group or under any other."""
    *parents, last = (str(part) for part in location)
    group: Any = root
    for parent in parents:
        group = group.model_fields[parent].annotation
    known = list(group.model_fields)
    close = difflib.get_close_matches(last, known, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {_key([*parents, close[0]])!r}?"
    elsewhere = [key for key in _dotted(root) if key.split(".")[-1] == last]
    if elsewhere:
        return f"; did you mean {' or '.join(map(repr, elsewhere))}?"
    return f"; there are: {', '.join(_key([*parents, name]) for name in known)}"


def _dotted(group: Any, prefix: str = "") -> list[str]:
    """All settings below ``group`` as dotted keys."""
    keys: list[str] = []
    for name, field in group.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        keys += _dotted(field.annotation, f"{prefix}{name}.") if nested else [prefix + name]
    return keys
