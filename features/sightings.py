"""Resale sightings: whose piece was seen for sale.

A sighting has a serial and a day, and no customer. It belongs to each customer who had the piece
that day by **their own** rows at this outlet: whose last purchase or return of it, no later than
the day, is a purchase. Another customer's rows never decide whose a sighting is, so that one
customer moves their own events only. Two have a piece where the one's return was not booked.

What belongs to nobody is kept apart and counted, never guessed: a serial that this outlet did not
sell, one seen before its sale, one that was seen while the outlet itself had it back. A dismissal
clears everybody who ever bought the piece here.

What people decide about sightings is laid over them: it counts from the day of the decision on, so
that it changes no snapshot of an earlier day. A confirmation is of what was seen on one day, and
belongs to who had the piece that day, whoever has it by now. Of two that have one day, a decision
outranks what was seen, and a later decision an earlier one.
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
_TURN = "turn"


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


def laid_over(sightings: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Lays what people decided over what was seen.

    Args:
        sightings: From `canonical_sightings`.
        decisions: In the order in which they were taken: serial; date, the day of the decision;
            kind, confirmed or dismissed; and seen, the day of the sighting that was confirmed.

    Returns:
        All of them, as `attach` takes them: with `seen`, the day that says whose a row is, and
        `turn`, which is 0 for what was seen and grows with each decision.
    """
    dismissed = pl.col("kind") == Kind.DISMISSED.value
    decided = decisions.with_row_index(_TURN, offset=1).with_columns(
        pl.col("kind").cast(KINDS),
        pl.col(_TURN).cast(pl.Int64),
        seen=pl.when(dismissed).then("date").otherwise("seen"),  # of all, up to its day
    )
    seen = _undecided(sightings)
    return pl.concat([seen, decided.select(seen.columns)])


def attach(events: pl.DataFrame, sightings: pl.DataFrame) -> Attached:
    """Gives each sighting to who had the piece that day, by their own rows.

    A decision goes where the sighting goes that it is of; where that is nobody, it is not used.

    Args:
        events: One outlet's, from `canonical_events`.
        sightings: From `canonical_sightings` or `laid_over`.
    """
    if _TURN not in sightings.columns:
        sightings = _undecided(sightings)
    moved = pl.col("kind").is_in([Kind.PURCHASE.value, Kind.RETURN.value])
    sales = events.filter(moved & pl.col("serial").is_not_null()).sort("date", "kind", "basket")
    in_order = sightings.sort("date", "serial", "kind", "seen", _TURN)
    numbered = in_order.with_row_index("sighting")
    buyers = sales.select("customer", "serial").unique().sort("customer", "serial")
    among = numbered.join(buyers, on="serial", how="inner", maintain_order="left")
    theirs = among.sort("seen", "sighting", "customer").join_asof(
        sales.rename({"kind": "was", "date": "moved_on"}),
        left_on="seen",
        right_on="moved_on",
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
    seen = pl.col(_TURN) == 0
    apart = numbered.filter(seen).join(given, on="sighting", how="anti", maintain_order="left")
    apart = apart.join(early, on="sighting", how="left", maintain_order="left")
    return Attached(
        pl.concat([events, _standing(given).select(events.columns)]),
        apart.select("serial", "date", "kind", why=why),
        shared=int((given.filter(seen).group_by("sighting").len()["len"] > 1).sum()),
    )


def _undecided(sightings: pl.DataFrame) -> pl.DataFrame:
    """Sightings that nobody has decided about: each is whose piece it was on its own day."""
    return sightings.with_columns(pl.lit(0, pl.Int64).alias(_TURN), seen=pl.col("date"))


def _standing(given: pl.DataFrame) -> pl.DataFrame:
    """Without the dismissals that were overruled on their own day.

    Of one day `features.events` lets a dismissal win, as is right for a table, which has no order
    within a day.
    """
    confirmed = given.filter(pl.col("kind") == Kind.CONFIRMED.value)
    piece_and_day = ["customer", "serial", "date"]
    last = confirmed.group_by(piece_and_day).agg(pl.col(_TURN).max().alias("last"))
    joined = given.join(last, on=piece_and_day, how="left", maintain_order="left")
    overruled = (pl.col("kind") == Kind.DISMISSED.value) & (pl.col(_TURN) < pl.col("last"))
    return joined.filter(~overruled.fill_null(value=False))
