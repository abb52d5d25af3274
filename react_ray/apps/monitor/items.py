"""Items of the stream: a text with its id, time and source."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from react_ray.apps.times import read_time, seconds

__all__ = [
    "ALWAYS",
    "BUCKETS",
    "COLUMNS",
    "DAY",
    "Item",
    "Span",
    "as_iso",
    "day_of",
    "parse_item",
    "parse_time",
]

DAY = 86_400
BUCKETS = {"hour": 3_600, "day": DAY}
"""Lengths of the buckets, in seconds."""
COLUMNS = ("text", "id", "time")
MAX_ID_CHARS, MAX_SOURCE_CHARS, MAX_TEXT_CHARS = 500, 200, 100_000
EARLIEST, LATEST = 0.0, 4_102_444_800.0
"""Times that are accepted: 1970 to 2099, in seconds."""


@dataclass(frozen=True)
class Item:
    """A text of the stream; ``time`` is in seconds since 1970 (UTC)."""

    id: str
    text: str
    time: float
    source: str = ""


@dataclass(frozen=True)
class Span:
    """Times that are accepted: seconds before and after the present."""

    before: float = math.inf
    after: float = DAY


ALWAYS = Span()
"""All times but those of the future."""


def parse_item(cells: Mapping[str, Any], span: Span = Span(), now: float | None = None) -> Item:
    """Check the cells of a row, and return its item.

    Parameters
    ----------
    cells
        id, text, time, and source where known. Without a ``time``, it is ``now``.
    span
        Times that are accepted.
    now
        The present time; None: that of the clock.

    Raises
    ------
    ValueError
        A cell cannot be used; the message is "kind: details" and has no text of the row.

    Example
    -------
    >>> parse_item({"id": 7, "text": "太慢了", "time": "2024-05-01"})
    Item(id='7', text='太慢了', time=1714521600.0, source='')
    """
    now = time.time() if now is None else now
    at = now if cells.get("time") is None else parse_time(cells["time"])
    if at > now + span.after:
        raise ValueError(
            f"time ahead: {as_iso(at)} is {span.after / 3600:g} hours or more ahead of the clock"
        )
    if at < now - span.before:
        raise ValueError(f"expired: {as_iso(at)} is more than {span.before / DAY:g} days ago")
    text = _string(cells.get("text"), "text", MAX_TEXT_CHARS)
    source = "" if cells.get("source") is None else _string(cells["source"], "source", MAX_SOURCE_CHARS, "")
    return Item(_string(cells.get("id"), "id", MAX_ID_CHARS), text, at, source)


def parse_time(value: Any) -> float:
    """Return a time in seconds since 1970: ISO 8601 (UTC without an offset), dates, seconds, milliseconds.

    Raises ValueError for anything else.

    Example
    -------
    >>> parse_time("1970-01-02T00:00:00+01:00"), parse_time("20240501"), parse_time(1714521600000)
    (82800.0, 1714521600.0, 1714521600.0)
    """
    time = seconds(read_time(value))
    if not EARLIEST <= time < LATEST:
        raise ValueError(f"not a time: {value} is not between 1970 and 2099")
    return time


def day_of(seconds: float) -> str:
    """Return the day of a time (UTC), as 2024-05-01."""
    return as_iso(seconds)[:10]


def as_iso(seconds: float) -> str:
    """Return a time as 2024-05-01T00:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _string(value: Any, column: str, longest: int, blank: str | None = None) -> str:
    if isinstance(value, float) and value.is_integer() and column != "text":
        value = int(value)  # integers with gaps, as pandas writes them
    if isinstance(value, int) and not isinstance(value, bool) and column != "text":
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(f"no {column}: {type(value).__name__} where text is expected")
    value = value.strip()
    if not value and blank is None:
        raise ValueError(f"no {column}: the cell is blank")
    if len(value) > longest:
        raise ValueError(f"too long: {column} has {len(value):,} characters, at most {longest:,}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not UTF-8: the {column} cannot be encoded") from None
    return value
