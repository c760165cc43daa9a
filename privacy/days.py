"""Days that a release may be taken at: near what they should be, so that nobody travels in time.

A sum as of a day in the past leaves out what came since. Who may choose the day for some outlets
and carries another's last answer takes the difference of two sums: that one outlet's numbers. So
office and outlets hold days against their own clocks.
"""

from __future__ import annotations

import datetime as dt

from privacy.errors import PlanRefused


def check_day(what: str, day: str, expected: dt.date, days_off: int) -> None:
    """Refuses a day that is far from the one that is expected.

    Args:
        what: Whose day, for the message.
        day: ISO 8601 date.
        expected: By the caller's own clock.
        days_off: How many days it may be earlier or later.

    Raises:
        PlanRefused: If it is farther off, or no day.
    """
    named = read_day(day)
    if named is None:
        raise PlanRefused(f"{what}: got a day that is none, expected YYYY-MM-DD")
    if abs((named - expected).days) > days_off:
        raise PlanRefused(
            f"{what}: got {day}, expected {expected}, {days_off} days earlier or later at most; "
            "look at the clocks of HQ and of this machine, and at `horizon_days`"
        )


def read_day(text: str) -> dt.date | None:
    """The day that a text names in the one form in which days sort as text; None for any other."""
    try:
        named = dt.date.fromisoformat(text)
    except ValueError:
        return None
    return named if named.isoformat() == text else None
