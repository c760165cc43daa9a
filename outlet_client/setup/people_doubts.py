"""Doubts that phones, e-mails and the client book raise.

Invariant: of customers there are counts only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outlet_client.people.identifier_flaws import Flaw
from outlet_client.people.record_linkage import MOST_SHARING
from outlet_client.setup.doubts import Doubt, counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outlet_client.people.book_reading import IdentifierTally

_LISTED = "`escapement-outlet check --identifiers` lists the rows"
_HALF = 0.5


def people_doubts(
    table: str, tallies: Mapping[str, IdentifierTally], region: str | None
) -> list[Doubt]:
    """What phones and e-mails speak against.

    Args:
        table: The section that holds them.
        tallies: Of phone and email, as far as they are there.
        region: The outlet's, of phones without a country; None where it is unset.
    """
    without = sum(tally.flaws[Flaw.NO_COUNTRY] for tally in tallies.values())
    placeholders = sum(tally.placeholders for tally in tallies.values())
    shared = sum(tally.shared for tally in tallies.values())
    sharing = sum(tally.sharing for tally in tallies.values())
    found = []
    if without and region is None:
        what = (
            f"{counted(without, 'customer has', 'customers have')} a phone without a country, and "
            "region is not set: nobody is recognised by it"
        )
        found.append(Doubt("region", table, {"customers": without}, what))
    if placeholders:
        what = (
            f"{counted(placeholders, 'customer has', 'customers have')} what is typed where there "
            f"is no phone or e-mail: it identifies nobody; {_LISTED}"
        )
        found.append(Doubt("placeholders", table, {"customers": placeholders}, what))
    if shared:
        what = (
            f"{counted(shared, 'phone or e-mail is', 'phones or e-mails are')} shared by more than "
            f"{MOST_SHARING} customers each, {sharing:,} together, and used for nobody; {_LISTED}"
        )
        counts = {"identifiers": shared, "customers": sharing}
        found.append(Doubt("shared-identifiers", table, counts, what))
    return found


def clients_half(missing: int, customers: int) -> Doubt | None:
    """The client book knows less than half of the ledger's customers."""
    if missing <= customers * _HALF:
        return None
    what = (
        f"{missing:,} of {counted(customers, 'customer')} of the ledger are not in the client "
        "book: is its customer_id the ledger's?"
    )
    return Doubt("clients-half", "clients", {"missing": missing, "customers": customers}, what)
