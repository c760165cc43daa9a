"""Throttling of failed sign-ins: how long the next try has to wait.

Invariant: a try is counted before the password is looked at, so that tries at once count too; and a
name that there is not is counted as one that there is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.errors import OutletError
from outlet_client.staff.staff_store import TRIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

FREE_TRIES = 5
"""So many in a row may fail before the next has to wait."""

FIRST_WAIT, LONGEST_WAIT = 30.0, 3600.0
"""In seconds; the wait doubles with each further failure."""

MOST_TRIED = 100_000
"""Names whose failed tries are remembered. Whoever types more makes room by those that failed
least; each costs a hash, so that takes longer than any wait."""

_FORGOTTEN = 86_400.0


class MustWait(OutletError):
    """Too many tries failed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        minutes = math.ceil(seconds / 60)
        words = "a minute" if minutes == 1 else f"{minutes} minutes"
        super().__init__(f"Too many tries have failed. Wait {words}, then try again.")


def refuse_early(connection: Connection, who: str, now: float) -> None:
    """Refuses a try that comes too early.

    Raises:
        MustWait: If it does.
    """
    connection.execute(sa.delete(TRIES).where(TRIES.c.last < now - _FORGOTTEN))
    _make_room(connection)
    seconds = wait(connection, who, now)
    if seconds > 0:
        raise MustWait(seconds)


def wait(connection: Connection, who: str, now: float) -> float:
    """For how many seconds the next try has to wait; none where it is not above zero."""
    row = connection.execute(sa.select(TRIES).where(TRIES.c.who == who)).one_or_none()
    if row is None or row.failed < FREE_TRIES:
        return 0.0
    seconds = min(FIRST_WAIT * 2.0 ** min(row.failed - FREE_TRIES, 20), LONGEST_WAIT)
    return float(row.last + seconds - now)


def failed(connection: Connection, who: str, now: float) -> None:
    """Counts a try."""
    known = sa.select(TRIES.c.failed).where(TRIES.c.who == who)
    before = connection.scalar(known) or 0
    forget(connection, who)
    connection.execute(TRIES.insert().values(who=who, failed=before + 1, last=now))


def forget(connection: Connection, who: str) -> None:
    """Forgets the tries that failed."""
    connection.execute(sa.delete(TRIES).where(TRIES.c.who == who))


def _make_room(connection: Connection) -> None:
    held = connection.scalar(sa.select(sa.func.count()).select_from(TRIES)) or 0
    if held >= MOST_TRIED:
        least = sa.select(TRIES.c.who).order_by(TRIES.c.failed, TRIES.c.last)
        go = least.limit(1 + held - MOST_TRIED + MOST_TRIED // 10)
        connection.execute(sa.delete(TRIES).where(TRIES.c.who.in_(go)))
