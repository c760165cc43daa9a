"""The log of look-ups: who asked about whom, when and why, and what came of it.

Invariant: an entry names a customer by a key that only this outlet can make; it is stored before
anybody reads the answer, and it stays for a year.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.people.consent import text_of_moment
from outlet_client.rights.asked import Asked, Purpose
from outlet_client.rights.tables import LOOK_UPS, rights_if_any, rights_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEEP_DAYS = 365
"""How long an entry stays."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One look-up.

    Attributes:
        number: Its place in the log.
        at: When, UTC.
        asked: By whom, and why.
        outcome: A `lookup.Status`, what else was shown, or the type of the error that there was
            instead of an answer.
    """

    number: int
    at: dt.datetime
    asked: Asked
    outcome: str


def note(
    connection: sa.Connection,
    at: dt.datetime,
    asked: Asked,
    outcomes: Sequence[tuple[str, str]],
) -> None:
    """Adds look-ups to the log.

    Args:
        connection: Whose transaction ends before anybody reads the answers.
        at: When.
        asked: By whom, and why.
        outcomes: Key and outcome of each.
    """
    rows = [
        {
            "at": text_of_moment(at),
            "key": key,
            "by": asked.by,
            "purpose": asked.purpose.value,
            "outcome": outcome,
        }
        for key, outcome in outcomes
    ]
    if rows:
        connection.execute(LOOK_UPS.insert(), rows)


def note_in(home: Path, at: dt.datetime, asked: Asked, key: str, outcome: str) -> None:
    """Adds one look-up to the log of an outlet's folder; it is durable when this returns."""
    with rights_of(home) as connection:
        note(connection, at, asked, [(key, outcome)])


def entries(
    connection: sa.Connection, keys: Sequence[str], since: dt.datetime
) -> tuple[Entry, ...]:
    """The look-ups of one person since a moment, the oldest first.

    Args:
        connection: Of `rights.db`.
        keys: All of the person's.
        since: Earlier ones are left out.
    """
    query = (
        sa.select(LOOK_UPS)
        .where(LOOK_UPS.c.key.in_(keys), LOOK_UPS.c.at >= text_of_moment(since))
        .order_by(LOOK_UPS.c.number)
    )
    return tuple(
        Entry(
            row.number,
            dt.datetime.fromisoformat(row.at),
            Asked(row.by, Purpose(row.purpose)),
            row.outcome,
        )
        for row in connection.execute(query)
    )


def purge_lookups(home: Path, before: dt.datetime) -> int:
    """Deletes the entries that are older than a moment.

    Returns:
        How many.
    """
    with rights_if_any(home) as connection:
        if connection is None:
            return 0
        old = sa.delete(LOOK_UPS).where(LOOK_UPS.c.at < text_of_moment(before))
        return connection.execute(old).rowcount
