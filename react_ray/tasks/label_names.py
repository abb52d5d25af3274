"""Parsing of class names in cells, with the same result for every file format."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

__all__ = ["label_name"]

MAX_CHARS = 200
WHOLE = re.compile(r"([+-]?\d+)\.0+")


def label_name(value: Any) -> str | None:
    """Return the class name in a cell, or None for an empty cell.

    1, 1.0 and "1.0" are all "1" and True is "true", because csv writers differ in this.
    A list holds one name, or is empty for no label. Raises ValueError with the reason if
    the cell is not a single name.
    """
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (list, dict, tuple)):
        raise ValueError(f"a list of labels where one is expected: {str(value)[:80]}")
    if not isinstance(value, (str, bool, int, float)):
        raise ValueError(f"not a label: {type(value).__name__} where a name is expected")
    name = unicodedata.normalize("NFC", str(value).strip())
    if "\0" in name or not _is_unicode(name):
        raise ValueError("bad encoding: the label holds null bytes or bytes that are not UTF-8")
    if len(name) > MAX_CHARS:
        raise ValueError(f"label too long: {len(name):,} characters, at most {MAX_CHARS}")
    if name in ("True", "False"):
        return name.lower()
    whole = WHOLE.fullmatch(name)
    return whole[1] if whole else None if name in ("", "NaN", "nan") else name


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
