"""Reference of all settings, as text and as YAML with comments: type, default and description."""

from __future__ import annotations

import re
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from react_ray.config.problems import groups_of
from react_ray.errors import ConfigError

__all__ = ["Setting", "as_text", "as_yaml", "setting_groups"]

WIDTH = 88
SERVE, PRETRAIN = "serve", "pretrain"
"""Sections of settings that are not part of a run's configuration."""
TITLES = {
    SERVE: "serve: settings of react-ray serve, given as key=value without the section",
    PRETRAIN: "pretrain: settings of react-ray pretrain, given as key=value without the section",
}


@dataclass(frozen=True)
class Setting:
    """Type, default and description of one setting."""

    key: str
    type: str
    default: Any
    description: str


def setting_groups(section: str = "") -> dict[str, list[Setting]]:
    """Return the settings of each group, by dotted key; the key "" has the settings without a group.

    ``section`` selects one group and its subgroups; "serve" is the service, "pretrain" the command of that
    name. Raises ConfigError for an unknown section.

    >>> [setting.key for setting in setting_groups("augment")["augment"]]
    ['augment.search', 'augment.copies', 'augment.strength', 'augment.operations']
    """
    from react_ray.config.sections.pretraining import PretrainConfig
    from react_ray.config.service import ServeConfig
    from react_ray.config.settings import Config

    separate: dict[str, type[BaseModel]] = {SERVE: ServeConfig, PRETRAIN: PretrainConfig}
    if section in separate:
        return {section: list(_settings(separate[section], ""))}
    groups = groups_of(Config)
    chosen = {
        key: list(_settings(model, key))
        for key, model in groups.items()
        if key == section or not section or key.startswith(f"{section}.")
    }
    if not chosen:
        sections = [*filter(None, groups), *separate]
        raise ConfigError(f"no section {section!r}; expected one of {', '.join(sections)}")
    return chosen if section else chosen | setting_groups(SERVE) | setting_groups(PRETRAIN)


def as_text(section: str = "") -> str:
    """Format settings as text: key, type and default on one line, the description below."""
    parts = []
    for group, settings in setting_groups(section).items():
        lines = [_title(group)] if group else []
        for setting in settings:
            lines.append(f"{setting.key}  {setting.type} = {_value(setting.default)}")
            lines += textwrap.wrap(
                setting.description, WIDTH, initial_indent="    ", subsequent_indent="    "
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_yaml(section: str = "") -> str:
    """Format the defaults as YAML, with descriptions as comments.

    The result is a valid configuration of a run. Settings of other commands are commented out.
    """
    parts = []
    for group, settings in setting_groups(section).items():
        indent = "  " * len(group.split(".")) if group and group not in TITLES else ""
        lines = [f"# {_title(group)}"] if group else []
        if indent:
            *parents, name = group.split(".")
            lines = [f"{'  ' * len(parents)}# {_description(group)}", f"{'  ' * len(parents)}{name}:"]
            if parents and section == group:
                lines[:0] = [f"{'  ' * depth}{parent}:" for depth, parent in enumerate(parents)]
        for setting in settings:
            name = setting.key.split(".")[-1]
            comment = f"{setting.description} ({setting.type})"
            lines += textwrap.wrap(
                comment, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   "
            )
            lines.append(f"{indent}{'# ' if group in TITLES else ''}{name}: {_value(setting.default)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _settings(model: type[BaseModel], group: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        key = f"{group}.{name}".lstrip(".")
        description = re.sub(r"\bNone\b", "null", field.description or "")  # its name in YAML
        default = None if field.is_required() else field.default
        yield Setting(key, _type_name(field.annotation), default, description)


def _description(group: str) -> str:
    from react_ray.config.settings import Config

    *parents, name = group.split(".")
    return groups_of(Config)[".".join(parents)].model_fields[name].description or ""


def _title(group: str) -> str:
    return TITLES.get(group) or f"{group}: {_description(group)}"


def _value(value: Any) -> str:
    """Format a default as one line of YAML."""
    listed = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(listed, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def _type_name(annotation: Any) -> str:
    """Describe a type annotation in the words of a YAML file.

    >>> _type_name(int | None), _type_name(Literal["a", "b"]), _type_name(tuple[str, ...])
    ('int or null', 'a | b', 'list of text')
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(option) for option in arguments)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"[{', '.join(_type_name(option) for option in arguments)}]"
    if origin in (tuple, list):
        name = _type_name(arguments[0])
        return f"list of ({name})" if " | " in name else f"list of {name}"
    if origin is dict:
        return f"mapping of {' to '.join(_type_name(option) for option in arguments)}"
    names = {type(None): "null", str: "text", float: "number", Any: "any value"}
    return names.get(annotation, "") or str(annotation.__name__).lower()
