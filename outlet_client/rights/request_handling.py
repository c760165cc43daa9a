"""Handling of customers' requests, for the commands and the staff's pages.

Who may decide a dispute stands in `desk/page_roles.py`; a name is all that is checked here.

Invariant: a dispute hides a band at once, and only a person with a name shows it again; nobody is
told that a withdrawal is done while it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.allocation.wish_store import erase_wishes, wishes_of
from outlet_client.allocation.wish_taking import reached_by
from outlet_client.errors import NoIdentifier
from outlet_client.log_tables.rights_store import rights_of
from outlet_client.people.identifiers import typed_keys
from outlet_client.records import customer_requests
from outlet_client.records.access_log import LogAct, record_act
from outlet_client.records.actor import checked_name, checked_sentence
from outlet_client.records.customer_requests import NewRequest, Request, RequestKind, RequestRefused
from outlet_client.rights.find_person import find_person

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from outlet_client.people.people_store import People
    from outlet_client.people.withdrawals import Withdrawal
    from outlet_client.settings import OutletFile


def take_down_request(
    home: Path,
    people: People,
    settings: OutletFile,
    kind: RequestKind,
    typed: tuple[str | None, str | None],
    taking: NewRequest,
) -> tuple[Request, bool]:
    """Takes a request down, with the day by which it is to be answered.

    Returns:
        It, and whether a consent of the customer stands here.

    Raises:
        RequestRefused: If it was received in the future, or a dispute is open already.
        NoIdentifier: If neither phone nor e-mail is usable.
    """
    if taking.received > taking.at.astimezone().date():
        raise RequestRefused("received: in the future; expected today or earlier")
    who = find_person(people, settings, *typed)
    with rights_of(home) as connection:
        if kind is RequestKind.DISPUTE and customer_requests.under_review(connection, who.keys):
            raise RequestRefused(
                "dispute: this customer's band is under review already; their open request stands "
                "among the customers' requests"
            )
        number = customer_requests.receive(connection, kind, who.key, taking)
        [made] = customer_requests.requests(connection, number=number)
    person = people.person(who.key)
    return made, person is not None and person.state.stands


def settle_request(
    home: Path, people: People, number: int, by: str, words: str, at: dt.datetime
) -> tuple[Request, bool]:
    """Answers a request. After a dispute the band is shown again.

    The customer reads the words.

    Returns:
        It with the answer, and whether another dispute keeps the band hidden.

    Raises:
        NotAsked: If the name is none, or there are no words.
        RequestRefused: If there is none of this number, it was answered before, or it is a
            withdrawal and the consent stands.
    """
    who, said = (
        checked_name(by),
        checked_sentence(words, "note", "a sentence; the customer reads it"),
    )
    with rights_of(home) as connection:
        _refuse_standing(connection, people, number)
        found = customer_requests.answer(connection, number, who, said, at)
        more = customer_requests.under_review(connection, list(people.reached(found.key)))
    return found, more


def end_consent(
    home: Path,
    people: People,
    settings: OutletFile,
    typed: tuple[str | None, str | None],
    taking: NewRequest,
    key: str = "",
) -> Withdrawal:
    """Ends a customer's consent, erases their wishes, and answers the requests for it.

    With the key of a request, that customer's; what was typed is not read then.

    Raises:
        NoIdentifier: If neither phone nor e-mail is usable, and there is no key.
    """
    keys = [key] if key else typed_keys(*typed, people.local_key, settings.region)
    if not keys:
        raise NoIdentifier
    theirs = list(dict.fromkeys(one for key in keys for one in people.keys_of(key)))
    reached = reached_by(people, keys)
    found = people.withdraw_all(keys)  # first: whatever follows, this stands
    state = "never consented here" if found.state is None else found.state.value
    with rights_of(home) as connection:
        by, at = taking.by, taking.at
        record_act(connection, at, LogAct.WITHDRAWAL, by, key=theirs[0], outcome=state)
        erase_wishes(connection, theirs[0], wishes_of(connection, *reached), by, at)
        if found.state is not None:
            answer_or_make(connection, RequestKind.WITHDRAWAL, theirs, "Withdrawn.", taking)
    return found


def answer_or_make(
    connection: sa.Connection,
    kind: RequestKind,
    keys: Sequence[str],
    answer: str,
    taking: NewRequest,
) -> None:
    """Answers the open requests that this was for; without one, one that is made now."""
    if not customer_requests.answer_all(connection, kind, keys, answer, taking.by, taking.at):
        number = customer_requests.receive(connection, kind, keys[0], taking)
        customer_requests.answer(connection, number, taking.by, answer, taking.at)


def _refuse_standing(connection: sa.Connection, people: People, number: int) -> None:
    """Refuses to say that a withdrawal is done while it is not."""
    for one in customer_requests.requests(connection, number=number):
        if one.kind is not RequestKind.WITHDRAWAL or one.answered is not None:
            continue
        persons = map(people.person, people.reached(one.key))
        if any(person is not None and person.state.stands for person in persons):
            raise RequestRefused(
                f"request {number}: the customer's consent stands; withdraw it, which answers this "
                "request too"
            )
