"""Pairs of client-book entries that may be one person, and a person's decision about each.

Invariant: every decision is kept, with who made it and when; of several on one pair the last holds,
and no two that hold contradict each other.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.errors import OutletError
from outlet_client.people.record_linkage import Pair, Shared
from outlet_client.people.tables import CURRENT, DECISIONS, ENTRIES, PAIRS, decisions, mark_old
from outlet_client.people.withdrawals import regroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outlet_client.people.people_store import People


class DecisionRefused(OutletError):
    """A decision on a pair that cannot be kept."""


def pairs(people: People) -> list[Pair]:
    """The pairs that wait for a person, by customer id."""
    with people.reading() as connection:
        rows = connection.execute(sa.select(PAIRS).order_by(PAIRS.c.one, PAIRS.c.other))
        return [Pair(row.one, row.other, Shared(row.shared)) for row in rows]


def decide(people: People, one: str, other: str, *, same: bool, by: str) -> None:
    """Keeps what a person decided of two customers; it holds at once.

    Two who are the same share their consents and their withdrawals from now on. Of two who are
    different, neither uses the phone or e-mail that they share.

    Any two customers of the client book will do, not only one of `pairs`.

    Raises:
        DecisionRefused: If nobody's name is given, a customer is in no client book, or an earlier
            decision says otherwise.
    """
    one, other = sorted((one.strip(), other.strip()))
    if not by.strip():
        raise DecisionRefused("decision: got no name, expected who decided; give --by NAME")
    if one == other:
        raise DecisionRefused(f"decision: got customer {one} twice, expected two customers")
    with people.transaction() as connection:
        for customer in (one, other):
            known = sa.select(ENTRIES.c.number).where(CURRENT, ENTRIES.c.customer == customer)
            if connection.execute(known.limit(1)).first() is None:
                raise DecisionRefused(
                    f"customer {customer}: not in the client book; expected an id as it "
                    "stands there"
                )
        said = decisions(connection) | {(one, other): same}
        against = _contradiction(said)
        if against is not None:
            raise DecisionRefused(
                f"customers {one} and {other}: that would make {' and '.join(against)} one person, "
                "whom somebody decided to be different; decide on those two again first"
            )
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        connection.execute(
            DECISIONS.insert().values(one=one, other=other, same=same, by=by.strip(), at=at)
        )
        mark_old(connection)
        regroup(connection)


def _contradiction(said: dict[tuple[str, str], bool]) -> tuple[str, str] | None:
    """A pair that is different by one decision, and the same by others."""
    persons = _joined(pair for pair, same in said.items() if same)
    return next(
        (
            pair
            for pair, same in said.items()
            if not same and persons.get(pair[0], pair[0]) == persons.get(pair[1], pair[1])
        ),
        None,
    )


def _joined(same: Iterable[tuple[str, str]]) -> dict[str, str]:
    members: dict[str, set[str]] = {}
    for one, other in same:
        both = members.get(one, {one}) | members.get(other, {other})
        members |= dict.fromkeys(both, both)
    return {customer: min(both) for customer, both in members.items()}
