"""What the office deletes of nights that are over: answers at once, plans later.

Invariant: the ledger, and the signed plan and set of everything that it charged, stay for good; of
a release whose sum was opened only the sum itself goes. Rows stay where something counts them, such
as seals of the last year, and so that no name is signed twice.

    night over       answers of its sums: HQ has them, or nobody takes the night up any more; and
                     of its seals the second message of the transfers
    `KEPT_DAYS`      night plans; plans that charged nothing; choices of seals that no book can
                     be made of, as every outlet has put away a book so old

A blanked plan is an empty one. Who asks for what is blanked is told that it is over.
"""

from __future__ import annotations

import sqlalchemy as sa

from privacy.errors import PlanRefused
from privacy.purposes import Purpose
from privacy.seal_plans import SealKind
from server.office.tables import NIGHTS, RELEASES, SEAL_CHUNKS, SEALS, filled

KEPT_DAYS = 62
"""Longer than a book is shown (30 days after it was made, of data at most 7 days older)."""

_DAY_SECONDS = 24 * 3600
_BLANK: dict[str, bytes] = {"payload": b"", "signature": b""}


def blank_over(connection: sa.Connection, at: int) -> None:
    """Deletes, within a transaction, what nights that are over need no more.

    Args:
        connection: Of the office's store.
        at: Unix seconds.
    """
    _blank_answers(connection, at)
    _blank_plans(connection, at - KEPT_DAYS * _DAY_SECONDS)


def check_kept(payload: bytes, what: str) -> None:
    """Refuses a plan that was blanked.

    Raises:
        PlanRefused: If it was.
    """
    if not payload:
        raise PlanRefused(f"{what}: it is over, and its plan was deleted; run a new night")


def _blank_answers(connection: sa.Connection, at: int) -> None:
    over = sa.exists().where((NIGHTS.c.digest == RELEASES.c.night) & (NIGHTS.c.expires <= at))
    answered = filled(RELEASES.c.answer)
    connection.execute(RELEASES.update().where(answered & over).values(answer=b""))
    of_night = sa.exists().where((RELEASES.c.digest == SEALS.c.plan) & over)
    ended = filled(SEALS.c.transfers) & SEALS.c.secrets.is_(None) & of_night
    connection.execute(SEALS.update().where(ended).values(transfers=b""))


def _blank_plans(connection: sa.Connection, before: int) -> None:
    nights = filled(NIGHTS.c.payload) & (NIGHTS.c.expires < before)
    connection.execute(NIGHTS.update().where(nights).values(**_BLANK))
    # `set_digest` of a sum says that it was charged; of a seal nothing ever is.
    charged = RELEASES.c.set_digest.is_not(None) & (RELEASES.c.purpose != Purpose.POINTS.value)
    old = filled(RELEASES.c.payload) & (RELEASES.c.expires < before) & ~charged
    query = sa.select(RELEASES.c.digest).where(old & (RELEASES.c.digest != _last_book(connection)))
    blanked = list(connection.scalars(query))
    if blanked:
        connection.execute(SEAL_CHUNKS.delete().where(SEAL_CHUNKS.c.plan.in_(blanked)))
        mine = RELEASES.c.digest.in_(blanked)
        connection.execute(RELEASES.update().where(mine).values(**_BLANK))


def _last_book(connection: sa.Connection) -> str:
    """The plan of the last seal for bands that is complete; "" before the first."""
    complete = (SEALS.c.kind == SealKind.BAND.value) & RELEASES.c.answer.is_not(None)
    joined = sa.join(SEALS, RELEASES, SEALS.c.plan == RELEASES.c.digest)
    last = sa.select(SEALS.c.plan).select_from(joined).where(complete & SEALS.c.set_at.is_not(None))
    return connection.scalar(last.order_by(SEALS.c.set_at.desc()).limit(1)) or ""
