"""Finds the person with a phone or an e-mail.

Invariant: one identifier finds one person. Where both a phone and an e-mail are given, the phone
decides if anybody is known by it; records are never put together because two were typed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outlet_client.errors import NoIdentifier
from outlet_client.people.identifiers import identifier

if TYPE_CHECKING:
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile


@dataclass(frozen=True, slots=True, repr=False)
class FoundPerson:
    """One person as this outlet knows them.

    Attributes:
        key: By `People.local_key`, of the identifier that found them.
        keys: All of theirs, with it.
        customers: The outlet's own ids of them; none where nobody in the client book has it.
        phone: As typed; None where the e-mail found them.
        email: As typed; None where the phone did.
    """

    key: str
    keys: tuple[str, ...]
    customers: tuple[str, ...]
    phone: str | None = field(default=None)
    email: str | None = field(default=None)


def find_person(
    people: People, settings: OutletFile, phone: str | None, email: str | None
) -> FoundPerson:
    """Finds the person with a phone or an e-mail.

    Raises:
        NoIdentifier: If neither is usable.
    """
    typed = [(phone, None), (None, email)]
    usable = [
        _found(people, one, *pair)
        for pair in typed
        if (one := identifier(*pair, settings.region)) is not None
    ]
    if not usable:
        raise NoIdentifier
    known = (one for one in usable if one.customers or people.person(one.key) is not None)
    return next(known, usable[0])


def _found(people: People, one: str, phone: str | None, email: str | None) -> FoundPerson:
    key = people.local_key(one)
    return FoundPerson(key, people.keys_of(key), people.customers_of(key), phone, email)
