"""How many customers one person may look up in a day, at the desk and by commands together.

Invariant: what was made today is read from the log in the transaction that adds the next look-up,
so neither two programs at once nor a restart give anybody more.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from outlet_client.errors import OutletError
from outlet_client.records.access_log import counts_of_day

if TYPE_CHECKING:
    import sqlalchemy as sa


class LookupQuotaReached(OutletError):
    """Somebody has looked up as many customers today as one person may.

    Attributes:
        free: When the next look-up is answered.
    """

    def __init__(self, quota: int, free: dt.datetime) -> None:
        super().__init__(
            f"You have made {quota} look-ups today, which is as many as one person may. The next "
            f"is answered from {free.astimezone():%Y-%m-%d %H:%M} on. Ask a colleague, or whoever "
            "runs this program to raise `desk.lookups_a_day`."
        )
        self.free = free


def left_today(connection: sa.Connection, by: str, at: dt.datetime, quota: int, more: int) -> int:
    """How many look-ups somebody has left today.

    Args:
        connection: To the log.
        by: Who; letters' case and spaces aside.
        at: Now.
        quota: How many one person may make in a day, by this machine's own clock.
        more: How many they want.

    Raises:
        LookupQuotaReached: If there are not so many left.
    """
    left = max(0, quota - counts_of_day(connection, by, day_start(at)))
    if more > left:
        raise LookupQuotaReached(quota, _next_day(at))
    return left


def day_start(at: dt.datetime) -> dt.datetime:
    """When the day of a moment began, by this machine's own clock."""
    return _midnight(at.astimezone().date())


def _next_day(at: dt.datetime) -> dt.datetime:
    return _midnight(at.astimezone().date() + dt.timedelta(days=1))


def _midnight(day: dt.date) -> dt.datetime:
    # Midnight may be on summer time and the moment not, or the other way round.
    return dt.datetime.combine(day, dt.time()).astimezone(dt.UTC)
