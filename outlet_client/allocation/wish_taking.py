"""Taking wishes down and closing them, for the desk and the commands.

Invariant: a wish is of whoever was looked up, by the key that a look-up knows them by; it needs no
consent, and gives none: a proposal decides about who has none here as about a newcomer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.allocation.reference_names import named_reference
from outlet_client.allocation.wish_store import (
    NewWish,
    WishRefused,
    add_wishes,
    close_wish,
    erase_wishes,
    wishes_in,
    wishes_of,
)
from outlet_client.errors import NoIdentifier
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.moments import text_of_moment
from outlet_client.people.client_book import update_people
from outlet_client.people.identifiers import typed_keys
from outlet_client.people.linked_keys import withdrawn_keys
from outlet_client.records.actor import checked_name, checked_sentence

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection
    from pathlib import Path

    import sqlalchemy as sa

    from outlet_client.allocation.wish_store import Wish
    from outlet_client.customer_access import CustomerAccess
    from outlet_client.people.people_store import People

BY_MISTAKE = "Taken down by mistake."
USUAL_REASONS = (
    "The piece was handed over.",
    "The customer wishes it no more.",
    "The customer was asked, and did not answer.",
    BY_MISTAKE,
)
"""Why wishes are closed, to choose from; another sentence is as good."""


def wish_key(access: CustomerAccess, phone: str | None, email: str | None) -> str:
    """The key that a look-up knows somebody by: under which they stand here, else the first.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable.
    """
    keys = typed_keys(phone, email, access.people.local_key, access.settings.region)
    if not keys:
        raise NoIdentifier
    persons = ((key, access.people.person(key)) for key in keys)
    return next((key for key, who in persons if who is not None and who.state.stands), keys[0])


def take_wish_down(
    access: CustomerAccess,
    typed: tuple[str | None, str | None],
    reference: str,
    by: str,
    at: dt.datetime,
) -> tuple[int, str]:
    """Adds a customer to the waitlist of a reference, as of today.

    Args:
        access: The open stores.
        typed: Phone and e-mail.
        reference: As typed or scanned.
        by: Who takes it down.
        at: When.

    Returns:
        The wish's number, and the reference by its name of the list.

    Raises:
        WishRefused: If they wait for it already, by a wish told here.
        AllocationRefused: If the reference is in no tier.
        NoIdentifier: If neither phone nor e-mail is usable.
    """
    name, _ = named_reference(access.settings, reference)
    key, who = wish_key(access, *typed), checked_name(by)
    update_people(access.settings, access.people)
    with rights_of(access.home) as connection:
        for one in wishes_of(connection, *_person(access.people, key)):
            if one.closed is None and one.reference == name:
                raise WishRefused(
                    f"{name}: this customer is on its waitlist since {one.since.isoformat()}, as "
                    f"wish {one.number}; there is nothing to add"
                )
        told = NewWish(name, at.astimezone().date(), key=key)
        return add_wishes(connection, [told], who, at)[0], name


def end_wish(home: Path, number: int, by: str, reason: str, at: dt.datetime) -> Wish:
    """Closes a wish; the reason is kept beside it, and its customer may read it.

    Raises:
        NotAsked: If the name is none, or there is no reason.
        WishRefused: If there is none of this number, or it is closed.
    """
    who, why = checked_name(by), checked_sentence(reason, "reason", "a sentence")
    with rights_of(home) as connection:
        return close_wish(connection, number, who, why, at)


def open_wishes_of(connection: sa.Connection, people: People, key: str) -> list[Wish]:
    """The open wishes of the person with a key, the oldest first."""
    found = wishes_of(connection, *_person(people, key))
    return [one for one in found if one.closed is None]


def reached_by(people: People, keys: Collection[str]) -> tuple[set[str], set[str]]:
    """All keys, and the outlet's own ids, of whoever has one of some keys.

    Where several customers share a key and nobody decided whose it is, those of all.
    """
    reached = {*keys}.union(*map(people.reached, keys))
    known = people.customers_of_keys(reached)
    return reached, {one for some in known.values() for one in some}


def erase_withdrawn(home: Path, people: People, by: str, at: dt.datetime) -> int:
    """Deletes the wishes that a withdrawal is not older than; returns how many.

    A withdrawal erases them itself; this is for one that was interrupted.
    """
    told = [one for one in wishes_in(home) if one.key]
    if not told:
        return 0
    with people.reading() as connection:
        moments = withdrawn_keys(connection)
    over = [one for one in told if text_of_moment(one.at) <= moments.get(one.key, "")]
    if over:
        with rights_of(home) as connection:
            for one in over:
                erase_wishes(connection, one.key, [one], by, at)
    return len(over)


def _person(people: People, key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All keys and customers of the person with a key."""
    return people.keys_of(key), people.customers_of(key)
