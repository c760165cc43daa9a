"""The other keys and client-book entries of the person whom a key belongs to.

Invariant: for telling (`keys_of`, `customers_of`) an identifier that is contested is nobody's; for
ending (`reach`) it is everybody's who has it. So nobody is shown another's record, and no way of
typing one's phone or e-mail leaves a consent of one's own standing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from outlet_client.people.tables import (
    CONTESTED,
    CURRENT,
    ENTRIES,
    KEYS,
    PERSONS,
    TYPED_TOGETHER,
    WITHDRAWALS,
    grouped,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(frozen=True, slots=True, repr=False)
class Reach:
    """What a withdrawal by some keys ends.

    Attributes:
        keys: All keys whose consents end.
        own: Those of them that are the person's alone, or were typed: what joins them later is
            withdrawn too.
        persons: Persons of the client book who are reached.
    """

    keys: frozenset[str]
    own: frozenset[str]
    persons: int


def keys_of(connection: sa.Connection, keys: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each key all keys of its person, phones first; always with the key itself."""
    found: dict[str, tuple[str, ...]] = {key: (key,) for key in keys}
    if not grouped(connection):
        return found
    persons = _persons_of(connection, keys)
    for key in contested(connection, keys):
        persons.pop(key, None)
    used = _used_keys(connection, {person for some in persons.values() for person in some})
    # A key that is not contested has one person.
    return found | {key: used[person] for key, [person] in persons.items()}


def customers_of(connection: sa.Connection, key: str) -> tuple[str, ...]:
    """The client-book entries of a key's person, as customer ids; none of a contested key."""
    if not grouped(connection) or contested(connection, [key]):
        return ()
    persons = _persons_of(connection, [key]).get(key, set())
    return tuple(sorted(_members(connection, persons)))


def customers_of_keys(
    connection: sa.Connection, keys: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """What `customers_of` says of each of many keys that somebody has."""
    if not grouped(connection):
        return {}
    persons = _persons_of(connection, keys)
    for key in contested(connection, keys):
        persons.pop(key, None)
    members: dict[str, list[str]] = {}
    for customer, person in _members(
        connection, {one for some in persons.values() for one in some}
    ).items():
        members.setdefault(person, []).append(customer)
    # A key that is not contested has one person.
    return {key: tuple(sorted(members[person])) for key, [person] in persons.items()}


def contested(connection: sa.Connection, keys: Collection[str]) -> set[str]:
    """Those of some keys that several customers share, so that they count as nobody's."""
    return {key for (key,) in rows_of(connection, keys, CONTESTED.c.key)}


def reach(connection: sa.Connection, typed: Collection[str]) -> Reach:
    """What a withdrawal by these keys ends; the groups must be up to date."""
    typed = {*typed, *_typed_with(connection, typed)}
    holders = _persons_of(connection, typed)
    persons = {person for some in holders.values() for person in some}
    # Who had it last, where nobody has it now.
    former = _persons_of(connection, typed - holders.keys(), ENTRIES.c.former)
    persons.update(person for some in former.values() for person in some)
    customers = _members(connection, persons)
    now = _keys_in(_rows(connection, customers, CURRENT))
    before = _keys_in(_rows(connection, customers, ENTRIES.c.former)) - now
    # A number that somebody else has by now is theirs.
    before -= _persons_of(connection, before).keys()
    own = typed | before | (now - contested(connection, now))
    own.update(_typed_with(connection, own))
    return Reach(frozenset(own | now), frozenset(own), len(persons))


def withdrawn_keys(connection: sa.Connection) -> dict[str, str]:
    """The last withdrawal that holds for each key, as text that sorts like the moment.

    One under any key of a person holds for all of theirs, whenever they came to be theirs; the
    groups must be up to date.
    """
    query = sa.select(WITHDRAWALS.c.key, WITHDRAWALS.c.at)
    found: dict[str, str] = {row.key: row.at for row in connection.execute(query)}
    moments: dict[str, str] = {}
    holders = _persons_of(connection, found)
    # Who had it last, where nobody has it now: their entry was changed since.
    holders |= _persons_of(connection, found.keys() - holders.keys(), ENTRIES.c.former)
    for key, persons in holders.items():
        for person in persons:
            moments[person] = max(moments.get(person, ""), found[key])
    customers = _members(connection, moments)
    for _, customer, phone, email in _rows(connection, customers, CURRENT):
        at = moments[customers[customer]]
        for key in filter(None, (phone, email)):
            found[key] = max(found.get(key, ""), at)
    return found


def _persons_of(
    connection: sa.Connection, keys: Collection[str], which: sa.ColumnElement[bool] = CURRENT
) -> dict[str, set[str]]:
    """The persons with a current entry that has a key, for those keys that anybody has."""
    holders: dict[str, set[str]] = {}
    for column in KEYS:
        for key, customer in rows_of(connection, keys, column, ENTRIES.c.customer, which=which):
            holders.setdefault(key, set()).add(customer)
    customers = {customer for some in holders.values() for customer in some}
    joined = dict(rows_of(connection, customers, PERSONS.c.customer, PERSONS.c.person))
    return {key: {joined.get(one, one) for one in some} for key, some in holders.items()}


def _members(connection: sa.Connection, persons: Iterable[str]) -> dict[str, str]:
    """The customers of some persons, and whose they are."""
    persons = list(persons)
    rows = rows_of(connection, persons, PERSONS.c.person, PERSONS.c.customer)
    return {one: one for one in persons} | {customer: person for person, customer in rows}


def _used_keys(connection: sa.Connection, persons: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The keys of some persons that are not contested, phones first, the first seen first."""
    customers = _members(connection, persons)
    rows = sorted(_rows(connection, customers, CURRENT))
    nobodys = contested(connection, _keys_in(rows))
    found: dict[str, dict[str, None]] = {person: {} for person in persons}
    phones = [(customer, phone) for _, customer, phone, _ in rows]
    for customer, key in [*phones, *((customer, email) for _, customer, _, email in rows)]:
        if key is not None and key not in nobodys:
            found[customers[customer]][key] = None
    return {person: tuple(keys) for person, keys in found.items()}


def _rows(
    connection: sa.Connection, customers: Collection[str], which: sa.ColumnElement[bool]
) -> list[tuple[int, str, Any, Any]]:
    """Number, customer, phone and email of the entries of some customers."""
    columns = (ENTRIES.c.number, ENTRIES.c.customer, *KEYS)
    rows = rows_of(connection, customers, ENTRIES.c.customer, *columns, which=which)
    return [(number, customer, phone, email) for _, number, customer, phone, email in rows]


def _keys_in(rows: Iterable[tuple[int, str, Any, Any]]) -> set[str]:
    return {key for _, _, *keys in rows for key in keys if key is not None}


def _typed_with(connection: sa.Connection, keys: Collection[str]) -> list[str]:
    """The keys that were typed beside these in a consent."""
    one, other = TYPED_TOGETHER.c.key, TYPED_TOGETHER.c.also
    pairs = [*rows_of(connection, keys, one, other), *rows_of(connection, keys, other, one)]
    return [beside for _, beside in pairs]
