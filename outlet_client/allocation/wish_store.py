"""Wishes that customers told at the desk: the outlet's waitlist in its own `rights.db`.

Invariant: a wish is of a key that only this outlet can make, or of the outlet's own id of a
customer; nobody waits twice for one reference, and what is added, closed or erased is in the log
in the same transaction, with a name.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from outlet_client.database import driver_rows
from outlet_client.errors import OutletError
from outlet_client.log_tables.rights_store import WISHES, rights_if_any
from outlet_client.people.tables import in_batches
from outlet_client.records.access_log import LogAct, record_act

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

KEEP_DAYS = 365
"""How long a closed wish stays."""

_NAME = "desk wish "
_ALL = "SELECT number, key, customer, reference, since FROM wishes"
_OPEN = f"{_ALL} WHERE closed IS NULL"


class WishRefused(OutletError):
    """There is no such wish, it is closed, or the customer waits already."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish.

    Attributes:
        key: Whose, by `People.local_key`; "" where a list named the outlet's own id.
        customer: That id; "" where there is a key.
        reference: By its name of the outlet's list.
        since: The day it counts from.
        at: When it was taken down, UTC.
        closed: When it was closed, UTC; None while it is open.
    """

    number: int
    key: str = field(repr=False)
    customer: str
    reference: str
    since: dt.date
    at: dt.datetime
    by: str
    closed: dt.datetime | None = None
    closed_by: str | None = None
    reason: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What its customer is called where the client book has nobody with the key."""
        return self.customer or wish_name(self.number)

    def as_dict(self) -> dict[str, Any]:
        """For JSON and pages, without the key."""
        return {
            "number": self.number,
            "reference": self.reference,
            "since": self.since.isoformat(),
            "by": self.by,
            "closed": None if self.closed is None else self.closed.isoformat(timespec="seconds"),
            "closed_by": self.closed_by or "",
            "reason": self.reason or "",
        }


class WishRow(NamedTuple):
    """What a proposal needs of a wish, as quickly as ten thousand can be read."""

    number: int
    key: str
    customer: str
    reference: str
    since: dt.date

    @property
    def name(self) -> str:
        """As `Wish.name`."""
        return self.customer or wish_name(self.number)


@dataclass(frozen=True, slots=True)
class NewWish:
    """A wish as it was told: of a key, or of a customer's id."""

    reference: str
    since: dt.date
    key: str = field(default="", repr=False)
    customer: str = ""


def wish_name(number: int) -> str:
    """What the customer of a wish is called whom the client book does not know."""
    return f"{_NAME}{number}"


def add_wishes(
    connection: sa.Connection, told: Sequence[NewWish], by: str, at: dt.datetime
) -> list[int]:
    """Takes wishes down; returns their numbers."""
    insert = WISHES.insert().returning(WISHES.c.number)
    numbers = []
    for one in told:
        row = {
            "key": one.key, "customer": one.customer, "reference": one.reference,
            "since": one.since, "at": at, "by": by,
        }  # fmt: skip
        number = int(connection.execute(insert, row).scalar_one())
        about = f"wish {number}"
        record_act(connection, at, LogAct.WISH, by, key=one.key, about=about, outcome="added")
        numbers.append(number)
    return numbers


def close_wish(
    connection: sa.Connection, number: int, by: str, reason: str, at: dt.datetime
) -> Wish:
    """Closes an open wish, with a reason that its customer may read.

    Raises:
        WishRefused: If there is none of this number, or it is closed; that stays.
    """
    found = next(iter(wishes(connection, number=number)), None)
    if found is None:
        raise WishRefused(
            f"wish {number}: there is none of this number; `escapement-outlet waitlist list` and "
            "the page of the waitlist have them"
        )
    if found.closed is not None:
        raise WishRefused(
            f"wish {number}: closed on {found.closed:%Y-%m-%d} by {found.closed_by}, and that "
            "stays; take down a new one if the customer asks again"
        )
    values = {"closed": at, "closed_by": by, "reason": reason}
    connection.execute(sa.update(WISHES).where(WISHES.c.number == number).values(**values))
    about = f"wish {number}"
    record_act(connection, at, LogAct.WISH, by, key=found.key, about=about, outcome="closed")
    return wishes(connection, number=number)[0]


def erase_wishes(
    connection: sa.Connection, key: str, found: Sequence[Wish], by: str, at: dt.datetime
) -> None:
    """Deletes wishes of one person, open or closed; the log has the key."""
    if not found:
        return
    delete = sa.delete(WISHES).where(WISHES.c.number == sa.bindparam("b_number"))
    connection.execute(delete, [{"b_number": one.number} for one in found])
    said = f"{len(found)} erased"
    record_act(connection, at, LogAct.WISH, by, key=key, about="the waitlist", outcome=said)


def wishes(
    connection: sa.Connection, *, number: int | None = None, only_open: bool = False
) -> list[Wish]:
    """All wishes, or that of a number; the oldest first."""
    query = sa.select(WISHES).order_by(WISHES.c.number)
    if number is not None:
        query = query.where(WISHES.c.number == number)
    if only_open:
        query = query.where(WISHES.c.closed.is_(None))
    return [Wish(**row) for row in connection.execute(query).mappings()]


def wishes_of(
    connection: sa.Connection, keys: Collection[str], customers: Collection[str]
) -> list[Wish]:
    """All wishes of one person, by their keys and the outlet's ids of them; the oldest first."""
    found: dict[int, Wish] = {}
    for theirs in _of(keys, customers):
        rows = connection.execute(sa.select(WISHES).where(theirs)).mappings()
        found |= {row["number"]: Wish(**row) for row in rows}
    return [found[number] for number in sorted(found)]


def wishes_in(home: Path, *, only_open: bool = False) -> list[Wish]:
    """The wishes of an outlet's folder, the oldest first."""
    with rights_if_any(home) as connection:
        return [] if connection is None else wishes(connection, only_open=only_open)


def wish_rows(home: Path, *, only_open: bool = False) -> list[WishRow]:
    """The same with less of each."""
    with rights_if_any(home) as connection:
        found = [] if connection is None else driver_rows(connection, _OPEN if only_open else _ALL)
    return [
        WishRow(number, key, customer, reference, dt.date.fromisoformat(since))
        for number, key, customer, reference, since in found
    ]


def purge_wishes(home: Path, first: dt.date, before: dt.datetime) -> int:
    """Deletes wishes from before a day, and those closed before a moment; returns how many."""
    with rights_if_any(home) as connection:
        if connection is None:
            return 0
        old = sa.or_(WISHES.c.since < first, WISHES.c.closed < before)
        return connection.execute(sa.delete(WISHES).where(old)).rowcount


def _of(keys: Collection[str], customers: Collection[str]) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of being one person's; each fits into a query."""
    for column, values in ((WISHES.c.key, keys), (WISHES.c.customer, customers)):
        yield from (column.in_(some) for some in in_batches([one for one in values if one]))
