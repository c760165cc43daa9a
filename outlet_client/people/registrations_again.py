"""Registrations that HQ lost, and that are handed in again: few times by itself, else by a person.

Where HQ was restored from an older copy the directory stands, but HQ lacks what belongs to it: by
which registration an outlet may withdraw, what homes read their fine bins with, and how many
outlets know a customer. The privacy office tells all outlets alike of which batches.

Each registration of these batches gets a batch of its own to go with, drawn over a week at least:
HQ sees a key in two batches then, and so in the outlets of both. An HQ that claimed losses again
and again would have outlets in fewer and fewer common; so MOST_ALONE of them a year are answered
without a word, and any further one waits until a person here has asked why.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from outlet_client.people.person_states import AGAIN_WITHIN, State, move
from outlet_client.people.tables import PEOPLE, RESYNCS, SUBMISSIONS
from privacy.envelopes import digest

if TYPE_CHECKING:
    from privacy.registration_losses import RegistrationLoss

_LOG = logging.getLogger(__name__)

MOST_ALONE, DAYS = 2, 365
"""So many losses within so many days are answered without a person."""

A_BATCH = 128
"""So many registrations go again with one batch, on average, at most."""


class HeldResync(NamedTuple):
    """A loss that waits for a person.

    Attributes:
        people: How many registrations would be handed in again.
        since: The day on which the office told of it, ISO 8601.
    """

    people: int
    since: str


def hear_of_loss(connection: sa.Connection, loss: RegistrationLoss, today: dt.date) -> None:
    """Notes a loss that the office told of, and hands in again what HQ lost, or holds it.

    Args:
        connection: Of the store.
        loss: Signed by the office; told again every night.
        today: By this outlet's clock.
    """
    name = digest(loss.encode())
    known = sa.select(RESYNCS.c.statement).where(RESYNCS.c.statement == name)
    if connection.scalar(known) is not None:
        return
    first = (today - dt.timedelta(days=DAYS)).isoformat()
    alone = (RESYNCS.c.heard > first) & RESYNCS.c.people.is_not(None) & RESYNCS.c.by.is_(None)
    before = connection.scalar(sa.select(sa.func.count()).where(alone)) or 0
    row = {"statement": name, "after": loss.after, "upto": loss.upto, "heard": today.isoformat()}
    people = None if before >= MOST_ALONE else _draw(connection, loss.after, loss.upto)
    connection.execute(RESYNCS.insert().values(**row, people=people))
    if people is None:
        _LOG.warning(
            "HQ says once more that it lost registrations (batches %d to %d): they are handed in "
            "again when a person here says so",
            loss.after + 1, loss.upto,
        )  # fmt: skip
    else:
        _LOG.warning(
            "HQ lost the registrations of batches %d to %d: %d of this outlet are handed in again",
            loss.after + 1, loss.upto, people,
        )  # fmt: skip


def held_resync(connection: sa.Connection) -> HeldResync | None:
    """What waits for a person; None where nothing does."""
    waiting = connection.execute(sa.select(RESYNCS).where(RESYNCS.c.people.is_(None))).all()
    if not waiting:
        return None
    after, upto = min(row.after for row in waiting), max(row.upto for row in waiting)
    count = sa.select(sa.func.count()).where(_lost(after, upto))
    return HeldResync(connection.scalar(count) or 0, min(row.heard for row in waiting))


def accept_resync(connection: sa.Connection, by: str) -> int:
    """Hands in again what waited; returns how many registrations that is."""
    waiting = connection.execute(sa.select(RESYNCS).where(RESYNCS.c.people.is_(None))).all()
    if not waiting:
        return 0
    after, upto = min(row.after for row in waiting), max(row.upto for row in waiting)
    people = _draw(connection, after, upto)
    held = sa.update(RESYNCS).where(RESYNCS.c.people.is_(None))
    connection.execute(held.values(people=people, by=by))
    return people


def _draw(connection: sa.Connection, after: int, upto: int) -> int:
    """Draws the batch that each lost registration is handed in again with."""
    keys = list(connection.scalars(sa.select(PEOPLE.c.key).where(_lost(after, upto))))
    within = max(AGAIN_WITHIN, -(-len(keys) // A_BATCH))
    last = connection.scalar(sa.select(sa.func.max(SUBMISSIONS.c.batch))) or 0
    for key in keys:
        move(connection, [key], again=max(last, upto) + 1 + secrets.randbelow(within))
    return len(keys)


def _lost(after: int, upto: int) -> sa.ColumnElement[bool]:
    """Who is listed by a registration of these batches."""
    inside = (PEOPLE.c.batch > after) & (PEOPLE.c.batch <= upto)
    return (PEOPLE.c.state == State.LISTED) & inside
