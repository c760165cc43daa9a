"""What one customer bought, brought back and had serviced at this outlet, for its sales staff.

Invariant: all of it is this outlet's own ledger, with corrections; no sighting, band, waitlist or
anything of other outlets is in it. That somebody looked is in the log before it is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from features.ledger import Kind
from outlet_client.rights.book_customers import key_of_customers, same_person
from outlet_client.rights.find_person import find_person
from outlet_client.rights.ledger_view import read_ledger_view

if TYPE_CHECKING:
    import datetime as dt

    from outlet_client.customer_access import CustomerAccess

OWN_PURCHASES = "own purchases"
"""What the log says was shown."""

_SHOWN = (Kind.PURCHASE.value, Kind.RETURN.value, Kind.SERVICE.value)
_COLUMNS = ("date", "kind", "reference", "serial", "price")


@dataclass(frozen=True, slots=True, repr=False)
class OwnPurchases:
    """What this outlet's ledger has of one customer.

    Attributes:
        customers: The outlet's own ids of the customer.
        key: Under which the log has the look-up; by `People.local_key`.
        rows: date, kind, reference, serial and price of each, the newest first.
    """

    customers: tuple[str, ...]
    key: str
    rows: tuple[dict[str, Any], ...]

    @property
    def bought(self) -> int:
        """How many rows are purchases."""
        return sum(row["kind"] == Kind.PURCHASE.value for row in self.rows)


def purchases_of_customer(access: CustomerAccess, customer: str, at: dt.datetime) -> OwnPurchases:
    """What is in the ledger of one customer of the client book, and of who is the same person.

    Args:
        access: The outlet's open stores.
        customer: The outlet's own id.
        at: When.

    Raises:
        LedgerError: If a file cannot be read.
    """
    events = read_ledger_view(access, at).events
    customers = same_person(access.people, customer)
    return _made(events, customers, key_of_customers(access.people, customers))


def purchases_of_identifier(
    access: CustomerAccess, phone: str | None, email: str | None, at: dt.datetime
) -> OwnPurchases:
    """The same of who is known by a phone or an e-mail.

    Raises:
        NoIdentifier: If neither is usable.
        LedgerError: If a file cannot be read.
    """
    events = read_ledger_view(access, at).events
    who = find_person(access.people, access.settings, phone, email)
    return _made(events, who.customers, who.key)


def _made(events: pl.DataFrame, customers: tuple[str, ...], key: str) -> OwnPurchases:
    theirs = events.filter(pl.col("customer").is_in(list(customers)) & pl.col("kind").is_in(_SHOWN))
    rows = theirs.select(_COLUMNS).with_columns(pl.col("kind").cast(pl.String))
    in_order = rows.sort("date", descending=True, maintain_order=True)
    return OwnPurchases(customers, key, tuple(in_order.iter_rows(named=True)))
