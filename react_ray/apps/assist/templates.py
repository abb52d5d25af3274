"""Template answers with slots that are filled from the conversation."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from react_ray import ConfigError
from react_ray.config.sections.base import Settings
from react_ray.config.yaml_text import read_yaml

__all__ = ["Slot", "Template", "read_templates", "templates_of"]

MAX_CHARS = 4000


class Slot(Settings):
    """A blank in a template."""

    value: str | None = Field(None, max_length=MAX_CHARS, description="What fills it; None: see pattern")
    pattern: str | None = Field(
        None, max_length=500, description="Regular expression that finds it in the messages; None: see value"
    )
    ask: str | None = Field(
        None, max_length=MAX_CHARS, description="Question where it is missing; None: no template answer then"
    )


class Template(Settings):
    """An answer with slots in braces, as in "Your card {number} is blocked."."""

    text: str = Field(min_length=1, max_length=MAX_CHARS, description="The answer")
    slots: dict[str, Slot] = Field({}, description="Slots by name")

    def missing(self, messages: Sequence[str]) -> str | None:
        """Return the name of the first slot that nothing fills, or None."""
        return next((name for name in self.slots if self._value(name, messages) is None), None)

    def fill(self, messages: Sequence[str]) -> str | None:
        """Return the answer, or the question for the first missing slot, or None where it has no question.

        ``messages`` are those of the customer, the latest last.

        >>> template = Template(text="Card {card} is blocked.", slots={"card": Slot(pattern="[0-9]{4}")})
        >>> template.fill(["block my card", "1234"])
        'Card 1234 is blocked.'
        """
        name = self.missing(messages)
        if name is not None:
            return self.slots[name].ask
        return self.text.format_map({name: self._value(name, messages) for name in self.slots})

    def _value(self, name: str, messages: Sequence[str]) -> str | None:
        slot = self.slots[name]
        if slot.pattern is not None:
            for message in reversed(messages):
                if match := re.search(slot.pattern, message):
                    return match[1] if match.re.groups and match[1] else match[0]
        return slot.value


def read_templates(path: str | Path, intents: Iterable[str]) -> dict[str, Template]:
    """Read a YAML file of intent -> text, or intent -> {text, slots}.

    Raises ConfigError where it is not that, or names an intent that is not among ``intents``.
    """
    content = read_yaml(Path(path).expanduser())
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected intent: text for each template")
    templates = templates_of(content, str(path))
    unknown = sorted(templates.keys() - set(intents))
    if unknown:
        raise ConfigError(f"{path}: no question in the history has the intent {unknown[0]!r}")
    return templates


def templates_of(content: Mapping[Any, Any], place: str) -> dict[str, Template]:
    """Check templates as they stand in a file. Raises ConfigError."""
    return {str(intent): _template(value, f"{place}: {intent}") for intent, value in content.items()}


def _template(value: Any, place: str) -> Template:
    try:
        template = Template.model_validate({"text": value} if isinstance(value, str) else value)
        names = _names(template.text)
        for name, slot in template.slots.items():
            re.compile(slot.pattern or "")
            if slot.value is None and slot.pattern is None:
                raise ValueError(f"slot {name} needs a value or a pattern")
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{place}: {where}: {problem['msg']}") from None
    except (ValueError, re.error) as error:
        raise ConfigError(f"{place}: {error}") from None
    unknown = [name for name in names if name not in template.slots]
    if unknown:
        raise ConfigError(f"{place}: the text has {{{unknown[0]}}}, which is not among its slots")
    return template


def _names(text: str) -> list[str]:
    """Return the names of the slots in a text. Raises ValueError for formats such as {days:d}."""
    names = []
    for _, name, form, conversion in string.Formatter().parse(text):
        if form or conversion:
            raise ValueError(f"write the slot {name} as {{{name}}}, without a format")
        if name is not None:
            names.append(name)
    return names
