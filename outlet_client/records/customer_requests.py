"""Customers' requests and disputes: kind, due day, and who answered them.

Invariant: a request is answered once, by a person with a name; a disputed band is not shown until
the dispute is answered; and the log has both, in the same transaction.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from outlet_client.database import driver_rows
from outlet_client.errors import OutletError
from outlet_client.log_tables.rights_store import REQUESTS, rights_if_any
from outlet_client.records.access_log import LogAct, record_act

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_DISPUTED = "SELECT key, number FROM requests WHERE kind = 'dispute' AND answered IS NULL"


class RequestRefused(OutletError):
    """There is no such request, or it was answered before."""


class RequestKind(StrEnum):
    """What a customer may ask for."""

    ACCESS = "access"
    EXPORT = "export"
    CORRECTION = "correction"
    WITHDRAWAL = "withdrawal"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a customer.

    Attributes:
        key: Whose, by `People.local_key`.
        answered: When, UTC; None while it is open.
    """

    number: int
    kind: RequestKind
    key: str = field(repr=False)
    received: dt.date
    due: dt.date
    taken_by: str
    about: str = field(repr=False)
    answered: dt.datetime | None
    answered_by: str
    answer: str = field(repr=False)

    def overdue(self, day: dt.date) -> bool:
        """Whether it was to be answered before a day, and is open."""
        return self.answered is None and self.due < day

    def standing(self, day: dt.date) -> str:
        """Where it stands, in words."""
        if self.answered is not None:
            return f"answered {self.answered:%Y-%m-%d} by {self.answered_by}"
        if self.overdue(day):
            return f"OVERDUE since {self.due.isoformat()}"
        return f"open until {self.due.isoformat()}"

    def as_dict(self, day: dt.date) -> dict[str, Any]:
        """The request for JSON and pages, with its standing on a day; without the key."""
        return {
            "number": self.number,
            "kind": self.kind.value,
            "received": self.received.isoformat(),
            "due": self.due.isoformat(),
            "overdue": self.overdue(day),
            "standing": self.standing(day),
            "taken_by": self.taken_by,
            "about": self.about,
            "answer": self.answer,
        }


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request as it was recorded.

    Attributes:
        days: Within how many it is to be answered.
        about: What the customer said; "" where it is said by the kind.
        at: When it was written down, UTC.
    """

    received: dt.date
    days: int
    by: str
    about: str = field(default="", repr=False)
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


def receive(connection: sa.Connection, kind: RequestKind, key: str, taking: NewRequest) -> int:
    """Records a request; returns its number."""
    row = {
        "kind": kind.value,
        "key": key,
        "received": taking.received,
        "due": taking.received + dt.timedelta(days=taking.days),
        "taken_by": taking.by,
        "about": taking.about,
    }
    made = connection.execute(REQUESTS.insert().returning(REQUESTS.c.number), row)
    number = int(made.scalar_one())
    said = f"{kind} taken down"
    about = _about(number)
    record_act(connection, taking.at, LogAct.REQUEST, taking.by, key=key, about=about, outcome=said)
    return number


def answer(connection: sa.Connection, number: int, by: str, words: str, at: dt.datetime) -> Request:
    """Answers an open request; returns it with the answer.

    Raises:
        RequestRefused: If there is none of this number, or it was answered before; that stays.
    """
    found = next(iter(requests(connection, number=number)), None)
    if found is None:
        raise RequestRefused(
            f"request {number}: there is none of this number; `escapement-outlet customer requests`"
            " lists them"
        )
    if found.answered is not None:
        raise RequestRefused(
            f"request {number}: {found.standing(at.date())}, and an answer stays; take down a new "
            "request with `escapement-outlet customer receive`"
        )
    values = {"answered": at, "answered_by": by, "answer": words}
    update = sa.update(REQUESTS).where(REQUESTS.c.number == number).values(**values)
    connection.execute(update)
    said = f"{found.kind} answered"
    record_act(
        connection, at, LogAct.REQUEST, by, key=found.key, about=_about(number), outcome=said
    )
    return requests(connection, number=number)[0]


def answer_all(
    connection: sa.Connection,
    kind: RequestKind,
    keys: Sequence[str],
    words: str,
    by: str,
    at: dt.datetime,
) -> list[int]:
    """Answers all of one person's open requests of a kind; returns their numbers."""
    numbers = open_numbers(connection, kind, keys)
    for number in numbers:
        answer(connection, number, by, words, at)
    return numbers


def open_numbers(connection: sa.Connection, kind: RequestKind, keys: Sequence[str]) -> list[int]:
    """The numbers of one person's open requests of a kind, the oldest first."""
    found = requests(connection, keys)
    return [one.number for one in found if one.answered is None and one.kind is kind]


def under_review(connection: sa.Connection, keys: Sequence[str]) -> bool:
    """Whether a person disputes what is held of them, and nobody has decided yet."""
    return not disputed(connection).keys().isdisjoint(keys)


def disputed(connection: sa.Connection) -> dict[str, int]:
    """The keys under which a dispute is open, and its number; most often there are none."""
    return dict(driver_rows(connection, _DISPUTED))


def requests(
    connection: sa.Connection, keys: Sequence[str] | None = None, number: int | None = None
) -> list[Request]:
    """The requests of one person, the one of a number, or all; the oldest first."""
    query = sa.select(REQUESTS).order_by(REQUESTS.c.number)
    if keys is not None:
        query = query.where(REQUESTS.c.key.in_(keys))
    if number is not None:
        query = query.where(REQUESTS.c.number == number)
    return [
        Request(
            **{
                **row,
                "kind": RequestKind(row["kind"]),
                "answered_by": row["answered_by"] or "",
                "answer": row["answer"] or "",
            }
        )
        for row in connection.execute(query).mappings()
    ]


def open_requests(home: Path) -> list[Request]:
    """The requests that nobody has answered yet, the oldest first."""
    with rights_if_any(home) as connection:
        found = [] if connection is None else requests(connection)
    return [one for one in found if one.answered is None]


def overdue_requests(home: Path, at: dt.datetime) -> int:
    """How many open requests were to be answered before this day."""
    return sum(one.overdue(at.date()) for one in open_requests(home))


def _about(number: int) -> str:
    return f"request {number}"
