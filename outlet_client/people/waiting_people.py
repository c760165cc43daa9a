"""How many of the people wait for what: counts, from one moment of the store."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import sqlalchemy as sa

from outlet_client.people.person_states import State
from outlet_client.people.tables import CONTESTED, CURRENT, ENTRIES, KEYS, PEOPLE

if TYPE_CHECKING:
    from outlet_client.people.people_store import People


@dataclass(frozen=True, slots=True)
class WaitingPeople:
    """People with a standing consent who are not listed yet, by what they wait for.

    Attributes:
        token: For a token; the client book knows their phone or e-mail.
        book: For an entry of the client book: nobody here knows their phone or e-mail.
        decision: For a person's decision: several customers share their phone or e-mail.
        batch: For the batch that the next night hands in: they have a token.
        again: For the batch that was drawn for what was handed in in vain.
        directory: For the directory of the batch that they were handed in for.
    """

    token: int = 0
    book: int = 0
    decision: int = 0
    batch: int = 0
    again: int = 0
    directory: int = 0

    @property
    def coming(self) -> int:
        """How many get on without anybody's doing."""
        return self.token + self.batch + self.again + self.directory


def waiting_people(people: People) -> WaitingPeople:
    """Counts who waits for what."""
    state, vain = PEOPLE.c.state, PEOPLE.c.tries > 0
    known, evaluated = state == State.KNOWN, state == State.EVALUATED
    shared = PEOPLE.c.key.in_(sa.select(CONTESTED.c.key))
    own = [sa.select(key).where(CURRENT, key.is_not(None)) for key in KEYS]
    unread = ~sa.exists(sa.select(ENTRIES.c.number))  # the first night reads the client book
    there = sa.or_(unread, *(PEOPLE.c.key.in_(keys) for keys in own))
    conditions = (
        known & ~shared & there,
        known & ~shared & ~there,
        known & shared,
        evaluated & ~vain,
        evaluated & vain,
        state == State.SENT,
    )
    counts = [sa.func.count().filter(condition) for condition in conditions]
    with people.reading() as connection:
        row = connection.execute(sa.select(*counts).select_from(PEOPLE)).one()
    return WaitingPeople(**dict(zip(_NAMES, map(int, row), strict=True)))


_NAMES = tuple(one.name for one in fields(WaitingPeople))
