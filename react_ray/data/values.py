"""Conversion of cell values to text and to JSON."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

__all__ = ["as_json", "as_text"]


def as_text(value: Any) -> str:
    """Convert a value to a cell of a csv file."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, list, dict, tuple)):
        return json.dumps(as_json(value), ensure_ascii=False)
    return _readable(value) if isinstance(value, bytes) else str(value)


def as_json(value: Any) -> Any:
    """Convert a value to JSON; NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _readable(value) if isinstance(value, bytes) else str(value)


def _readable(value: bytes) -> str:
    """Decode bytes as UTF-8, or encode them in base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")
