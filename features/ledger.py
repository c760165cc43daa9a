"""The canonical event table, and the only way to make one from a ledger.

Invariant: in a canonical table every key is present, every amount is finite, every date exists,
and no phone, e-mail, name or associate is left.

    customer    String    the outlet's key for a customer, or the network's
    outlet      String    where it happened
    date        Date      when it happened, in the outlet's own calendar
    kind        Enum      see `Kind`
    price       Float64   net, in major currency units, never negative
    list_price  Float64   before discount, likewise
    basket      String    one for what was bought together; for an interest and its offers too
    serial      String    the piece; null where it has none
    reference   String    likewise
    tier        Enum      of the reference; open where no tiers are given

Resale sightings have no customer of their own: `sightings.py` finds whose piece was seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import ISO, LARGEST_AMOUNT, Format, days_of, text_of
from features.errors import LedgerError
from features.judging import (
    CUSTOMER,
    HERE,
    IS_RETURN,
    KIND,
    LINE_ID,
    NEEDED,
    OPTIONAL,
    REFERENCE,
    REFUND,
    ROW,
    SERIAL,
    WALK_IN,
    Judged,
    judge,
)
from features.kinds import KINDS, LEDGER_KINDS, SIGHTINGS, TIERS, Kind, Tier
from features.ledger_format import LedgerFormat
from features.sold_amounts import PRICE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HERE",
    "ISO",
    "IS_RETURN",
    "KIND",
    "KINDS",
    "LARGEST_AMOUNT",
    "LEDGER_KINDS",
    "LINE_ID",
    "NEEDED",
    "OPTIONAL",
    "REFERENCE",
    "REFUND",
    "ROW",
    "SERIAL",
    "SIGHTINGS",
    "TIERS",
    "WALK_IN",
    "Format",
    "Judged",
    "Kind",
    "LedgerFormat",
    "Tier",
    "canonical_events",
    "days_of",
    "judge",
    "text_of",
    "with_refunds",
    "with_tiers",
]


def with_refunds(events: pl.DataFrame, mark: str | None = None) -> pl.DataFrame:
    """Makes of each purchase that came back the same day two events, the return behind it.

    Args:
        events: With `refund`.
        mark: The name of a Boolean column that is true for the returns that are made here; None for
            no such column.

    Returns:
        The events without `refund`, in their order. A return is of the same customer, day, basket
        and piece, and of the amount that came back.
    """
    marks = [] if mark is None else [pl.lit(value=False).alias(mark)]
    plain = events.drop(REFUND).with_columns(marks)
    if events[REFUND].null_count() == len(events):
        return plain
    numbered = events.with_row_index("_place").filter(pl.col(REFUND).is_not_null())
    share = pl.when(pl.col(PRICE) > 0).then(pl.col(REFUND) / pl.col(PRICE)).otherwise(1.0)
    returns = numbered.with_columns(
        pl.lit(Kind.RETURN.value, KINDS).alias(KIND),
        pl.col(REFUND).alias(PRICE),
        (pl.col("list_price") * share).alias("list_price"),
        *([] if mark is None else [pl.lit(value=True).alias(mark)]),
    ).drop(REFUND)
    both = pl.concat([plain.with_row_index("_place"), returns.select("_place", *plain.columns)])
    return both.sort("_place", maintain_order=True).drop("_place")


def with_tiers(
    events: pl.DataFrame, tiers: Mapping[str, Tier] | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gives each event the tier of its reference.

    Args:
        events: With `reference`.
        tiers: The tier of every reference; None where references have none: all are open then, as
            is a row without a reference.

    Returns:
        The events with `tier`, and those whose reference is in no tier, without.
    """
    if tiers is None:
        return events.with_columns(tier=pl.lit(Tier.OPEN.value, TIERS)), events.clear()
    names = {reference: tier.value for reference, tier in tiers.items()}
    found = events[REFERENCE].replace_strict(names, default=None, return_dtype=TIERS)
    unknown = events[REFERENCE].is_not_null() & found.is_null()
    tiered = events.with_columns(found.fill_null(Tier.OPEN.value).alias("tier"))
    return tiered.filter(~unknown), events.filter(unknown)


def canonical_events(
    ledger: pl.DataFrame, source: str, tiers: Mapping[str, Tier] | None = None
) -> pl.DataFrame:
    """Validates a ledger of which nothing may be wrong, and turns it into the canonical table.

    Exact duplicates are kept: a customer may buy the same piece twice in a day. Only where a
    `line_id` is given do repeated rows count once, as the last one has it.

    Args:
        ledger: As `judge` takes it; dates may be ISO 8601 text.
        source: The file's or table's name, for errors.
        tiers: As `with_tiers` takes them.

    Returns:
        The canonical table, in the ledger's order.

    Raises:
        LedgerError: At the first thing that is wrong, naming file, row and column; also where
            there are no rows.
    """
    judged = judge(ledger, source)
    if ledger.is_empty():
        raise LedgerError(source, None, None, "no rows; expected at least one event")
    if not judged.bad.is_empty():
        row, column, reason = judged.bad.row(0)
        alike = len(judged.bad.filter(column=column, reason=reason))
        raise LedgerError(source, row, column, f"{reason} ({alike} such rows)")
    if not judged.apart.is_empty():
        raise LedgerError(source, judged.apart[ROW][0], CUSTOMER, "empty; expected a value")
    events = judged.events
    if LINE_ID in ledger.columns:
        events = events.unique("line", keep="last", maintain_order=True)
    events = with_refunds(events)
    tiered, unknown = with_tiers(events.drop(ROW, "line"), tiers)
    if not unknown.is_empty():  # no row: with it, the error would tell of a purchase
        reason = f"'{unknown[REFERENCE][0]}' is in no tier; add it to the references file"
        raise LedgerError(source, None, REFERENCE, f"{reason} ({len(unknown)} such rows)")
    return tiered
