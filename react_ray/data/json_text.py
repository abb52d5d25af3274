"""Edits of JSON objects as text that leave all other bytes unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from json.decoder import WHITESPACE, scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

__all__ = ["add_members", "members", "rename_keys"]

_raw_decode = json.JSONDecoder().raw_decode


class Member(NamedTuple):
    """A key of an object and its value, each with its place in the text."""

    key: str
    key_start: int
    key_end: int
    value: Any
    value_start: int
    value_end: int


def members(text: str) -> Iterator[Member]:
    """Return the members of the JSON object ``text``, which must be valid; keys may repeat."""
    place = _skip(text, _skip(text, 0) + 1)
    while text[place] != "}":
        key, key_end = scanstring(text, place + 1)
        value_start = _skip(text, _skip(text, key_end) + 1)
        value, value_end = _raw_decode(text, value_start)
        yield Member(key, place, key_end, value, value_start, value_end)
        place = _skip(text, value_end)
        if text[place] == ",":
            place = _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    end: int = WHITESPACE.match(text, place).end()
    return end


def rename_keys(text: str, names: Mapping[str, str]) -> str:
    """Return the object with some of its keys renamed."""
    pieces, end = [], 0
    for member in members(text):
        if member.key in names:
            pieces += [text[end : member.key_start], json.dumps(names[member.key], ensure_ascii=False)]
            end = member.key_end
    return "".join([*pieces, text[end:]])


def add_members(text: str, values: Mapping[str, Any]) -> str:
    """Return the object with members appended."""
    start = text.rstrip()[:-1].rstrip()
    added = ", ".join(
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
    )
    return f"{start}{'' if start.endswith('{') else ', '}{added}}}"
