"""Lists written in a cell: in JSON, in Python notation, or as numpy prints an array of strings."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

__all__ = ["written_value"]

STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
ADJACENT, ALL_ADJACENT = re.compile(r"S\s*S"), re.compile(r"\s*S(\s+S)*\s*")
SHOWN_CHARS = 60


def written_value(text: str) -> Any:
    """Return the list or object written in ``text``; None if it has no brackets or braces around it.

    ``['joy' 'love']``, which pandas writes for an array, is a list of two strings. Raises ValueError where
    the text is in none of the notations.

    Example
    -------
    >>> written_value('["joy"]'), written_value("['joy', 'love']"), written_value("['joy' 'love']")
    (['joy'], ['joy', 'love'], ['joy', 'love'])
    """
    text = text.strip()
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    layout = STRING.sub("S", text[1:-1].replace("S", "s"))
    if ADJACENT.search(layout):
        if ALL_ADJACENT.fullmatch(layout):
            return [ast.literal_eval(string) for string in STRING.findall(text)]
        raise ValueError(f"a comma is missing between two strings: {text[:SHOWN_CHARS]!r}")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise ValueError(f"neither JSON nor Python notation: {text[:SHOWN_CHARS]!r}") from None
