"""Lists as CSV files, for spreadsheets: waitlist, sightings, requests, log.

Invariant: no cell is a formula to a spreadsheet, and none is a phone, an e-mail, a name of a
customer or a key; the log names a customer by the beginning of their mark, as its page does.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
from typing import TYPE_CHECKING

from outlet_client.allocation.reference_names import named_reference
from outlet_client.allocation.waitlist import open_interests
from outlet_client.errors import OutletError
from outlet_client.people.client_book import refresh_clients
from outlet_client.records.access_log import recent_entries
from outlet_client.records.customer_requests import requests
from outlet_client.sightings.sighting_history import open_sightings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outlet_client.desk.site import Site

MOST_ROWS = 50_000
"""Of the log in one file."""

MARK = 8
"""Letters of a customer's mark in the log."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a cell that a spreadsheet computes; some read East Asian wide signs likewise."""


class ListTooLong(OutletError):
    """A list that is too long for one file."""

    def __init__(self) -> None:
        super().__init__(f"log: more than {MOST_ROWS:,} entries; choose a shorter time")


def csv_file(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file that spreadsheets read as text in UTF-8, and of which they compute nothing."""
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(heads)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return codecs.BOM_UTF8 + made.getvalue().encode()


def waitlist_file(site: Site, reference: str, at: dt.datetime) -> bytes:
    """Who waits for a reference, the earliest first.

    Raises:
        AllocationRefused: If it is in no tier, or nobody waits for it.
        LedgerError: If a table cannot be read.
        NotConfigured: If the outlet has no references.
    """
    access = site.access
    name, _ = named_reference(access.settings, reference)
    waiting = open_interests(access.home, access.settings, name, at, access.people)
    rows = sorted(waiting, key=lambda one: (one[1], one[0]))
    return csv_file(
        ("reference", "customer", "since"), ((name, customer, since) for customer, since in rows)
    )


def sightings_file(site: Site, at: dt.datetime) -> bytes:
    """Pieces of this outlet that were seen for sale; where they were seen is not in it.

    Raises:
        LedgerError: If the ledger or the table of sightings cannot be read.
        NotConfigured: If the ledger has no serials.
    """
    heads = (
        "serial", "reference", "seen", "status", "to decide", "confirmed alone", "customers",
        "sold", "days after the sale", "last said by",
    )  # fmt: skip
    rows = (
        (
            one.serial, one.reference, one.seen, one.status.value, _yes(one.is_open),
            _yes(one.alone), " ".join(one.customers), one.sold, one.days,
            one.said[-1].by if one.said else "",
        )
        for one in open_sightings(site.access, at).sightings
    )  # fmt: skip
    return csv_file(heads, rows)


def requests_file(site: Site, at: dt.datetime) -> bytes:
    """What customers asked for, with what they said and were answered; the first due first.

    Raises:
        LedgerError: If the client book cannot be read.
    """
    today = at.astimezone().date()
    refresh_clients(site.access.settings, site.access.people, by_day=True)
    with site.rights.transaction() as connection:
        found = requests(connection)
    heads = (
        "number", "kind", "customers", "received", "due", "standing", "taken down by",
        "they say", "answer",
    )  # fmt: skip
    rows = (
        (
            one.number, one.kind.value, " ".join(site.access.people.customers_of(one.key)),
            one.received, one.due, one.standing(today), one.taken_by, one.about, one.answer,
        )
        for one in sorted(found, key=lambda one: (one.due, one.number))
    )  # fmt: skip
    return csv_file(heads, rows)


def log_file(site: Site, at: dt.datetime, days: int) -> bytes:
    """The log of some days, the newest entry first.

    Raises:
        ListTooLong: If it has more than `MOST_ROWS` entries.
    """
    with site.rights.transaction() as connection:
        found = recent_entries(connection, at - dt.timedelta(days=days), limit=MOST_ROWS + 1)
    if len(found) > MOST_ROWS:
        raise ListTooLong
    heads = ("number", "at", "by", "act", "purpose", "about", "customer", "outcome")
    rows = (
        (
            one.number, one.at.isoformat(), one.by, one.act.value, one.purpose or "", one.about,
            one.key[:MARK], one.outcome,
        )
        for one in found
    )  # fmt: skip
    return csv_file(heads, rows)


def _yes(told: bool) -> str:  # noqa: FBT001  (what is told)
    return "yes" if told else ""


def _harmless(cell: object) -> str:
    """A cell as text, with an apostrophe before what a spreadsheet would compute."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text
