"""Times of cells: what each notation means, and what is no time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from react_ray.apps.monitor.items import parse_time
from react_ray.apps.times import compact_date

MAY = datetime(2024, 5, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "cell",
    [
        *("2024-05-01", " 20240501 ", "2024-05-01T02:00:00+02:00", "20240501T000000Z"),
        *(20240501, 20240501.0, MAY, f"{MAY:.0f}", MAY * 1000),
        *(date(2024, 5, 1), datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)),
    ],
)
def test_notations_of_a_day_are_the_same_time(cell: Any) -> None:
    assert parse_time(cell) == MAY


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        *(("yesterday", "no date such as"), ("2024", "2024 is neither"), (20240532, "is neither a date")),
        (7, "7 is neither a date"),
        pytest.param(10**400, "more than 308 digits", id="huge number"),
        pytest.param("1" + "0" * 400, "not finite", id="huge text"),
        *((True, "bool where a time"), (None, "NoneType where a time"), (float("nan"), "not finite")),
        *(("1969-12-31", "not between 1970 and 2099"), (1e300, "not between 1970 and 2099")),
        (-5, "neither a date"),
    ],
)
def test_what_is_no_time_has_a_reason(cell: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^not a time: .*{reason}"):
        parse_time(cell)


@pytest.mark.parametrize("number", [20240230.0, 20240500.0, 20241301.0, 18991231.0, 20240501.5])
def test_numbers_that_are_no_days_are_no_dates(number: float) -> None:
    assert compact_date(number) is None
