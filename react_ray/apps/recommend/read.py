"""Items and interactions from files: checked, and bad rows written aside."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from react_ray import FileRow, InputError, read_rows
from react_ray.apps.files import RejectedRows
from react_ray.apps.recommend.interactions import Interactions
from react_ray.apps.times import compact_date, read_time, seconds

__all__ = ["Catalogue", "Liked", "as_column", "read_interactions", "read_items"]

MAX_ID_CHARS, MAX_TEXT_CHARS = 500, 100_000
DAY_S = 86_400
CODE = re.compile(r"[+-]?(0\d|\d{16})")
"""Digits that are a code: as a number they would lose zeros, or their last digits."""
LATER_S = 365 * DAY_S
"""How far in the future a time may lie, by a wrong clock, before it is taken for another unit."""


@dataclass(frozen=True)
class Catalogue:
    """Items: their ids, texts ("" for none) and given numbers, items x features, NaN for none.

    ``columns`` are those that requests may filter by: a number, text or boolean of each item, None for none;
    all of a column are of one type.
    """

    ids: list[str]
    texts: list[str]
    features: NDArray[np.float32]
    columns: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Liked:
    """Which interactions count as liked.

    Parameters
    ----------
    events
        Values of the column event; None: all.
    min_rating
        The lowest rating; None: all.
    """

    events: Sequence[str] | None = None
    min_rating: float | None = None

    def counts(self, event: str | None, rating: float | None) -> bool:
        """Return whether an interaction counts."""
        if self.events is not None and event not in self.events:
            return False
        return self.min_rating is None or (rating is not None and rating >= self.min_rating)


def read_items(
    address: str, columns: Mapping[str, str], features: Sequence[str] = (), filters: Sequence[str] = ()
) -> tuple[Catalogue, RejectedRows]:
    """Read items with the columns item and text, ``features``, which are columns of numbers, and ``filters``.

    An item without a text is kept. Of an item that occurs again, the first row is kept. Raises InputError if
    no item remains.
    """
    rejected = RejectedRows()
    items: dict[str, tuple[str, list[float], list[Any]]] = {}
    further = list(dict.fromkeys([*features, *filters]))
    for row in read_rows(address, ["item", "text"], further, columns):
        try:
            item, text = _id(row, "item"), _text(row.cells.get("text"))
            numbers = [_number(row.cells.get(name), name) for name in features]
            for name in filters:
                _check_utf8(str(row.cells.get(name)), name)
            if item in items:
                raise ValueError(f"duplicate item: {item!r} is in an earlier row")
        except ValueError as error:
            rejected.add(row.file, row.number, str(error))
            continue
        cells = [row.cells.get(name) for name in filters]
        items[item] = text, [math.nan if number is None else number for number in numbers], cells
    if not items:
        raise InputError(f"{address}: no item can be used ({_described(rejected)})")
    table = np.array([numbers for _, numbers, _ in items.values()], np.float32).reshape(len(items), -1)
    values = {
        name: as_column([cells[place] for _, _, cells in items.values()])
        for place, name in enumerate(filters)
    }
    return Catalogue(list(items), [text for text, _, _ in items.values()], table, values), rejected


def as_column(cells: Sequence[Any]) -> list[Any]:
    """Return booleans or numbers if all cells are such or blank, else texts; None for blank ones.

    >>> as_column(["1", " ", "2.5"]), as_column(["1", "a", None]), as_column(["007", "12"])
    ([1.0, None, 2.5], ['1', 'a', None], ['007', '12'])
    >>> as_column(["True", "false"])
    [True, False]
    """
    texts = [None if cell is None else str(cell).strip() or None for cell in cells]
    present = [text for text in texts if text is not None]
    if present and all(text.lower() in ("true", "false") for text in present):
        return [None if text is None else text.lower() == "true" for text in texts]
    if any(CODE.match(text) for text in present):
        return list(texts)
    try:
        return [_number(text, "") for text in texts]
    except ValueError:
        return list(texts)


def read_interactions(
    address: str,
    columns: Mapping[str, str],
    items: Sequence[str],
    liked: Liked,
    seed: int = 0,
    keep_days: float | None = None,
) -> tuple[Interactions, list[str], RejectedRows]:
    """Read interactions with the columns user, item and, where there, rating, event and time.

    Of a pair of user and item that occurs again, the first interaction in time is kept; it is liked if any of
    them is. The order of interactions with equal times, or without times, is drawn with ``seed``.
    Where a time is a date, or all are numbers such as 20240501, all have to be times of the calendar; numbers
    that are none, such as 7, are rejected. In a column of numbers alone, they may be of any unit.
    Interactions older than ``keep_days`` are rejected. Raises InputError if no interaction is liked, or if
    some rows have a time and others have none.

    Returns
    -------
    interactions, user ids, rejected rows
    """
    rejected = RejectedRows()
    item_of = {name: number for number, name in enumerate(items)}
    rows: list[_Row] = []
    for row in read_rows(address, ["user", "item"], ["rating", "event", "time"], columns):
        try:
            name = _id(row, "item")
            if name not in item_of:
                raise ValueError(f"unknown item: {name!r} is not among the items")
            rating, event = _number(row.cells.get("rating"), "rating"), row.cells.get("event")
            time, owner = _time(row.cells.get("time")), sys.intern(_id(row, "user"))
        except ValueError as error:
            rejected.add(row.file, row.number, str(error))
            continue
        counts = liked.counts(None if event is None else str(event).strip(), rating)
        rows.append(_Row(owner, item_of[name], time, counts, row.file, row.number))
    rows = _on_one_clock(rows, keep_days, rejected)
    if not any(row.liked for row in rows):
        raise InputError(
            f"{address}: no interaction counts as liked, of {len(rows):,} that were read "
            f"({_described(rejected)}); see the settings events and min_rating"
        )
    users = list(dict.fromkeys(row.user for row in rows))
    user_of = {name: number for number, name in enumerate(users)}
    times = _times(np.array([row.time for row in rows], float), address)
    user = np.array([user_of[row.user] for row in rows], np.int64)
    item = np.array([row.item for row in rows], np.int64)
    positive = np.array([row.liked for row in rows], bool)
    return _in_order(user, item, times, positive, len(users), len(items), seed), users, rejected


class _Row(NamedTuple):
    """An interaction, and where it was read."""

    user: str
    item: int
    time: datetime | float | None
    liked: bool
    file: str
    number: int


def _on_one_clock(rows: Sequence[_Row], keep_days: float | None, rejected: RejectedRows) -> list[_Row]:
    """Return the rows with their times as numbers: seconds since 1970 where the column is one of dates."""
    now = datetime.now(UTC).timestamp()
    dated = _are_dates([row.time for row in rows if row.time is not None])
    kept = []
    for row in rows:
        try:
            time = row.time if row.time is None or not dated else seconds(row.time)
            assert not isinstance(time, datetime)
            if keep_days is not None:
                _check_age(time, keep_days, now)
        except ValueError as error:
            rejected.add(row.file, row.number, str(error))
            continue
        kept.append(row._replace(time=time))
    return kept


def _are_dates(times: Sequence[datetime | float]) -> bool:
    """Return whether a column has dates, or numbers that all are dates.

    >>> _are_dates([20240501.0, 20240430.0]), _are_dates([20240501.0, 20240432.0])
    (True, False)
    """
    if any(isinstance(time, datetime) for time in times):
        return True
    return bool(times) and all(isinstance(time, float) and compact_date(time) for time in times)


def _in_order(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    time: NDArray[np.float64] | None,
    positive: NDArray[np.bool_],
    user_count: int,
    item_count: int,
    seed: int,
) -> Interactions:
    """Sort by user and time, equal times by chance, and keep each pair of user and item once.

    The order of the files is no substitute for a time: where many users take the same items at once, the last
    of them in the files would be the same for all.
    """
    drawn = np.random.default_rng(seed).permutation(len(user))
    order = np.lexsort((drawn, user) if time is None else (drawn, time, user))
    pair = user * item_count + item
    _, first, which = np.unique(pair[order], return_index=True, return_inverse=True)
    any_liked = np.zeros(len(first), bool)
    np.logical_or.at(any_liked, which, positive[order])
    by_place = np.argsort(first)
    selected = order[first[by_place]]
    times = None if time is None else time[selected]
    return Interactions(user[selected], item[selected], times, any_liked[by_place], user_count, item_count)


def _times(times: NDArray[np.float64], address: str) -> NDArray[np.float64] | None:
    missing = int(np.isnan(times).sum())
    if missing == len(times):
        return None
    if missing:
        raise InputError(
            f"{address}: {missing:,} of {len(times):,} interactions have no time; give all of them one, or "
            "name another column with --column time=NAME"
        )
    return times


def _check_age(moment: float | None, keep_days: float, now: float) -> None:
    """Raise ValueError for an interaction that is too old; InputError for times that are not seconds."""
    if moment is None:
        raise ValueError("no time: keep_days needs one")
    if moment > now + LATER_S:
        raise InputError(
            f"the time {moment:.0f} lies in the future: keep_days needs dates, or seconds since 1970"
        )
    if moment < now - keep_days * DAY_S:
        raise ValueError(f"old: more than {keep_days:g} days before the build")


def _id(row: FileRow, column: str) -> str:
    """Return an id as text. Raises ValueError for a row that cannot be read, or a blank or too long id."""
    if row.reason:
        raise ValueError(row.reason)
    value = row.cells.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers with gaps, as pandas writes them
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"no {column}: {type(value).__name__} where an id is expected")
    text = str(value).strip()
    if not text:
        raise ValueError(f"no {column}: the cell is blank")
    if len(text) > MAX_ID_CHARS:
        raise ValueError(f"too long: {column} has {len(text):,} characters, at most {MAX_ID_CHARS}")
    _check_utf8(text, column)
    return text


def _check_utf8(text: str, column: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not UTF-8: the {column} cannot be encoded") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"not text: {type(value).__name__} in the column text")
    if len(value) > MAX_TEXT_CHARS:
        raise ValueError(f"too long: the text has {len(value):,} characters, at most {MAX_TEXT_CHARS:,}")
    _check_utf8(value, "text")
    return value.strip()


def _number(value: Any, name: str) -> float | None:
    """Return the number in a cell, None for a blank one. Raises ValueError for anything else."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"not a number: {str(value)[:40]!r} in the column {name}") from None
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise ValueError(f"not a number: infinity, or more than 308 digits, in the column {name}")
    return None if math.isnan(number) else number


def _time(value: Any) -> datetime | float | None:
    """Return a date, or a number as it is; None for a blank cell."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return None
    return read_time(value)


def _described(rejected: RejectedRows) -> str:
    if not rejected.rows:
        return "no row was rejected"
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in rejected.kinds.most_common())
    first = rejected.rows[0]
    return f"rejected {kinds}; first: {first['file']}, row {first['row']}: {first['reason']}"
