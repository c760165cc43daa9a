"""What a row's piece cost, and how much of it came back: prices, quantities and what was returned.

Invariant: a price is the row's own, or its quantity times its unit price; a quantity turns a sale
into a return only where it is negative, or where nothing but what came back is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from features.cell_columns import is_text
from features.cell_parsing import LARGEST_AMOUNT, Cells, amounts, text_of
from features.errors import LedgerError
from features.exchange_rates import EARLY, rates_of

if TYPE_CHECKING:
    from features.ledger_format import LedgerFormat

PRICE, LIST_PRICE, CURRENCY = "price", "list_price", "currency"
QUANTITY, UNIT_PRICE, RETURNED = "quantity", "unit_price", "returned_quantity"

_EMPTY = "empty; expected a quantity, since the price is quantity x unit_price"
_GROUPED = "a thousand, or one with a fraction; set `quantity_decimal`, or export it without"
_MORE = "more than the row's quantity"
_OVER = f"NaN, infinity or over {LARGEST_AMOUNT:g}"


@dataclass(frozen=True, slots=True, repr=False)
class Sold:
    """The amounts of some rows, in the outlet's own currency.

    Attributes:
        price: Float64, as the row has it with its sign; null where a cell is bad.
        list_price: Likewise.
        cells: Every column that was read, by its canonical name.
        back: Where the row is a return, whatever else it says; None where no row has a quantity.
        nothing: Where nothing was sold and nothing came back; likewise.
        share: Which share of the price came back beside the purchase, 0 to 1; likewise.
    """

    price: pl.Series
    list_price: pl.Series
    cells: dict[str, Cells]
    back: pl.Series | None = None
    nothing: pl.Series | None = None
    share: pl.Series | None = None


def refuse_amounts(rows: pl.DataFrame, source: str) -> None:
    """Refuses a table that says no price.

    Raises:
        LedgerError: If it has neither a price nor a quantity and a unit price.
    """
    if PRICE in rows.columns:
        return
    if UNIT_PRICE not in rows.columns:
        got = ", ".join(name for name in rows.columns if name != "row")
        raise LedgerError(source, None, PRICE, f"missing; got the columns {got}")
    if QUANTITY not in rows.columns:
        reason = "missing; without a price it is quantity x unit_price, which needs both"
        raise LedgerError(source, None, QUANTITY, reason)


def read_sold(
    rows: pl.DataFrame,
    source: str,
    form: LedgerFormat,
    days: pl.Series,
    sale: pl.Series,
    undone: pl.Series | None,
) -> Sold:
    """Reads what rows cost.

    Args:
        rows: Canonical columns that `refuse_amounts` let pass.
        source: The file's or table's name, for errors.
        form: How the outlet writes its cells.
        days: The day of each row, for its rate.
        sale: Which rows are purchases or returns; null where that is bad. Of others an empty amount
            is 0.
        undone: Which rows' status says that all of it came back; None where there are no statuses.

    Raises:
        LedgerError: If a column is of a type that cannot be read.
    """
    named = PRICE if PRICE in rows.columns else UNIT_PRICE
    names = [name for name in (named, LIST_PRICE) if name in rows.columns]
    cells = _in_own_currency(rows, source, form, names, days)
    cells = {name: _priced(one, sale) for name, one in cells.items()}
    price = cells[named].values
    listed = cells[LIST_PRICE].values if LIST_PRICE in cells else price
    sold, came = (_count(rows, name, source, form) for name in (QUANTITY, RETURNED))
    if form.sales_are_negative:
        turned = pl.when(sold.values.is_null()).then(-price).otherwise(price.abs())
        price = pl.select(turned).to_series().alias(named)
        sold = Cells(-sold.values, sold.wrong)
    if not {QUANTITY, RETURNED} & set(rows.columns):
        return Sold(price, listed, cells)
    there = {QUANTITY: sold, RETURNED: came}
    cells |= {name: one for name, one in there.items() if name in rows.columns}
    back = came.values.fill_null(0.0).abs()
    if named == UNIT_PRICE:
        cells[QUANTITY] = _needed(sold, sale)
        pieces = _pieces(sold.values, back, undone)
        price, listed = (_times(one, pieces, sale) for one in (price, listed))
        over = (price.abs() > LARGEST_AMOUNT).fill_null(value=False)
        cells[UNIT_PRICE] = Cells(price, (*cells[UNIT_PRICE].wrong, (over, _OVER)))
    return _with_returns(Sold(price, listed, cells), sold.values, back, sale, undone)


def _with_returns(
    found: Sold, sold: pl.Series, back: pl.Series, sale: pl.Series, undone: pl.Series | None
) -> Sold:
    """The same with what came back of it."""
    whole = sold.abs()
    if RETURNED in found.cells:
        more = ((whole > 0) & (back > whole)).fill_null(value=False)
        cells = found.cells[RETURNED]
        found.cells[RETURNED] = Cells(cells.values, (*cells.wrong, (more, _MORE)))
    nothing_left = sold.is_null() | (sold == 0)
    gone = (sold < 0).fill_null(value=False) | (nothing_left & (back > 0))
    nothing = (sold == 0).fill_null(value=False) & (back == 0) & sale.fill_null(value=False)
    if undone is not None:
        nothing &= ~undone
    share = pl.select(pl.when(sold > 0).then(back / sold).otherwise(0.0)).to_series()
    return Sold(found.price, found.list_price, found.cells, gone, nothing, share)


def _in_own_currency(
    rows: pl.DataFrame, source: str, form: LedgerFormat, names: list[str], days: pl.Series
) -> dict[str, Cells]:
    """Columns of amounts; which currency they are in may stand in a column of the row."""
    said = text_of(rows[CURRENCY], source) if CURRENCY in rows.columns else None
    cells: dict[str, Cells] = {}
    for name in names:
        read = amounts(
            rows[name],
            source,
            form.decimal,
            currency=form.currency,
            others=form.rates,
            said=said,
            sales_side=form.sales_side,
        )
        if read.currency.null_count() == len(read.currency):
            cells[name] = read
            continue
        rates = rates_of(read.currency, days, form)
        values = (read.values * rates).alias(name)
        over = (values.abs() > LARGEST_AMOUNT).fill_null(value=False)
        cells[name] = Cells(values, (*read.wrong, (rates.is_null(), EARLY), (over, _OVER)))
    return cells


def _priced(cells: Cells, sale: pl.Series) -> Cells:
    """Amounts that are empty are 0 where nothing was sold or brought back."""
    (empty, why), *others = cells.wrong
    free = empty & ~sale.fill_null(value=False)
    if not free.any():
        return cells
    values = pl.select(pl.when(free).then(0.0).otherwise(cells.values)).to_series()
    wrong = [(mask & ~free, reason) for mask, reason in ((empty, why), *others)]
    return Cells(values, tuple(wrong))


def _count(rows: pl.DataFrame, name: str, source: str, form: LedgerFormat) -> Cells:
    """A column of quantities, null where it says none, or is not there.

    In a quantity "1.000" may be one or a thousand, as tills write it; so none has groups.
    """
    if name not in rows.columns:
        return Cells(pl.Series(name, [None] * len(rows), pl.Float64), ())
    sign = form.quantity_decimal or ("." if form.decimal == "cents" else form.decimal)
    found = amounts(rows[name], source, sign)
    (empty, _), *others = found.wrong
    if is_text(rows[name].dtype):
        text = rows[name].cast(pl.String)
        others.append((text.str.contains("," if sign == "." else ".", literal=True), _GROUPED))
    wrong = tuple(((mask & ~empty).fill_null(value=False), why) for mask, why in others)
    return Cells(found.values, wrong)


def _needed(cells: Cells, sale: pl.Series) -> Cells:
    """Quantities of which none may be missing where something was sold."""
    empty = cells.values.is_null() & sale.fill_null(value=False)
    return Cells(cells.values, (*cells.wrong, (empty, _EMPTY)))


def _pieces(sold: pl.Series, back: pl.Series, undone: pl.Series | None) -> pl.Series:
    """Of how many pieces the price is: all, or those that came back where none is left.

    A row whose status says that it came back, and whose quantity is 0 by now, was of one piece.
    """
    left = (
        back
        if undone is None
        else pl.select(pl.when(undone & (back == 0)).then(1.0).otherwise(back)).to_series()
    )
    return pl.select(pl.when(sold == 0).then(left).otherwise(sold.abs())).to_series()


def _times(one: pl.Series, pieces: pl.Series, sale: pl.Series) -> pl.Series:
    """An amount of so many pieces; what is no sale may say none."""
    times = pieces.fill_null(1.0) if not sale.all() else pieces
    return (one * times).alias(one.name)
