"""Withdrawals of whole persons, whichever of their phones and e-mails is typed.

Invariant: a withdrawal ends the consents under all keys of whoever it reaches, and holds for every
key that becomes theirs later: a consent that is not younger never counts for them again, be it
imported afterwards, or under a key whose client entry comes to be theirs afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from outlet_client.moments import text_of_moment
from outlet_client.people.linked_keys import contested, keys_of, reach, withdrawn_keys
from outlet_client.people.person_states import State, followed_batch, move, record_people
from outlet_client.people.record_linkage import ClientEntry, link_entries
from outlet_client.people.relay_submissions import assume_delivered
from outlet_client.people.tables import (
    CONSENTS,
    CONTESTED,
    CURRENT,
    ENTRIES,
    KEYS,
    PAIRS,
    PEOPLE,
    PERSONS,
    TYPED_TOGETHER,
    WITHDRAWALS,
    decisions,
    frame_of,
    grouped,
    mark_grouped,
    rows_of,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from outlet_client.people.consents import Consent, Recorded


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a withdrawal came to.

    Attributes:
        state: Where the person stands now, of several keys the one that HQ is still to hear of;
            None if nobody here ever consented under any of them.
        ended: How many keys stood until now.
        left: Whether anything of the person ever left this outlet.
        persons: Persons of the client book who were reached; more than one where what was typed is
            of several, and nobody decided whose.
    """

    state: State | None
    ended: int
    left: bool
    persons: int


def withdraw(connection: sa.Connection, typed: Collection[str], at: dt.datetime) -> Withdrawal:
    """Ends the consents of whoever has one of these keys.

    With a token, HQ hears of it, for the outlets that registered the person. Somebody who is
    only known never left, and is withdrawn here alone.
    """
    regroup(connection)
    reached = reach(connection, typed)
    keys = sorted(reached.keys)
    _end_consents(connection, keys, at)
    insert = WITHDRAWALS.insert().prefix_with("OR REPLACE")
    moment = text_of_moment(at)
    connection.execute(insert, [{"key": key, "at": moment} for key in sorted(reached.own)])
    ended = _leave(connection, keys)
    rows = list(rows_of(connection, keys, PEOPLE.c.key, PEOPLE.c.state, PEOPLE.c.token))
    states = {State(state) for _, state, _ in rows}
    state = next((one for one in _TOLD if one in states), None)
    left = any(token is not None for _, _, token in rows)
    return Withdrawal(state, ended, left, reached.persons)


def bring_back(connection: sa.Connection, moments: Mapping[str, dt.datetime]) -> None:
    """Notes withdrawals by key that a lost store knew: no consent that is older counts."""
    insert = WITHDRAWALS.insert().prefix_with("OR IGNORE")
    if moments:
        rows = [{"key": key, "at": text_of_moment(at)} for key, at in moments.items()]
        connection.execute(insert, rows)


def would_end(connection: sa.Connection, keys: Collection[str]) -> int:
    """How many keys' consents a withdrawal by these keys would end."""
    regroup(connection)
    reached = reach(connection, keys).keys
    rows = rows_of(connection, list(reached), PEOPLE.c.key, PEOPLE.c.state)
    return sum(State(state).stands for _, state in rows)


def adopt_old_store(connection: sa.Connection) -> None:
    """Takes over the withdrawals of a store that was made before they had a table."""
    over = CONSENTS.c.withdrawn_at
    none_yet = ~sa.exists(sa.select(WITHDRAWALS.c.key))
    ended = sa.select(CONSENTS.c.key, sa.func.max(over)).where(over.is_not(None), none_yet)
    connection.execute(
        WITHDRAWALS.insert().from_select(["key", "at"], ended.group_by(CONSENTS.c.key))
    )


def record_all(connection: sa.Connection, consents: Sequence[Consent]) -> list[Recorded]:
    """Adds consents, each under one key of its person.

    That is the first that was typed and is not contested, or an earlier one of the person that
    stands already: so nobody has two tokens for no reason.
    """
    regroup(connection)
    typed = {key for consent in consents for key in (consent.key, *consent.also)}
    nobodys, aliases = contested(connection, typed), keys_of(connection, typed)
    others = {key for keys in aliases.values() for key in keys}
    standing = {
        key
        for key, state in rows_of(connection, list(others), PEOPLE.c.key, PEOPLE.c.state)
        if State(state).stands
    }
    placed, together = [], []
    for consent in consents:
        keys = (consent.key, *consent.also)
        own = next((key for key in keys if key not in nobodys), consent.key)
        earlier = aliases[own][: aliases[own].index(own)]
        best = next((key for key in earlier if key in standing), own)
        also = tuple(key for key in keys if key != best)
        placed.append(consent._replace(key=best, also=also))
        together += [{"key": best, "also": key} for key in also]
    if together:
        connection.execute(TYPED_TOGETHER.insert().prefix_with("OR IGNORE"), together)
    return record_people(connection, placed, withdrawn_keys(connection))


def regroup(connection: sa.Connection) -> None:
    """Brings groups up to date, and ends what a withdrawal reaches since; cheap if nothing changed.

    To be called in the transaction in which entries or decisions changed.
    """
    if grouped(connection):
        return
    _drop_former(connection)
    said = decisions(connection)
    found = link_entries(
        _linked(connection, said),
        [pair for pair, same in said.items() if same],
        [pair for pair, same in said.items() if not same],
    )
    pairs = [{"one": p.one, "other": p.other, "shared": p.shared.value} for p in found.pairs]
    persons = [{"customer": one, "person": who} for one, who in found.persons.items()]
    nobodys = [{"key": key} for key in sorted(found.contested)]
    for table, rows in ((PERSONS, persons), (CONTESTED, nobodys), (PAIRS, pairs)):
        connection.execute(table.delete())
        if rows:
            connection.execute(table.insert(), rows)
    mark_grouped(connection)
    _end_joined(connection)


_TOLD = (State.WITHDRAWING, State.WITHDRAWN, State.BURIED)


def _leave(connection: sa.Connection, keys: Sequence[str]) -> int:
    """Moves those who stand to where a withdrawal leads; returns how many."""
    rows = [
        (key, State(state), token)
        for key, state, token in rows_of(
            connection, keys, PEOPLE.c.key, PEOPLE.c.state, PEOPLE.c.token
        )
        if State(state).stands
    ]
    if any(state is State.EVALUATED for _, state, _ in rows):
        assume_delivered(connection)  # what was stored to be repeated may hold this person
    # What is registered only to be withdrawn is as new as the withdrawal.
    since = followed_batch(connection)
    for state, some in (
        (State.WITHDRAWN, [key for key, _, token in rows if token is None]),
        (State.WITHDRAWING, [key for key, _, token in rows if token is not None]),
    ):
        move(connection, some, state=state, tries=0, since=since, not_before=0)
    return len(rows)


def _end_joined(connection: sa.Connection) -> None:
    """Ends consents that are not younger than a withdrawal of the person that they are of now."""
    moments = withdrawn_keys(connection)
    standing = [
        (key, at, notice)
        for key, at, notice, over in rows_of(
            connection, list(moments), CONSENTS.c.key, CONSENTS.c.recorded_at,
            CONSENTS.c.notice, CONSENTS.c.withdrawn_at,
        )
        if over is None
    ]  # fmt: skip
    old = [one for one in standing if one[1] <= moments[one[0]]]
    if not old:
        return
    update = sa.update(CONSENTS).where(
        CONSENTS.c.key == sa.bindparam("b_key"),
        CONSENTS.c.recorded_at == sa.bindparam("b_at"),
        CONSENTS.c.notice == sa.bindparam("b_notice"),
    )
    connection.execute(
        update.values(withdrawn_at=sa.bindparam("b_over")),
        [{"b_key": k, "b_at": at, "b_notice": n, "b_over": moments[k]} for k, at, n in old],
    )
    younger = {key for key, at, _ in standing if at > moments[key]}
    _leave(connection, sorted({key for key, _, _ in old} - younger))


def _linked(
    connection: sa.Connection, said: Mapping[tuple[str, str], bool]
) -> Iterator[ClientEntry]:
    """The entries of the customers who share a key, or were decided about, in order."""
    query = sa.select(ENTRIES.c.customer, *KEYS).where(CURRENT).order_by(ENTRIES.c.number)
    entries = frame_of(connection, query)
    customers = {customer for pair in said for customer in pair}
    for key in KEYS:
        held = entries.select("customer", key.name).drop_nulls().unique(maintain_order=True)
        customers.update(held.filter(pl.col(key.name).is_duplicated())["customer"])
    linked = entries.filter(pl.col("customer").is_in(list(customers)))
    return (ClientEntry(*row) for row in linked.iter_rows())


def _drop_former(connection: sa.Connection) -> None:
    """Drops former entries under whose keys nobody ever consented or withdrew.

    But for the ledger's, while another client book is in use: they may be wanted again.
    """
    in_use = ENTRIES.c.origin.in_(sa.select(ENTRIES.c.origin).where(CURRENT))
    needed = [key.in_(sa.select(table.c.key)) for key in KEYS for table in (CONSENTS, WITHDRAWALS)]
    # NULL IN (...) is NULL, and so would be the whole condition.
    unneeded = [sa.func.coalesce(one, sa.false()).is_(sa.false()) for one in needed]
    connection.execute(sa.delete(ENTRIES).where(ENTRIES.c.former, in_use, *unneeded))


def _end_consents(connection: sa.Connection, keys: Sequence[str], at: dt.datetime) -> None:
    update = (
        sa.update(CONSENTS)
        .where(CONSENTS.c.key == sa.bindparam("b_key"), CONSENTS.c.withdrawn_at.is_(None))
        .values(withdrawn_at=text_of_moment(at))
    )
    if keys:
        connection.execute(update, [{"b_key": key} for key in keys])
