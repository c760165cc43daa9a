"""Finds the person with a phone or an e-mail.

Invariant: one identifier finds one person. Where both a phone and an e-mail are given, the phone
decides if anybody is known by it; records are never put together because two were typed.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    key: str
    keys: tuple[str, ...]
    customers: tuple[str, ...]


def find_person(
    people: People, settings: OutletFile, phone: str | None, email: str | None, key: str = ""
) -> FoundPerson:
    """Finds the person with a phone or an e-mail, or of a key.

    Args:
        people: The outlet's store of people.
        settings: With the region that phones are read for.
        phone: As typed.
        email: As typed.
        key: By `People.local_key`, as a request has it; nothing that was typed is read then.

    Raises:
        NoIdentifier: If neither is usable, and there is no key.
    """
    if key:
        return _found(people, key)
    typed = [(phone, None), (None, email)]
    usable = [
        _found(people, people.local_key(one))
        for pair in typed
        if (one := identifier(*pair, settings.region)) is not None
    ]
    if not usable:
        raise NoIdentifier
    known = (one for one in usable if one.customers or people.person(one.key) is not None)
    return next(known, usable[0])


def _found(people: People, key: str) -> FoundPerson:
    return FoundPerson(key, people.keys_of(key), people.customers_of(key))
