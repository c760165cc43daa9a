"""Who waits for each reference, as the waitlist's page and its command list them.

Invariant: customers are named by the outlet's own ids; no band is read for a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from outlet_client.allocation.interest_rows import open_entries
from outlet_client.allocation.reference_names import named_reference, reference_list
from outlet_client.allocation.wish_store import wishes_in
from outlet_client.people.client_book import update_people

if TYPE_CHECKING:
    import datetime as dt

    from features.ledger import Tier
    from outlet_client.allocation.wish_store import Wish
    from outlet_client.customer_access import CustomerAccess


@dataclass(frozen=True, slots=True)
class WaitingEntry:
    """One entry of a list.

    Attributes:
        customer: The outlet's own id, or a name of the wish whose customer has none.
        since: None where the outlet's own list has no day that can be read.
        wish: As it was told at the desk; None of an entry of the outlet's own list or ledger.
    """

    customer: str
    since: dt.date | None
    wish: Wish | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without a key."""
        since = None if self.since is None else self.since.isoformat()
        told = None if self.wish is None else self.wish.as_dict()
        return {"customer": self.customer, "since": since, "wish": told}


@dataclass(frozen=True, slots=True)
class WaitingList:
    """Everybody who waits for one reference.

    Attributes:
        tier: None of a reference that the outlet's list of references has not.
        entries: Who waits longest first.
    """

    reference: str
    tier: Tier | None
    entries: tuple[WaitingEntry, ...]


def waiting_lists(
    access: CustomerAccess, at: dt.datetime, reference: str = ""
) -> tuple[WaitingList, ...]:
    """The lists that somebody is on, by reference; or that of one, even if nobody is.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or its own waitlist cannot be read.
        AllocationRefused: If the reference is in no tier.
    """
    tiers = reference_list(access.settings).tiers
    update_people(access.settings, access.people)
    rows = open_entries(access.home, access.settings, at, access.people)
    if reference:
        name, tier = named_reference(access.settings, reference)
        rows = rows.filter(pl.col("reference") == name)
        if rows.is_empty():
            return (WaitingList(name, tier, ()),)
    told = {one.number: one for one in wishes_in(access.home, only_open=True)}
    found: dict[str, list[WaitingEntry]] = {}
    columns = rows.sort("since", nulls_last=True, maintain_order=True).select(
        "reference", "customer", "since", "number"
    )
    for name, customer, since, number in columns.iter_rows():
        found.setdefault(name, []).append(WaitingEntry(customer, since, told.get(number)))
    return tuple(WaitingList(name, tiers.get(name), tuple(found[name])) for name in sorted(found))
