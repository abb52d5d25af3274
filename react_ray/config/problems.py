"""Format validation errors of a configuration: one line for each setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from react_ray.config.masking import masked

__all__ = ["explain", "groups_of", "settings_of", "suggest"]

SHOWN_CHARS = 80
"""Maximum characters of an invalid value in a message."""
SHOWN_LINES = 20

Location = tuple[int | str, ...]


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Format an error: for each invalid setting its key, value, what is expected, and description."""
    lines = []
    expected: dict[tuple[str, str], list[str]] = {}  # pydantic has one problem per type of a union
    for problem in error.errors(include_url=False):
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {_key(problem['loc'])!r}{suggest(_key(problem['loc']), root)}")
        elif problem["type"] == "value_error":
            lines.append(f"{problem['ctx']['error']}{_description(_key(problem['loc']), root)}")
        else:
            key = _key(_setting_location(problem["loc"], root))
            expected.setdefault((key, _shown(problem["input"])), []).append(_expected(problem, root))
    lines += [
        f"{key} = {value}: {', or '.join(reasons)}{_description(key, root)}"
        for (key, value), reasons in expected.items()
    ]
    omitted = [f"and {len(lines) - SHOWN_LINES} more"] if len(lines) > SHOWN_LINES else []
    return "\n".join([*lines[:SHOWN_LINES], *omitted])


def suggest(key: str, root: type[BaseModel]) -> str:
    """Return a hint at the setting that an unknown key probably means, from its own group or another."""
    *parents, last = key.split(".")
    groups, settings = groups_of(root), settings_of(root)
    if key in settings:  # a dotted key in a file
        nested = "{...}"
        for part in reversed(key.split(".")):
            nested = f"{{{part}: {nested}}}" if nested != "{...}" else f"{{{part}: ...}}"
        return f"; in a file settings are nested: {nested}"
    group = ".".join(parents)
    names = list(groups[group].model_fields) if group in groups else []
    close = difflib.get_close_matches(last, names, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {_key([*parents, close[0]])!r}?"
    elsewhere = [setting for setting in settings if setting.split(".")[-1] == last]
    if elsewhere:
        return f"; did you mean {' or '.join(map(repr, elsewhere))}?"
    return f"; expected one of {', '.join(_key([*parents, name]) for name in names)}" if names else ""


def groups_of(root: type[BaseModel], prefix: str = "") -> dict[str, type[BaseModel]]:
    """Return all groups of settings by their dotted keys; ``root`` itself has the empty key."""
    groups = {prefix: root}
    for name, field in root.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            groups |= groups_of(field.annotation, f"{prefix}.{name}".lstrip("."))
    return groups


def settings_of(root: type[BaseModel]) -> list[str]:
    """Return the dotted keys of all settings."""
    groups = groups_of(root)
    keys = [f"{group}.{name}".lstrip(".") for group, model in groups.items() for name in model.model_fields]
    return [key for key in keys if key not in groups]


def _description(key: str, root: type[BaseModel]) -> str:
    """Return the description of a setting in parentheses; empty if there is no such setting."""
    if key not in settings_of(root):
        return ""
    group, _, name = key.rpartition(".")
    description = groups_of(root)[group].model_fields[name].description
    return f" ({description})" if description else ""


def _expected(problem: Any, root: type[BaseModel]) -> str:
    if problem["type"] in ("model_type", "model_attributes_type", "dict_type"):
        group = groups_of(root).get(_key(problem["loc"]), root)
        names = ", ".join(list(group.model_fields)[:3])
        return f"expected a group of settings ({names}, ...)"
    if problem["type"] == "string_type":
        return "input should be a valid string (put it in quotes)"
    return str(problem["msg"]).lower()


def _shown(value: Any) -> str:
    """Return the beginning of a value, with secrets masked."""
    try:
        shown = repr(masked(value))
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits
        return "a value that is too long to show"
    return shown if len(shown) <= SHOWN_CHARS else f"{shown[:SHOWN_CHARS]}…"


def _key(location: Iterable[int | str]) -> str:
    return ".".join(map(str, location))


def _setting_location(location: Location, root: type[BaseModel]) -> Location:
    """Return ``location`` without the types that pydantic appends to the setting's key."""
    keys = settings_of(root)
    return next((location[:n] for n in range(len(location)) if _key(location[:n]) in keys), location)
