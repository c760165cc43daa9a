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

from enum import StrEnum
from typing import TYPE_CHECKING

import polars as pl

from features.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping


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

LEDGER_COLUMNS: dict[str, pl.DataType] = {
    "customer_id": pl.String(),
    "outlet_id": pl.String(),
    "purchased_at": pl.Date(),
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "basket_id": pl.String(),
}
"""What a ledger must hold, and `kind` or `is_return`; further columns are left where they are."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

LARGEST_AMOUNT = 1e9
"""Public bound on a price; a larger one is a mistake, and could overflow in a sum."""

LINE_ID = "line_id"
"""An optional column: rows that repeat a line id are one row read twice."""

KIND, IS_RETURN, SERIAL, REFERENCE = "kind", "is_return", "serial", "reference"
"""Optional columns too: what a row is, the piece, and its reference."""


def canonical_events(
    ledger: pl.DataFrame, source: str, tiers: Mapping[str, Tier] | None = None
) -> pl.DataFrame:
    """Validates a ledger and turns it into the canonical event table.

    Exact duplicates are kept: a customer may buy the same piece twice in a day. Only where a unique
    `line_id` is given do repeated rows count once.

    Args:
        ledger: Rows with at least `LEDGER_COLUMNS`, and `kind` or `is_return`; dates may be
            ISO 8601 text. A purchase with a negative price is a return.
        source: The file's or table's name, for errors.
        tiers: The tier of every reference; None where references have none: all are open then, as
            is a row without a reference.

    Returns:
        The canonical table, in the ledger's order.

    Raises:
        LedgerError: At the first thing that is wrong, naming file, row and column.
    """
    says_what = KIND if KIND in ledger.columns else IS_RETURN
    for name in (*LEDGER_COLUMNS, says_what):
        if name not in ledger.columns:
            got = ", ".join(ledger.columns)
            raise LedgerError(source, None, name, f"missing; got the columns {got}")
    if ledger.is_empty():
        raise LedgerError(source, None, None, "no rows; expected at least one event")
    ledger = _priced(ledger)
    typed = pl.DataFrame(
        [
            *(_typed(ledger[name], kind, source) for name, kind in LEDGER_COLUMNS.items()),
            _kinds(ledger, source),
            _optional(ledger, SERIAL, source),
            _optional(ledger, REFERENCE, source),
            _tiers(ledger, source, tiers),
        ]
    )
    if LINE_ID in ledger.columns:
        line_id = _typed(ledger[LINE_ID].cast(pl.String), pl.String(), source)
        typed = typed.with_columns(line_id).unique(LINE_ID, keep="first", maintain_order=True)
    return typed.select(
        pl.col("customer_id").alias("customer"),
        pl.col("outlet_id").alias("outlet"),
        pl.col("purchased_at").alias("date"),
        pl.when((pl.col("kind") == Kind.PURCHASE.value) & (pl.col("price") < 0))
        .then(pl.lit(Kind.RETURN.value, KINDS))
        .otherwise(pl.col("kind"))
        .alias("kind"),
        pl.col("price").abs(),
        pl.col("list_price").abs(),
        pl.col("basket_id").alias("basket"),
        "serial",
        "reference",
        "tier",
    )


def _priced(ledger: pl.DataFrame) -> pl.DataFrame:
    """Prices that are empty are 0 where nothing was sold or brought back."""
    if KIND not in ledger.columns:
        return ledger
    sale = pl.col(KIND).cast(pl.String).is_in([Kind.PURCHASE.value, Kind.RETURN.value])
    blank = [
        pl.when(~sale & pl.col(name).is_null()).then(pl.lit(0)).otherwise(pl.col(name)).alias(name)
        for name in ("price", "list_price")
        if name in ledger.columns
    ]
    return ledger.with_columns(blank)


def _kinds(ledger: pl.DataFrame, source: str) -> pl.Series:
    """What each row is, as `KINDS`."""
    if KIND not in ledger.columns:
        returned = _typed(ledger[IS_RETURN], pl.Boolean(), source)
        names = {True: Kind.RETURN.value, False: Kind.PURCHASE.value}
        return returned.replace_strict(names, return_dtype=KINDS).alias("kind")
    text = _typed(text_of(ledger[KIND], source), pl.String(), source)
    kinds = text.cast(KINDS, strict=False)
    expected = [kind.value for kind in Kind if kind not in SIGHTINGS]
    unknown = kinds.is_null() | kinds.is_in(list(SIGHTINGS))
    _refuse(unknown, KIND, source, f"no kind of row; expected one of {', '.join(expected)}")
    return kinds


def _optional(ledger: pl.DataFrame, name: str, source: str) -> pl.Series:
    """An optional column of text; null where there is none, also where the cell is blank."""
    if name not in ledger.columns:
        return pl.Series(name, [None] * len(ledger), pl.String)
    return text_of(ledger[name], source)


def text_of(column: pl.Series, source: str) -> pl.Series:
    """A column of keys as text; null where a cell is blank.

    Raises:
        LedgerError: If it is neither text nor whole numbers: 123.0 would be another key than 123.
    """
    kinds = (pl.String, pl.Categorical, pl.Null)
    if not (
        column.dtype in kinds or isinstance(column.dtype, pl.Enum) or column.dtype.is_integer()
    ):
        reason = f"got type {column.dtype}, expected text or whole numbers"
        raise LedgerError(source, None, column.name, reason)
    return column.cast(pl.String).str.strip_chars().replace("", None)


def _tiers(ledger: pl.DataFrame, source: str, tiers: Mapping[str, Tier] | None) -> pl.Series:
    """The tier of each row's reference.

    Raises:
        LedgerError: At the first reference that is in no tier.
    """
    references = _optional(ledger, REFERENCE, source)
    if tiers is None:
        return pl.Series("tier", [Tier.OPEN.value] * len(ledger), TIERS)
    names = {reference: tier.value for reference, tier in tiers.items()}
    found = references.replace_strict(names, default=None, return_dtype=TIERS)
    unknown = references.is_not_null() & found.is_null()
    if unknown.any():  # no row: with it, the error would tell of a purchase
        reference, rows = references.filter(unknown)[0], int(unknown.sum())
        reason = f"'{reference}' is in no tier; add it to the references file ({rows} such rows)"
        raise LedgerError(source, None, REFERENCE, reason)
    return found.fill_null(Tier.OPEN.value).alias("tier")


def _typed(column: pl.Series, kind: pl.DataType, source: str) -> pl.Series:
    """Casts a column, refusing what is null, not finite, or not of its type."""
    _refuse(column.is_null(), column.name, source, "empty; expected a value")
    try:
        typed = _cast(column, kind)
    except pl.exceptions.PolarsError as error:
        reason = f"got type {column.dtype}, expected {kind}"
        raise LedgerError(source, None, column.name, reason) from error
    what = "a date in the calendar, as YYYY-MM-DD" if kind == pl.Date() else f"{kind}"
    _refuse(typed.is_null(), column.name, source, f"not readable; expected {what}")
    if kind == pl.Float64():
        bad = ~typed.is_finite() | (typed.abs() > LARGEST_AMOUNT)
        _refuse(bad, column.name, source, f"NaN, infinity or over {LARGEST_AMOUNT:g}")
    if kind == pl.String():
        _refuse(typed.str.strip_chars() == "", column.name, source, "empty; expected a key")
    return typed


def _cast(column: pl.Series, kind: pl.DataType) -> pl.Series:
    """Casts without guessing: text is parsed, a number never becomes a date or a truth."""
    is_text = column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum)
    if is_text:
        return _parse(column.cast(pl.String), kind)
    fits = {
        pl.Date(): column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime),
        pl.Boolean(): column.dtype == pl.Boolean,
        pl.Float64(): column.dtype.is_numeric(),
        pl.String(): column.dtype.is_integer(),
    }
    if not fits[kind]:
        raise pl.exceptions.InvalidOperationError(f"{column.dtype} is not {kind}")
    return days_of(column, column.name) if kind == pl.Date() else column.cast(kind)


def days_of(column: pl.Series, source: str) -> pl.Series:
    """A column of days; null where a cell is none.

    Of a moment, the day on its own clock, not UTC's.

    Raises:
        LedgerError: If it is neither of days, moments nor text.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return column.dt.date()
    return text_of(column, source).str.to_date("%Y-%m-%d", strict=False)


def _parse(text: pl.Series, kind: pl.DataType) -> pl.Series:
    """Reads text as a type; null where it cannot be read."""
    if kind == pl.Date():
        return text.str.to_date("%Y-%m-%d", strict=False)
    if kind == pl.Boolean():
        return text.str.to_lowercase().replace_strict(
            _TRUTHS, default=None, return_dtype=pl.Boolean
        )
    return text.cast(kind, strict=False)


def _refuse(bad: pl.Series, column: str, source: str, reason: str) -> None:
    if bad.any():
        first = bad.arg_true()[0] + 1
        raise LedgerError(source, first, column, f"{reason} ({bad.sum()} such rows)")
