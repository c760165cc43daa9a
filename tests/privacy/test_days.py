"""A day may be off by some days either way, whoever names it, and has one spelling."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.days import check_day
from privacy.errors import PlanRefused

TODAY = dt.date(2026, 3, 1)


def on(days: int) -> str:
    return (TODAY + dt.timedelta(days=days)).isoformat()


@given(st.integers(0, 40), st.integers(-60, 60))
def test_a_day_is_taken_if_it_is_as_many_days_off_at_most(days_off: int, off: int) -> None:
    if abs(off) <= days_off:
        check_day("points", on(off), TODAY, days_off)
    else:
        with pytest.raises(PlanRefused, match=f"^points: got {on(off)}, expected 2026-03-01"):
            check_day("points", on(off), TODAY, days_off)


def test_the_bounds_are_days_of_the_calendar_across_months_and_leap_years() -> None:
    leap = dt.date(2028, 3, 1)
    check_day("points", "2028-02-23", leap, 7)
    check_day("points", "2028-03-08", leap, 7)
    for far in ("2028-02-22", "2028-03-09", "2027-03-01", "1990-01-01", "9999-12-31"):
        with pytest.raises(
            PlanRefused, match="7 days earlier or later at most; look at the clocks"
        ):
            check_day("points", far, leap, 7)


@pytest.mark.parametrize(
    "day", ["", "2026-02-30", "2026-3-1", "yesterday", "2026-03-01T00:00:00", "\ud800", "0"]
)
def test_a_day_that_is_none_is_refused_and_nothing_else_happens(day: str) -> None:
    with pytest.raises(PlanRefused, match="a day that is none, expected YYYY-MM-DD"):
        check_day("points", day, TODAY, 7)


@pytest.mark.parametrize("day", ["20260301", "2026-W09-7", "2026W097"])
def test_another_way_of_writing_the_day_is_refused(day: str) -> None:
    """As text they sort behind days that come later, and outlets take no day before the last."""
    with pytest.raises(PlanRefused):
        check_day("points", day, TODAY, 7)


@given(st.text(max_size=12))
def test_any_text_is_a_day_near_by_or_refused(text: str) -> None:
    try:
        check_day("points", text, TODAY, 7)
    except PlanRefused:
        return
    assert text in {on(off) for off in range(-7, 8)}
