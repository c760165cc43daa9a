"""Which rows of a ledger are events, which are bad, and which are no events: each is one of them.

Invariant: a row is judged by itself and the outlet's format alone, and no reason holds a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import (
    Cells,
    days,
    keys,
    optional_keys,
    text_of,
    truths,
    without_fraction,
)
from features.errors import LedgerError
from features.kinds import KINDS, LEDGER_KINDS, SALES, Kind
from features.ledger_format import PLAIN, LedgerFormat, Standing
from features.sold_amounts import (
    CURRENCY,
    PRICE,
    QUANTITY,
    RETURNED,
    UNIT_PRICE,
    Sold,
    read_sold,
    refuse_amounts,
)

if TYPE_CHECKING:
    from collections.abc import Collection

CUSTOMER, DAY = "customer_id", "purchased_at"

NEEDED = (CUSTOMER, DAY, PRICE)
"""What a ledger must hold, and `kind` or `is_return`; `quantity` x `unit_price` is a price too."""

STATUS = "status"

OPTIONAL = (
    "outlet_id", "list_price", "basket_id", "serial", "reference", "line_id",
    STATUS, QUANTITY, UNIT_PRICE, RETURNED, CURRENCY,
)  # fmt: skip
"""What it may hold; further columns are left where they are."""

LINE_ID = "line_id"
"""Rows that repeat a line id are one row that was corrected: the last one stands."""

KIND, IS_RETURN, SERIAL, REFERENCE = "kind", "is_return", "serial", "reference"

ROW = "row"
"""A column of row numbers; counted from 1 where there is none."""

HERE = "here"
"""The outlet of a ledger that names none."""

REFUND = "refund"
"""What of a purchase came back the same day, in major currency units; null where nothing did."""

CODE, VOID, NOTHING, WALK_IN = "code", "void", "quantity 0", "walk-in"
"""Why a row is no event, and yet nothing is wrong with it."""

_APART = {ROW: pl.Int64, "line": pl.String, "reason": pl.String}
_BAD = {ROW: pl.Int64, "column": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True, repr=False)
class Judged:
    """A ledger's rows: events, bad ones, and those that are no events; each row is one of them.

    Attributes:
        events: The good ones: the canonical columns without `tier`, and `row` Int64, `line` String,
            null where there are no line ids, and `refund` Float64; in the ledger's order.
        bad: Each bad cell of the others: `row` Int64, `column` and `reason` String, by column.
        apart: Rows that are no events: `row` Int64, `line` String, and `reason` String, which is
            one of `CODE`, `VOID`, `NOTHING` and `WALK_IN`.
    """

    events: pl.DataFrame
    bad: pl.DataFrame
    apart: pl.DataFrame


def judge(rows: pl.DataFrame, source: str, form: LedgerFormat = PLAIN) -> Judged:
    """Reads a ledger's rows, and says of each that is not readable why.

    What a code, a status or a quantity of 0 makes no event is none, whatever its other cells hold.
    What is an event, and of nobody, is a walk-in.

    Args:
        rows: Canonical column names, as text or native types; `NEEDED` and `kind` or `is_return`
            at least. Where both are there, the kind counts. Without `outlet_id` all is here;
            without `list_price` nothing had a discount; without `basket_id` one customer's rows of
            one kind, day and outlet are a basket. A purchase with a negative price or quantity is a
            return.
        source: The file's or table's name, for errors.
        form: How the outlet writes its rows.

    Raises:
        LedgerError: If a column is missing, or is of a type that cannot be read.
    """
    _refuse_missing(rows, source, form)
    if ROW not in rows.columns:
        rows = rows.with_row_index(ROW, offset=1)
    number = rows[ROW].cast(pl.Int64)
    found = _read(rows, source, form)
    bad = pl.concat(
        [pl.DataFrame(schema=_BAD), *(_at(one, name, number) for name, one in found.cells.items())]
    )
    good = pl.DataFrame([number, *(one.alias(name) for name, one in found.values.items())])
    apart = _apart(found, bad, number)
    if not apart.is_empty():
        bad = bad.filter(~pl.col(ROW).is_in(apart[ROW].implode()))
        good = good.filter(~pl.col(ROW).is_in(apart[ROW].implode()))
    if not bad.is_empty():
        good = good.filter(~pl.col(ROW).is_in(bad[ROW].implode()))
    return Judged(_canonical(good), bad, apart)


def _refuse_missing(rows: pl.DataFrame, source: str, form: LedgerFormat) -> None:
    """Refuses a table that lacks a column.

    Raises:
        LedgerError: Naming it, and which columns there are.
    """
    needed = [CUSTOMER, DAY, *([STATUS] if form.statuses else [])]
    for name in (*needed, KIND if form.ignored or KIND in rows.columns else IS_RETURN):
        if name not in rows.columns:
            got = ", ".join(name for name in rows.columns if name != ROW)
            raise LedgerError(source, None, name, f"missing; got the columns {got}")
    refuse_amounts(rows, source)


def _at(cells: Cells, column: str, number: pl.Series) -> pl.DataFrame:
    """The bad cells of a column, by row number."""
    found = cells.bad()
    return found.select(
        number.gather(found["at"]).alias(ROW), pl.lit(column).alias("column"), "reason"
    )


@dataclass(frozen=True, slots=True, repr=False)
class _Found:
    """What rows say.

    Attributes:
        cells: Every column that was read.
        values: What an event is made of, by canonical name.
        apart: Which rows are no events, Boolean, by the reason.
        nobody: Which rows are of nobody.
        line: The line ids, null where there are none.
    """

    cells: dict[str, Cells]
    values: dict[str, pl.Series]
    apart: dict[str, pl.Series]
    nobody: pl.Series
    line: pl.Series


def _read(rows: pl.DataFrame, source: str, form: LedgerFormat) -> _Found:
    """Each column, read; what is not there is as `judge` says."""
    name = KIND if KIND in rows.columns else IS_RETURN
    kinds, ignored = _kinds(rows, source, form)
    day = days(rows[DAY], source, form.dates)
    standing = _standing(rows, source, form)
    undone = None if standing is None else _is(standing.values, Standing.RETURNED)
    sale = kinds.values.is_in(list(SALES)) | (name == IS_RETURN)
    sold = read_sold(rows, source, form, day.values, sale, undone)
    customer = optional_keys(rows[CUSTOMER], source)
    cells = {CUSTOMER: customer, DAY: day, **sold.cells, name: kinds}
    for column in ("outlet_id", "basket_id", LINE_ID):
        if column in rows.columns:
            cells[column] = keys(rows[column], source)
    for column in (SERIAL, REFERENCE):
        if column in rows.columns:
            cells[column] = optional_keys(rows[column], source)
    apart = {CODE: ignored}
    if standing is not None:
        cells[STATUS] = standing
        apart[VOID] = _is(standing.values, Standing.VOID)
    if sold.nothing is not None:
        apart[NOTHING] = sold.nothing
    priced = {PRICE: sold.price, "list_price": sold.list_price}
    kept = (CUSTOMER, DAY, "outlet_id", "basket_id", LINE_ID, SERIAL, REFERENCE)
    values = {column: cells[column].values for column in kept if column in cells} | priced
    values[KIND], values[REFUND] = _with_returns(kinds.values, sold, undone)
    nobody = customer.values.is_null() | are_words(customer.values, form.walk_ins)
    line = cells[LINE_ID].values if LINE_ID in cells else None
    none = pl.Series([None] * len(rows), dtype=pl.String)
    return _Found(cells, values, apart, nobody, none if line is None else line)


def are_words(cells: pl.Series, words: Collection[str]) -> pl.Series:
    """Which cells are one of some words, as `normal` compares them; Boolean."""
    if not words:
        return cells.is_null() & False
    return cells.str.to_lowercase().is_in(list(words)).fill_null(value=False)


def _is(standing: pl.Series, wanted: Standing) -> pl.Series:
    return (standing == wanted.value).fill_null(value=False)


def _standing(rows: pl.DataFrame, source: str, form: LedgerFormat) -> Cells | None:
    """What each row's status says; None where statuses say nothing."""
    if not form.statuses:
        return None
    text = text_of(rows[STATUS], source).fill_null("").str.to_lowercase()
    names = {code: standing.value for code, standing in form.statuses.items()}
    found = text.replace_strict(names, default=None, return_dtype=pl.String)
    empty = (text == "") & found.is_null()
    reason = "none of the statuses in the settings; add it to counts, void or returned"
    return Cells(found, ((empty, "empty; expected a status"), (found.is_null(), reason)))


def _with_returns(
    kinds: pl.Series, sold: Sold, undone: pl.Series | None
) -> tuple[pl.Series, pl.Series]:
    """What each row is, and what of a purchase came back the same day."""
    back = (kinds == Kind.PURCHASE.value) & (sold.price < 0)
    if sold.back is not None:
        back |= (kinds == Kind.PURCHASE.value) & sold.back
    told = pl.select(
        pl.when(back).then(pl.lit(Kind.RETURN.value, KINDS)).otherwise(kinds)
    ).to_series()
    bought = (told == Kind.PURCHASE.value).fill_null(value=False)
    price = sold.price.abs()
    refund = pl.lit(None, pl.Float64)
    if sold.share is not None:
        refund = pl.when(bought & (sold.share > 0)).then(price * sold.share).otherwise(refund)
    if undone is not None:
        refund = pl.when(bought & undone).then(price).otherwise(refund)
    return told, pl.select(pl.Series(price), refund.alias(REFUND))[REFUND]


def _apart(found: _Found, bad: pl.DataFrame, number: pl.Series) -> pl.DataFrame:
    """The rows that are no events; of several reasons the first counts."""
    reason = pl.lit(None, pl.String)
    masks = [*found.apart.items()]
    nobody = found.nobody
    if nobody.any() and not bad.is_empty():
        nobody &= ~number.is_in(bad[ROW].implode())
    masks.append((WALK_IN, nobody))
    if not any(mask.any() for _, mask in masks):
        return pl.DataFrame(schema=_APART)
    for why, mask in reversed(masks):
        reason = pl.when(mask).then(pl.lit(why)).otherwise(reason)
    rows = pl.select(number.alias(ROW), found.line.alias("line"), reason.alias("reason"))
    return rows.drop_nulls("reason")


def _kinds(rows: pl.DataFrame, source: str, form: LedgerFormat) -> tuple[Cells, pl.Series]:
    """What each row is, as `KINDS`; and which rows are said to be no events."""
    if KIND not in rows.columns:
        returned = truths(rows[IS_RETURN], source)
        names = {True: Kind.RETURN.value, False: Kind.PURCHASE.value}
        kinds = returned.values.replace_strict(names, default=None, return_dtype=KINDS)
        return Cells(kinds, returned.wrong), kinds.is_null() & False
    text = text_of(rows[KIND], source)
    names_of_kinds = {kind.value: kind.value for kind in LEDGER_KINDS}
    known = {without_fraction(code.strip()): str(kind) for code, kind in form.kinds.items()}
    known |= names_of_kinds
    written = text.fill_null("")
    coded = written.replace_strict(known, default=None, return_dtype=KINDS)
    empty = text.is_null() & coded.is_null()
    reason = f"no kind of row; expected one of {', '.join(LEDGER_KINDS)}"
    wrong = ((empty, "empty; expected a value"), (coded.is_null(), reason))
    ignored = written.is_in(list(form.ignored)) if form.ignored else coded.is_null() & False
    return Cells(coded, wrong), ignored


def _canonical(good: pl.DataFrame) -> pl.DataFrame:
    """Good cells under their canonical names."""
    optional = {
        name: pl.col(name) if name in good.columns else pl.lit(None, pl.String)
        for name in (SERIAL, REFERENCE, LINE_ID)
    }
    outlet = pl.col("outlet_id") if "outlet_id" in good.columns else pl.lit(HERE)
    found = good.select(
        pl.col(CUSTOMER).alias("customer"),
        outlet.alias("outlet"),
        pl.col(DAY).alias("date"),
        KIND,
        pl.col(PRICE).abs(),
        pl.col("list_price").abs(),
        pl.col("basket_id" if "basket_id" in good.columns else CUSTOMER).alias("basket"),
        optional[SERIAL].alias(SERIAL),
        optional[REFERENCE].alias(REFERENCE),
        ROW,
        optional[LINE_ID].alias("line"),
        REFUND,
    )
    if "basket_id" in good.columns:
        return found
    parts = ("customer", "outlet", "date", KIND)
    together = pl.concat_str([pl.col(part).cast(pl.String) for part in parts], separator="|")
    return found.with_columns(together.alias("basket"))
