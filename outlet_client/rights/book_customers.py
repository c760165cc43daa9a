"""Customers of the client book by the outlet's own id: who is one person, under which key.

Invariant: a key is one that is theirs alone, as the log and the dossier know them by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.people.tables import CONTESTED, CURRENT, ENTRIES, KEYS, PERSONS

if TYPE_CHECKING:
    from outlet_client.people.people_store import People


def same_person(people: People, customer: str) -> tuple[str, ...]:
    """The customers of the client book who are one person with one of them, and it."""
    with people.reading() as connection:
        whose = sa.select(PERSONS.c.person).where(PERSONS.c.customer == customer)
        person = connection.scalar(whose)
        if person is None:
            person = customer  # others may be joined to it
        members = sa.select(PERSONS.c.customer).where(PERSONS.c.person == person)
        return tuple(sorted({customer, person, *connection.scalars(members)}))


def key_of_customers(people: People, customers: tuple[str, ...]) -> str:
    """A key of a person; one that is made of the id where no phone or e-mail is theirs."""
    nobodys = sa.select(CONTESTED.c.key)
    with people.reading() as connection:
        for column in KEYS:
            query = sa.select(column).where(
                CURRENT, ENTRIES.c.customer.in_(customers), column.not_in(nobodys)
            )
            key = connection.scalar(query.order_by(ENTRIES.c.number).limit(1))
            if key is not None:
                return str(key)
    return people.local_key(f"customer {min(customers)}")
