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
SERVE = "serve"
"""Section name of the service settings, which are not part of a run's configuration."""


@dataclass(frozen=True)
class Setting:
    """Type, default and description of one setting."""

    key: str
    type: str
    default: Any
    description: str


def setting_groups(section: str = "") -> dict[str, list[Setting]]:
    """Return the settings of each group, by dotted key; the key "" has the settings without a group.

    ``section`` selects one group and its subgroups; "serve" is the service. Raises ConfigError for an
    unknown section.

    >>> [setting.key for setting in setting_groups("augment")["augment"]]
    ['augment.search', 'augment.copies', 'augment.strength', 'augment.operations']
    """
    from react_ray.config.service import ServeConfig
    from react_ray.config.settings import Config

    if section == SERVE:
        return {SERVE: list(_settings(ServeConfig, ""))}
    groups = groups_of(Config)
    chosen = {
        key: list(_settings(model, key))
        for key, model in groups.items()
        if key == section or not section or key.startswith(f"{section}.")
    }
    if not chosen:
        sections = [*filter(None, groups), SERVE]
        raise ConfigError(f"no section {section!r}; expected one of {', '.join(sections)}")
    return chosen if section else chosen | setting_groups(SERVE)


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

    The result is a valid configuration of a run. Service settings are not read from files, so they are
    commented out.
    """
    parts = []
    for group, settings in setting_groups(section).items():
        indent = "  " * len(group.split(".")) if group and group != SERVE else ""
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
            lines.append(f"{indent}{'# ' if group == SERVE else ''}{name}: {_value(setting.default)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _settings(model: type[BaseModel], group: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue
        key = f"{group}.{name}".lstrip(".")
        description = re.sub(r"\bNone\b", "null", field.description or "")  # its name in YAML
        yield Setting(key, _type_name(field.annotation), field.default, description)


def _description(group: str) -> str:
    from react_ray.config.settings import Config

    *parents, name = group.split(".")
    return groups_of(Config)[".".join(parents)].model_fields[name].description or ""


def _title(group: str) -> str:
    if group == SERVE:
        return "serve: settings of react-ray serve, given as key=value without the section"
    return f"{group}: {_description(group)}"


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
