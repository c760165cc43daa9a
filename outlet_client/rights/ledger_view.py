"""One customer's rows of the ledger, with corrections and sightings, for the dossier.

Invariant: a correction shows at once, and what it corrects stays there to be corrected again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.ledger import with_tiers
from features.sightings import attach
from outlet_client.ledger.corrections import apply
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.ledger_reading import IS_REFUND
from outlet_client.ledger.side_tables import read_references
from outlet_client.ledger.sighting_rows import sightings_of
from outlet_client.people.client_book import client_book

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from outlet_client.customer_access import CustomerAccess


@dataclass(frozen=True, slots=True, repr=False)
class LedgerView:
    """What the ledger says.

    Attributes:
        rows: As it has them, before corrections.
        events: What counts: as corrected, with a tier, and the sightings of their pieces.
    """

    rows: pl.DataFrame
    events: pl.DataFrame

    def rows_of(self, customers: Iterable[str]) -> pl.DataFrame:
        """The rows of some customers, before corrections."""
        return self.rows.filter(pl.col("customer").is_in(list(customers)))


def read_ledger_view(access: CustomerAccess, at: dt.datetime) -> LedgerView:
    """Reads what is new in the ledger and the client book; there may be no event at all.

    A night needs events, as `read_events` has it; what is held of a customer can be shown and put
    right without.

    Raises:
        LedgerError: If a file cannot be read.
    """
    settings = access.settings
    store = EventStore(access.home)
    if not (settings.ledger.is_database and store.is_filled):
        store.take_in(settings, at, access.people)
    rows = store.rows()
    if len(rows) or settings.clients is not None:  # else there is no client book to read
        client_book(settings, access.people, by_day=True)
    tiers = None if settings.references is None else read_references(settings.references)
    events, _ = with_tiers(apply(access.home, rows).drop("line", IS_REFUND), tiers)
    seen = sightings_of(access.home, settings)
    if seen is not None:
        events = attach(events, seen).events
    return LedgerView(rows, events)
