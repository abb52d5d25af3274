"""Times in the cells of rows: dates, and numbers that may be times."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

__all__ = ["compact_date", "read_time", "seconds"]

MILLISECONDS_FROM = 1e11
"""Numbers from here on are times in milliseconds."""
FIRST_YEAR = 1990
FIRST_SECOND = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
"""Smaller numbers are a year, a position or an error, and no seconds since 1970."""


def read_time(value: Any) -> datetime | float:
    """Return the date or the number in a cell; a date without an offset is in UTC.

    Raises ValueError, without the text of the cell, for anything else.

    Example
    -------
    >>> read_time("2024-05-01").isoformat(), read_time("20240501")
    ('2024-05-01T00:00:00+00:00', 20240501.0)
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        value = _parsed(value.strip())
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"not a time: {type(value).__name__} where a time is expected")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("not a time: a number that is not finite, or has more than 308 digits")
    return number


def compact_date(number: float) -> datetime | None:
    """Return the date of a number such as 20240501, from 1900 to 2099; None if it is none.

    >>> compact_date(20240501.0).isoformat(), compact_date(20240532.0)
    ('2024-05-01T00:00:00+00:00', None)
    """
    if not (19_000_101 <= number <= 20_991_231 and number.is_integer()):
        return None
    year, rest = divmod(int(number), 10_000)
    try:
        return datetime(year, *divmod(rest, 100), tzinfo=UTC)
    except ValueError:
        return None


def seconds(time: datetime | float) -> float:
    """Return the seconds since 1970 of a date, or of a number: YYYYMMDD, seconds or milliseconds.

    Raises ValueError for a number that is none of them: one of seconds before 1990.

    Example
    -------
    >>> seconds(20240501.0) == seconds(1714521600.0) == seconds(1714521600000.0)
    True
    """
    known = compact_date(time) if isinstance(time, float) else time
    if known is not None:
        return known.timestamp()
    assert isinstance(time, float)
    number = time / 1000 if time >= MILLISECONDS_FROM else time
    if number < FIRST_SECOND:
        raise ValueError(
            f"not a time: {time:.15g} is neither a date such as 2024-05-01 or 20240501, nor seconds or "
            f"milliseconds since 1970 (from {FIRST_YEAR})"
        )
    return number


def _parsed(text: str) -> datetime | float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"not a time: {len(text):,} characters that are no date such as 2024-05-01T12:00:00Z"
        ) from None
