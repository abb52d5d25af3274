"""Limits of the structure of a JSON body, checked before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from react_ray.config.service import ServeConfig
from react_ray.serve.limits.refusal import RefusalError

__all__ = ["MAX_DEPTH", "check_structure", "most_values", "words_in"]

MAX_DEPTH = 100
"""Lists and objects inside each other; a request needs four."""
VALUES_A_WORD = 2
"""Values for each word of a list: a string, and the comma behind it."""
CHARS_A_WORD = 8
"""Characters that count as a word: a longer word has as many tokens as several."""
MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
"""A string, or one of the characters between which values stand."""


def most_values(config: ServeConfig, lists: bool) -> int:
    """Return the maximum number of JSON values in a request; more if inputs may be ``lists`` of words."""
    return config.max_values + (VALUES_A_WORD * config.max_words if lists else 0)


def words_in(row: Mapping[str, Any]) -> int:
    """Count the words of a row; 0 for a row without a list of words, which is truncated.

    Example
    -------
    >>> words_in({"text": "Ada sings", "starts": [0, 4], "ends": [3, 9]})
    2
    """
    lists = [len(value) for value in row.values() if isinstance(value, list)]
    return max(*lists, len(row["text"]) // CHARS_A_WORD) if lists else 0


def check_structure(body: bytes | bytearray, most: int) -> None:
    """Raise RefusalError 413 if ``body`` has more than ``most`` values, 400 if it is nested too deeply.

    Two bytes of JSON, ``{}``, become a Python object of 64 bytes and more, and several hundred in a
    validation error. So values are counted first, in one pass without memory that stops at the limit.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") < min(most, MAX_DEPTH):
        return  # whatever is in strings: there are not more
    values = depth = 0
    for mark in MARK.finditer(body):
        match body[mark.start()]:
            case 0x5B | 0x7B:  # [ {
                values, depth = values + 1, depth + 1
            case 0x5D | 0x7D:  # ] }
                depth -= 1
            case _:
                values += 1
        if depth > MAX_DEPTH:
            raise RefusalError(400, f"the body is not JSON of a request: nested over {MAX_DEPTH} times")
        if values > most:
            raise RefusalError(413, f"the body has over {most} values")
