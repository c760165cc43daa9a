"""The canonical event table, and the only way to make one from a ledger.

Invariant: in a canonical table every key is present, every amount is finite, every date exists,
and no phone, e-mail, name or associate is left.

    customer    String    the outlet's key for a customer, or the network's
    outlet      String    where it happened
    date        Date      when it happened, in the outlet's own calendar
    kind        Enum      purchase or return
    price       Float64   net, in major currency units, never negative
    list_price  Float64   before discount, likewise
    basket      String    what was bought together carries one basket
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from features.errors import LedgerError


class Kind(StrEnum):
    """What an event is."""

    PURCHASE = "purchase"
    RETURN = "return"


KINDS = pl.Enum([kind.value for kind in Kind])

LEDGER_COLUMNS: dict[str, pl.DataType] = {
    "customer_id": pl.String(),
    "outlet_id": pl.String(),
    "purchased_at": pl.Date(),
    "price": pl.Float64(),
    "list_price": pl.Float64(),
    "is_return": pl.Boolean(),
    "basket_id": pl.String(),
}
"""What a ledger must hold; further columns are left where they are."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

LARGEST_AMOUNT = 1e9
"""Public bound on a price; a larger one is a mistake, and could overflow in a sum."""

LINE_ID = "line_id"
"""An optional column: rows that repeat a line id are one row read twice."""


def canonical_events(ledger: pl.DataFrame, source: str) -> pl.DataFrame:
    """Validates a ledger and turns it into the canonical event table.

    Exact duplicates are kept: a customer may buy the same piece twice in a day. Only where a unique
    `line_id` is given do repeated rows count once.

    Args:
        ledger: Rows with at least `LEDGER_COLUMNS`; dates may be ISO 8601 text.
        source: The file's or table's name, for errors.

    Returns:
        The canonical table, in the ledger's order.

    Raises:
        LedgerError: At the first thing that is wrong, naming file, row and column.
    """
    for name in LEDGER_COLUMNS:
        if name not in ledger.columns:
            got = ", ".join(ledger.columns)
            raise LedgerError(source, None, name, f"missing; got the columns {got}")
    if ledger.is_empty():
        raise LedgerError(source, None, None, "no rows; expected at least one event")
    typed = pl.DataFrame(
        [_typed(ledger[name], kind, source) for name, kind in LEDGER_COLUMNS.items()]
    )
    if LINE_ID in ledger.columns:
        line_id = _typed(ledger[LINE_ID].cast(pl.String), pl.String(), source)
        typed = typed.with_columns(line_id).unique(LINE_ID, keep="first", maintain_order=True)
    is_return = pl.col("is_return") | (pl.col("price") < 0)
    return typed.select(
        pl.col("customer_id").alias("customer"),
        pl.col("outlet_id").alias("outlet"),
        pl.col("purchased_at").alias("date"),
        pl.when(is_return)
        .then(pl.lit(Kind.RETURN.value, KINDS))
        .otherwise(pl.lit(Kind.PURCHASE.value, KINDS))
        .alias("kind"),
        pl.col("price").abs(),
        pl.col("list_price").abs(),
        pl.col("basket_id").alias("basket"),
    )


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
    return column.cast(kind)


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
