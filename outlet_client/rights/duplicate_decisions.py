"""A person's decision whether two entries of the client book are one customer, and its log.

Invariant: no decision is made whose entries in the log, of both customers, cannot be written. They
end with its transaction: where the disk fails just then, a decision may hold without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.log_tables.rights_store import rights_of
from outlet_client.people.duplicates import decide
from outlet_client.people.record_linkage import Shared
from outlet_client.records.access_log import LogAct, record_act
from outlet_client.records.actor import checked_name
from outlet_client.rights.book_customers import key_of_customers, same_person

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path

    from outlet_client.people.people_store import People

SHARE: Mapping[Shared, str] = {
    Shared.PHONE: "share a phone, their e-mails differ",
    Shared.EMAIL: "share an e-mail, their phones differ",
    Shared.CHAIN: "share a phone or an e-mail, and others who share it differ",
}
"""What two customers have in common, in words."""

ONE_PERSON = (
    "one person from now on: their purchases count together, and a withdrawal by either phone or "
    "e-mail, an earlier one too, is for both."
)
TWO_PEOPLE = (
    "two people: neither is recognised by what they share. Who consented by it only needs a new "
    "consent by another phone or e-mail."
)


def decide_pair(
    home: Path, people: People, pair: tuple[str, str], *, same: bool, by: str, at: dt.datetime
) -> str:
    """Keeps and logs what a person decided of two customers; returns what holds now, in words.

    Raises:
        NotAsked: If the name is none.
        DecisionRefused: If a customer is in no client book, it is one customer, or an earlier
            decision says otherwise; then nothing is logged.
    """
    who = checked_name(by)
    one, other = (customer.strip() for customer in pair)
    keys = [key_of_customers(people, same_person(people, customer)) for customer in (one, other)]
    with rights_of(home) as connection:
        for key in keys:
            outcome = "one person" if same else "two people"
            record_act(
                connection, at, LogAct.DUPLICATE, who, key=key, about="two entries", outcome=outcome
            )
        decide(people, one, other, same=same, by=who)
    return ONE_PERSON if same else TWO_PEOPLE
