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

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import (
    ISO,
    LARGEST_AMOUNT,
    Cells,
    Format,
    amounts,
    days,
    days_of,
    keys,
    optional_keys,
    text_of,
    truths,
)
from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ISO", "LARGEST_AMOUNT", "Format", "days_of", "text_of"]


class Kind(StrEnum):
    """What a row is."""

    PURCHASE = "purchase"
    RETURN = "return"
    SERVICE = "service"
    """A service visit: the owner still has the piece."""

    INTEREST = "interest"
    """An entry on the waitlist."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    """Answers to an offer, in the basket of their interest."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    """Resale sightings of a serial."""

    DISMISSED = "dismissed"
    """A person found that the sightings of the serial so far were of another piece."""


class Tier(StrEnum):
    """How scarce a reference is."""

    OPEN = "open"
    LIMITED = "limited"
    ALLOCATION = "allocation"
    """By allocation only."""


KINDS = pl.Enum([kind.value for kind in Kind])
TIERS = pl.Enum([tier.value for tier in Tier])
SIGHTINGS = (Kind.SUSPECTED, Kind.CONFIRMED, Kind.DISMISSED)
LEDGER_KINDS = tuple(kind for kind in Kind if kind not in SIGHTINGS)

NEEDED = ("customer_id", "purchased_at", "price")
"""What a ledger must hold, and `kind` or `is_return`."""

OPTIONAL = ("outlet_id", "list_price", "basket_id", "serial", "reference", "line_id")
"""What it may hold; further columns are left where they are."""

LINE_ID = "line_id"
"""Rows that repeat a line id are one row that was corrected: the last one stands."""

KIND, IS_RETURN, SERIAL, REFERENCE = "kind", "is_return", "serial", "reference"

ROW = "row"
"""A column of row numbers; counted from 1 where there is none."""

HERE = "here"
"""The outlet of a ledger that names none."""


@dataclass(frozen=True, slots=True, repr=False)
class Judged:
    """A ledger's rows, good and bad; each row is one or the other.

    Attributes:
        events: The good ones: the canonical columns without `tier`, and `row` Int64 and `line`
            String, null where there are no line ids; in the ledger's order.
        bad: Each bad cell of the others: `row` Int64, `column` and `reason` String, by column.
    """

    events: pl.DataFrame
    bad: pl.DataFrame


def judge(rows: pl.DataFrame, source: str, form: Format = ISO) -> Judged:
    """Reads a ledger's rows, and says of each that is not readable why.

    Args:
        rows: Canonical column names, as text or native types; `NEEDED` and `kind` or `is_return`
            at least. Where both are there, the kind counts. Without `outlet_id` all is here;
            without `list_price` nothing had a discount; without `basket_id` one customer's rows of
            one kind, day and outlet are a basket. A purchase with a negative price is a return.
        source: The file's or table's name, for errors.
        form: How the outlet writes its cells.

    Raises:
        LedgerError: If a column is missing, or is of a type that cannot be read.
    """
    for name in (*NEEDED, KIND if KIND in rows.columns else IS_RETURN):
        if name not in rows.columns:
            got = ", ".join(name for name in rows.columns if name != ROW)
            raise LedgerError(source, None, name, f"missing; got the columns {got}")
    if ROW not in rows.columns:
        rows = rows.with_row_index(ROW, offset=1)
    number = rows[ROW].cast(pl.Int64)
    read = _read(rows, source, form)
    bad = pl.concat(
        [
            pl.DataFrame(schema={ROW: pl.Int64, "column": pl.String, "reason": pl.String}),
            *(_at(cells, name, number) for name, cells in read.items()),
        ]
    )
    good = pl.DataFrame([number, *(cells.values.alias(name) for name, cells in read.items())])
    if not bad.is_empty():
        good = good.filter(~number.is_in(bad[ROW].implode()))
    return Judged(_canonical(good), bad)


def _at(cells: Cells, column: str, number: pl.Series) -> pl.DataFrame:
    """The bad cells of a column, by row number."""
    found = cells.bad()
    return found.select(
        number.gather(found["at"]).alias(ROW), pl.lit(column).alias("column"), "reason"
    )


def _read(rows: pl.DataFrame, source: str, form: Format) -> dict[str, Cells]:
    """Each column, read; what is not there is as `judge` says."""
    kinds = _kinds(rows, source, form)
    name = KIND if KIND in rows.columns else IS_RETURN
    sale = kinds.values.is_in([Kind.PURCHASE.value, Kind.RETURN.value]) | (name == IS_RETURN)
    price = _priced(amounts(rows["price"], source, form.decimal), sale)
    read = {
        "customer_id": keys(rows["customer_id"], source),
        "purchased_at": days(rows["purchased_at"], source, form.dates),
        "price": price,
        "list_price": Cells(price.values, ()),
        name: kinds,
    }
    if "list_price" in rows.columns:
        read["list_price"] = _priced(amounts(rows["list_price"], source, form.decimal), sale)
    for column in ("outlet_id", "basket_id", LINE_ID):
        if column in rows.columns:
            read[column] = keys(rows[column], source)
    for column in (SERIAL, REFERENCE):
        if column in rows.columns:
            read[column] = optional_keys(rows[column], source)
    return read


def _priced(cells: Cells, sale: pl.Series) -> Cells:
    """Amounts that are empty are 0 where nothing was sold or brought back."""
    (empty, why), *others = cells.wrong
    free = empty & ~sale.fill_null(value=False)
    if not free.any():
        return cells
    values = pl.select(pl.when(free).then(0.0).otherwise(cells.values)).to_series()
    wrong = [(mask & ~free, reason) for mask, reason in ((empty, why), *others)]
    return Cells(values, tuple(wrong))


def _kinds(rows: pl.DataFrame, source: str, form: Format) -> Cells:
    """What each row is, as `KINDS`."""
    if KIND not in rows.columns:
        returned = truths(rows[IS_RETURN], source)
        names = {True: Kind.RETURN.value, False: Kind.PURCHASE.value}
        kinds = returned.values.replace_strict(names, default=None, return_dtype=KINDS)
        return Cells(kinds, returned.wrong)
    text = text_of(rows[KIND], source)
    names_of_kinds = {kind.value: kind.value for kind in LEDGER_KINDS}
    known = {code.strip(): str(kind) for code, kind in form.kinds.items()} | names_of_kinds
    coded = text.fill_null("").replace_strict(known, default=None, return_dtype=KINDS)
    empty = text.is_null() & coded.is_null()
    reason = f"no kind of row; expected one of {', '.join(LEDGER_KINDS)}"
    wrong = ((empty, "empty; expected a value"), (coded.is_null(), reason))
    return Cells(coded, wrong)


def _canonical(good: pl.DataFrame) -> pl.DataFrame:
    """Good cells under their canonical names."""
    says_what = KIND if KIND in good.columns else IS_RETURN
    kind = pl.col(says_what)
    back = (kind == Kind.PURCHASE.value) & (pl.col("price") < 0)
    optional = {
        name: pl.col(name) if name in good.columns else pl.lit(None, pl.String)
        for name in (SERIAL, REFERENCE, LINE_ID)
    }
    outlet = pl.col("outlet_id") if "outlet_id" in good.columns else pl.lit(HERE)
    found = good.select(
        pl.col("customer_id").alias("customer"),
        outlet.alias("outlet"),
        pl.col("purchased_at").alias("date"),
        pl.when(back).then(pl.lit(Kind.RETURN.value, KINDS)).otherwise(kind).alias(KIND),
        pl.col("price").abs(),
        pl.col("list_price").abs(),
        pl.col("basket_id" if "basket_id" in good.columns else "customer_id").alias("basket"),
        optional[SERIAL].alias(SERIAL),
        optional[REFERENCE].alias(REFERENCE),
        ROW,
        optional[LINE_ID].alias("line"),
    )
    if "basket_id" in good.columns:
        return found
    parts = ("customer", "outlet", "date", KIND)
    together = pl.concat_str([pl.col(part).cast(pl.String) for part in parts], separator="|")
    return found.with_columns(together.alias("basket"))


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
    events = judged.events
    if LINE_ID in ledger.columns:
        events = events.unique("line", keep="last", maintain_order=True)
    tiered, unknown = with_tiers(events.drop(ROW, "line"), tiers)
    if not unknown.is_empty():  # no row: with it, the error would tell of a purchase
        reason = f"'{unknown[REFERENCE][0]}' is in no tier; add it to the references file"
        raise LedgerError(source, None, REFERENCE, f"{reason} ({len(unknown)} such rows)")
    return tiered
