"""The entries of an outlet's waitlist: its own list or ledger, and wishes told at the desk.

Invariant: an entry is of a customer of the client book, by whatever phone or e-mail they told at
the desk; who is not in it has a name of their wish's, which the book's people never have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError
from features.ledger import Kind, days_of, text_of
from outlet_client.allocation.reference_names import reference_list
from outlet_client.allocation.wish_store import wish_name, wish_rows
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.ledger.side_tables import present
from outlet_client.sources.table_reader import read_all

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from outlet_client.allocation.wish_store import WishRow
    from outlet_client.people.client_book import ClientBook
    from outlet_client.people.people_store import People
    from outlet_client.settings import OutletFile
    from outlet_client.sources.source import Source

_CLOSED = "closed_at"
_LISTED = ("customer_id", "reference", "since")
_IN_LEDGER = ("kind", "reference", "basket_id")
"""Without a basket no answer would end an interest."""

_ENTRY = {
    "customer": pl.String, "reference": pl.String, "since": pl.Date, "number": pl.Int64
}  # fmt: skip


def open_entries(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None
) -> pl.DataFrame:
    """The entries of the waitlist that are not over, by the list's own names of references.

    Args:
        home: The outlet's folder.
        settings: Its own.
        at: Now.
        people: Who is who; without them a customer of the desk is called by their wish.

    Returns:
        customer, reference, since (null where it is no day) and number, which is null but for
        wishes told at the desk; and where a row stands, as `read_interests` has it.

    Raises:
        NotConfigured: If the outlet has no references.
        LedgerError: If they or the interests cannot be read.
    """
    told = wish_rows(home, only_open=True)
    rows = _own_entries(home, settings, at, people, without=bool(told))
    names = customer_names(told, people)
    own = pl.DataFrame(
        [(names[one.number], one.reference, one.since, one.number) for one in told],
        schema=_ENTRY,
        orient="row",
    )
    together = pl.concat([rows, own], how="diagonal_relaxed")
    listed = reference_list(settings).as_listed(together["reference"])
    return together.with_columns(listed.alias("reference"))


def customer_names(told: Sequence[WishRow], people: People | None) -> dict[int, str]:
    """The outlet's own id of each wish's customer; a name of the wish where it has none."""
    keys = {one.key for one in told if one.key}
    known = people.customers_of_keys(keys) if people is not None and keys else {}
    return {one.number: next(iter(known.get(one.key, ())), one.name) for one in told}


def with_wishers(book: ClientBook, home: Path, people: People) -> ClientBook:
    """A client book in which the customers of wishes are, too, whom it does not know.

    Closed wishes count, so that an earlier proposal's name stays somebody's; so do those whose
    customer came into the book since.
    """
    told = [one for one in wish_rows(home) if one.key]
    if not told:
        return book
    names, keys = customer_names(told, people), dict(book.customers.iter_rows())
    rows = pl.DataFrame(
        [(wish_name(one.number), keys.get(names[one.number], one.key)) for one in told],
        schema=book.customers.schema,
        orient="row",
    )
    return replace(book, customers=pl.concat([book.customers, rows]))


def _own_entries(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None, *, without: bool
) -> pl.DataFrame:
    """The open entries of the outlet's own list or ledger.

    `without` lets a ledger have none: the waitlist is kept at the desk then.
    """
    if settings.interests is not None:
        rows = read_interests(settings.interests)
    else:
        rows = _of_ledger(home, settings, at, people, without=without)
    return rows.filter(~pl.col("closed"))


def read_interests(source: Source) -> pl.DataFrame:
    """Reads a table of interests; an entry with anything in closed_at is over.

    Args:
        source: customer_id, reference, since, and perhaps closed_at.

    Returns:
        file, row, customer, reference, since (null where it is no day) and closed.

    Raises:
        LedgerError: If it cannot be read, a column is missing, or a customer or reference empty.
    """
    table = present(read_all(source, (*_LISTED, _CLOSED)), source, _LISTED)
    closed = pl.lit(value=False)
    if _CLOSED in table.columns:
        closed = pl.col(_CLOSED).cast(pl.String).str.strip_chars().fill_null("") != ""
    rows = table.select(
        "file",
        "row",
        text_of(table["customer_id"], source.name).alias("customer"),
        text_of(table["reference"], source.name),
        days_of(table["since"], source.name, source.dates).alias("since"),
        closed.alias("closed"),
    )
    for name, column in (("customer_id", "customer"), ("reference", "reference")):
        refuse_empty(rows, column, name, "empty; expected a value")
    return rows


def refuse_empty(rows: pl.DataFrame, column: str, name: str, reason: str) -> None:
    """Refuses entries where a column has nothing.

    Raises:
        LedgerError: At the first such.
    """
    bad = rows.filter(pl.col(column).is_null())
    if len(bad):
        raise LedgerError(bad["file"][0], bad["row"][0], name, reason)


def _of_ledger(
    home: Path, settings: OutletFile, at: dt.datetime, people: People | None, *, without: bool
) -> pl.DataFrame:
    """The ledger's rows of kind interest: its customer's answer in the same basket ends one."""
    events = read_events(home, settings, at, people=people, by_day=True).attached.events
    columns = EventStore(home).columns()
    missing = [name for name in _IN_LEDGER if name not in columns]
    if missing and without:
        return pl.DataFrame(schema={**_ENTRY, "closed": pl.Boolean})
    for name in missing:
        reason = (
            "missing; add it, set `interests` to a table with customer_id, reference and since, "
            "or take wishes down at the desk"
        )
        raise LedgerError(settings.ledger.name, None, name, reason)
    answer = pl.col("kind").is_in([Kind.ACCEPTED.value, Kind.DECLINED.value])
    both = ["customer", "basket"]
    answered = events.filter(answer).select(both).unique().with_columns(closed=pl.lit(value=True))
    interests = events.filter(pl.col("kind") == Kind.INTEREST.value)
    found = interests.join(answered, on=both, how="left", maintain_order="left")
    return found.select(
        "customer", "reference", pl.col("date").alias("since"), pl.col("closed").is_not_null()
    )
