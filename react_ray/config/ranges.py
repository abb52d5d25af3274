"""Parse the search space of a configuration: a range or a list of choices for each setting."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Range", "read_space"]

MAX_CHOICES = 100
"""Maximum choices of one setting; all are validated before the search starts."""
FORMS = "a range like {low: 0.00001, high: 0.001, log: true}, or a list of values"
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]*\w)")
GROUPS = ("augment", "encode", "lgan", "finetune")


class Range(BaseModel):
    """Values from ``low`` to ``high``; integers if both bounds are integers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False  # sample on a logarithmic scale


def read_space(value: Any) -> dict[str, Range | list[Any]] | None:
    """Parse ``value`` from a YAML file into a range or choices for each setting.

    Raises ValueError with one line for each invalid entry. Spaces in the form of other libraries (min and
    max, lower and upper, loguniform) are rejected, because they would be misread.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"tune.space = {_shortened(value)}: expected a mapping of settings to {FORMS}")
    if not value:
        raise ValueError(f"tune.space is empty: name settings, each with {FORMS}, or leave tune.space out")
    space, problems = {}, []
    for key, values in value.items():
        try:
            space[str(key)] = _read_values(f"tune.space.{key}", str(key), values)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return space


def _read_values(place: str, key: str, values: Any) -> Range | list[Any]:
    if isinstance(values, list | tuple):
        return _choices(place, values)
    if isinstance(values, Range):
        return _checked(place, values)
    if not isinstance(values, Mapping):
        raise ValueError(f"{place} = {_shortened(values)}: write {_suggested_form(key, values)}")
    if key in GROUPS or any(isinstance(value, Mapping) for value in values.values()):
        nested = _settings((key,), values)
        examples = ", ".join(_suggested_form(".".join(path), value) for path, value in nested)
        raise ValueError(f"{place}: use full keys, without nesting: write {examples or key + '.NAME'}")
    for word in values:
        if word not in ("low", "high", "log"):
            raise ValueError(
                f"unknown setting '{place}.{word}'; a range has the keys low, high and log: "
                f"write {_suggested_form(key, values)}"
            )
    for end in ("low", "high"):
        if end not in values:
            raise ValueError(f"{place}: {end} is missing; write {_suggested_form(key, values)}")
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{place}.log = {_shortened(log)}: expected true or false")
    low, high = (_number(f"{place}.{end}", values[end]) for end in ("low", "high"))
    return _checked(place, Range(low=low, high=high, log=log))


def _choices(place: str, values: list[Any] | tuple[Any, ...]) -> list[Any]:
    if not values:
        raise ValueError(f"{place} is empty; give a list of values, or low and high")
    if len(values) > MAX_CHOICES:
        raise ValueError(
            f"{place} has {len(values):,} values, at most {MAX_CHOICES}; "
            "give a range: {low: ..., high: ...}"
        )
    if mappings := [value for value in values if isinstance(value, Mapping)]:
        raise ValueError(f"{place}: {_shortened(mappings[0])} is not a value; expected {FORMS}")
    return list(values)


def _number(place: str, value: Any) -> int | float:
    """Parse a bound of a range; YAML reads 1e-5 (without a dot) as text."""
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{place} = {_shortened(value)}: expected a number")
    if (isinstance(number, float) and not math.isfinite(number)) or abs(number) > 1e300:
        raise ValueError(f"{place} = {_shortened(value)}: expected a finite number")
    return number


def _checked(place: str, values: Range) -> Range:
    if values.low >= values.high:
        raise ValueError(f"{place}: low = {values.low} is not below high = {values.high}")
    if values.log and values.low <= 0:
        raise ValueError(f"{place}: low = {values.low}, but a logarithmic range starts above 0")
    return values


def _settings(path: tuple[str, ...], values: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Iterate over the settings of a nested space, at most three of each group, as examples for a message."""
    path = path[2:] if path[:2] == ("tune", "space") else path
    if (len(path) >= 2 and path[0] != "tune") or not isinstance(values, Mapping):
        yield path, values
        return
    for key, value in list(values.items())[:3]:
        yield from _settings((*path, str(key)), value)


def _suggested_form(key: str, values: Any) -> str:
    """Return the valid form of what an entry probably means."""
    words = str(values)[:400].replace("..", " ")
    numbers = list(dict.fromkeys(NUMBER.findall(words)))[:8]
    listed = any(word in words.lower() for word in ("values", "choice", "categorical", "grid", "options"))
    if len(numbers) == 2 and not listed:
        low, high = sorted(numbers, key=float)
        return f"{key}: {{low: {low}, high: {high}{', log: true' if 'log' in words.lower() else ''}}}"
    if numbers:
        return f"{key}: [{', '.join(numbers)}], or {{low: ..., high: ...}}"
    return f"{key}: {{low: ..., high: ...}}, or a list of values: [..., ...]"


def _shortened(value: Any) -> str:
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**60 else "a number of many digits"
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
