"""People whom directories take away: few at a time, and many only after a person has looked.

A blank slot ends a consent here. The privacy office countersigns it only with a proof of
withdrawal, but an outlet that withdraws all its customers by mistake, or a stolen folder, can make
many. So what takes away more than a handful waits until a person accepts it: nobody's consent ends,
and nobody who lost a slot counts in a sum or has a band in a new book. Small losses of many nights
are counted together.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import sqlalchemy as sa

from outlet_client.people.tables import HELD, LOSSES

ALWAYS, SHARE, DAYS = 3, 0.05, 31
"""A directory may take away so many people, or this share of those listed, within so many days."""


class HeldLosses(NamedTuple):
    """What waits for a person to decide.

    Attributes:
        lost: How many people a directory takes away.
        since: The day on which that was seen first, ISO 8601.
    """

    lost: int
    since: str


def are_too_many(connection: sa.Connection, lost: int, listed: int, today: dt.date) -> bool:
    """Whether so many losses, with those of the days before, wait for a person.

    Args:
        connection: Of the store.
        lost: How many people a directory takes away.
        listed: How many are listed before.
        today: By this outlet's clock.
    """
    first = (today - dt.timedelta(days=DAYS)).isoformat()
    query = sa.select(sa.func.coalesce(sa.func.sum(LOSSES.c.lost), 0)).where(LOSSES.c.day > first)
    before = int(connection.scalar(query) or 0)
    return lost > 0 and lost + before > max(ALWAYS, SHARE * (listed + before))


def hold(connection: sa.Connection, lost: int, today: dt.date) -> None:
    """Notes that losses wait for a person."""
    found = held(connection)
    connection.execute(HELD.delete())
    since = today.isoformat() if found is None else found.since
    connection.execute(HELD.insert().values(lost=lost, since=since))


def note_losses(connection: sa.Connection, lost: int, today: dt.date) -> None:
    """Notes losses that ended consents; none wait any more."""
    connection.execute(HELD.delete())
    if not lost:
        return
    day = LOSSES.c.day == today.isoformat()
    before = connection.scalar(sa.select(LOSSES.c.lost).where(day)) or 0
    connection.execute(LOSSES.delete().where(day))
    connection.execute(LOSSES.insert().values(day=today.isoformat(), lost=before + lost))


def accept_losses(connection: sa.Connection) -> None:
    """Notes that a person looked: what was lost until now is not counted with what comes."""
    connection.execute(HELD.delete())
    connection.execute(LOSSES.delete())


def held(connection: sa.Connection) -> HeldLosses | None:
    """What waits; None where nothing does."""
    row = connection.execute(sa.select(HELD.c.lost, HELD.c.since)).one_or_none()
    return None if row is None else HeldLosses(*row)
