"""Resale sightings: whose piece was seen for sale.

A sighting has a serial and a day, and no customer. It belongs to each customer who had the piece
that day by **their own** rows at this outlet: whose last purchase or return of it, no later than
the day, is a purchase. Another customer's rows never decide whose a sighting is, so that one
customer moves their own events only. Two have a piece where the one's return was not booked.

What belongs to nobody is kept apart and counted, never guessed: a serial that this outlet did not
sell, one seen before its sale, one that was seen while the outlet itself had it back. A dismissal
clears everybody who ever bought the piece here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import polars as pl

from features.errors import LedgerError
from features.ledger import KINDS, SIGHTINGS, Kind, days_of, text_of

SIGHTING_COLUMNS = ("serial", "seen_at", "status")
_STATUSES = tuple(kind.value for kind in SIGHTINGS)


class Apart(StrEnum):
    """Why a sighting is nobody's."""

    NEVER_SOLD = "never sold here"
    BEFORE_SALE = "seen before its sale"
    BROUGHT_BACK = "brought back before it was seen"


@dataclass(frozen=True, slots=True, repr=False)
class Attached:
    """Events with the sightings of their pieces.

    Attributes:
        events: The canonical event table, one row more for each sighting that is somebody's.
        apart: The others: serial, date, kind and why.
        shared: How many belong to two customers or more: a return was not booked under its buyer.
    """

    events: pl.DataFrame
    apart: pl.DataFrame
    shared: int = 0

    @classmethod
    def without(cls, events: pl.DataFrame) -> Self:
        """Events of an outlet that keeps no sightings."""
        return cls(events, pl.DataFrame(schema={"why": pl.String}))

    def counts(self) -> dict[str, int]:
        """How many sightings are kept apart, by reason."""
        return {why.value: int((self.apart["why"] == why.value).sum()) for why in Apart}


def canonical_sightings(table: pl.DataFrame, source: str) -> pl.DataFrame:
    """Validates a table of sightings.

    Args:
        table: serial, seen_at and status; further columns are left where they are.
        source: The file's or table's name, for errors.

    Returns:
        serial, date and kind. A `dismissed` takes back what came before it from its day on: a
        snapshot of an earlier day does not know of it.

    Raises:
        LedgerError: At the first thing that is wrong, naming file, row and column.
    """
    for name in SIGHTING_COLUMNS:
        if name not in table.columns:
            raise LedgerError(source, None, name, f"missing; got {', '.join(table.columns)}")
    text = pl.DataFrame([text_of(table[name], source) for name in ("serial", "status")])
    dates = days_of(table["seen_at"], source)
    bad = {
        "serial": (text["serial"].fill_null("") == "", "empty; expected a serial"),
        "seen_at": (dates.is_null(), "expected a date in the calendar, as YYYY-MM-DD"),
        "status": (
            ~text["status"].fill_null("").is_in(_STATUSES),
            f"expected one of {', '.join(_STATUSES)}",
        ),
    }
    for column, (wrong, reason) in bad.items():
        if wrong.any():
            raise LedgerError(source, int(wrong.arg_true()[0]) + 1, column, reason)
    return text.select("serial", dates.alias("date"), pl.col("status").cast(KINDS).alias("kind"))


def attach(events: pl.DataFrame, sightings: pl.DataFrame) -> Attached:
    """Gives each sighting to who had the piece that day, by their own rows.

    Args:
        events: One outlet's, from `canonical_events`.
        sightings: From `canonical_sightings`.
    """
    moved = pl.col("kind").is_in([Kind.PURCHASE.value, Kind.RETURN.value])
    sales = events.filter(moved & pl.col("serial").is_not_null()).sort("date", "kind", "basket")
    numbered = sightings.sort("date", "serial", "kind").with_row_index("sighting")
    buyers = sales.select("customer", "serial").unique().sort("customer", "serial")
    among = numbered.join(buyers, on="serial", how="inner", maintain_order="left")
    theirs = among.sort("date", "sighting", "customer").join_asof(
        sales.with_columns(was=pl.col("kind")).drop("kind"),
        on="date",
        by=["customer", "serial"],
        check_sortedness=False,
    )
    has_it = pl.col("was").fill_null(Kind.RETURN.value) == Kind.PURCHASE.value
    ever_had_it = pl.col("was").is_not_null()
    dismissal = pl.col("kind") == Kind.DISMISSED.value
    given = theirs.filter(pl.when(dismissal).then(ever_had_it).otherwise(has_it)).with_columns(
        price=pl.lit(0.0), list_price=pl.lit(0.0)
    )
    early = theirs.group_by("sighting").agg(ever_had_it.any().alias("sold_by_then"))
    why = (
        pl.when(pl.col("sold_by_then").is_null())
        .then(pl.lit(Apart.NEVER_SOLD.value))
        .when(~pl.col("sold_by_then"))
        .then(pl.lit(Apart.BEFORE_SALE.value))
        .otherwise(pl.lit(Apart.BROUGHT_BACK.value))
    )
    apart = numbered.join(given, on="sighting", how="anti", maintain_order="left").join(
        early, on="sighting", how="left", maintain_order="left"
    )
    return Attached(
        pl.concat([events, given.select(events.columns)]),
        apart.select("serial", "date", "kind", why=why),
        shared=int((given.group_by("sighting").len()["len"] > 1).sum()),
    )
