"""Doubts that cells raise while a ledger is read, counted batch by batch.

Invariant: of a batch counts are kept, and words of statuses and currencies; everything else is let
go, and nothing of it is told.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from features.currencies import WITHOUT_CENTS, candidates
from features.ledger import IS_RETURN, KIND, WALK_IN, Kind
from features.ledger_format import normal
from outlet_client.ledger.intake import bad_cells
from outlet_client.setup.code_guess import PARTIAL
from outlet_client.setup.column_names import status_of, truth_of
from outlet_client.setup.currency_guess import marks_of
from outlet_client.setup.day_order import DayOrderCounter
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.setup.format_guess import MOST_SALES, side_counts, undecided_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from outlet_client.ledger.judged_rows import JudgedBatch
    from outlet_client.sources.row_batches import Batch
    from outlet_client.sources.source import Source

_AMOUNTS = ("price", "unit_price")
_LONG_AGO = dt.date(1990, 1, 1)
_SURELY_LARGE, _LARGE = 100_000, 10_000
_MANY = r"^\s*[-+]?([1-9]\d{2,}([.,]\d*)?|[1-9]\d{0,2}[.,]\d{3})\s*$"
_HALF = 0.5


class CellCounters:
    """What is counted of a ledger's cells while they are read.

    Args:
        source: The ledger.
        rated: Currencies of which a table of rates says what they are worth.

    Attributes:
        has_signed_returns: Whether any row is a return by its sign only.
    """

    def __init__(self, source: Source, rated: Collection[str] = ()) -> None:
        self._source, self._rated = source, rated
        self._currencies: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._has_cents = False
        self._undecided = self._decided = self._quantities = 0
        self._long_ago = self._outside = self._lines = 0
        self._sides: Counter[str] = Counter()
        self.has_signed_returns = False
        self._days = DayOrderCounter(source)

    def add(self, file: str, batch: Batch, judged: JudgedBatch) -> None:
        """Counts a batch of a file, by its name."""
        rows, events = batch.rows, judged.events
        bad = bad_cells(judged.rows.select("row", "bad"))
        self._long_ago += int((events["date"] < _LONG_AGO).sum())
        self._outside += int(bad["reason"].str.starts_with("before 1900").sum())
        self._days.add(file, rows, events, bad)
        self._count_amounts(rows)
        if "status" in rows.columns and self._source.statuses:
            words = rows["status"].cast(pl.String).str.strip_chars().value_counts()
            self._statuses.update(dict(words.drop_nulls().iter_rows()))
        if "quantity" in rows.columns:
            many = rows["quantity"].cast(pl.String).str.contains(_MANY)
            self._quantities += int(many.sum())
        self._count_signed_returns(rows, events)
        if "basket_id" in rows.columns:
            self._count_lines(rows, judged)

    def _count_amounts(self, rows: pl.DataFrame) -> None:
        for cells in (rows[name] for name in _AMOUNTS if name in rows.columns):
            if cells.dtype != pl.String:
                self._has_cents |= bool((cells.cast(pl.Float64, strict=False) % 1 > 0).any())
                continue
            self._has_cents = self._has_cents or bool(cells.str.contains(r"\d[.,']\d").any())
            if not self._decided:  # one that tells is enough
                undecided, self._decided = undecided_of([cells])
                self._undecided += undecided
            if self._source.sales_side is not None and KIND in self._source.constants:
                self._sides += side_counts(cells)
            if "currency" not in rows.columns and cells.str.contains(r"[^\d\s.,+-]").any():
                self._currencies += marks_of(cells)
        if "currency" in rows.columns:
            words = rows["currency"].cast(pl.String).str.strip_chars().str.to_uppercase()
            self._currencies.update(dict(words.drop_nulls().value_counts().iter_rows()))

    def _count_signed_returns(self, rows: pl.DataFrame, events: pl.DataFrame) -> None:
        """Whether a return is one by its sign only: no code and no flag says so."""
        if self.has_signed_returns:
            return
        back = rows.filter(
            pl.col("row").is_in(events.filter(kind=Kind.RETURN.value)["row"].implode())
        )
        if IS_RETURN in rows.columns:
            said = [truth_of(word) for word in _words(back[IS_RETURN])]
            self.has_signed_returns = not all(said) or back[IS_RETURN].null_count() > 0
        elif KIND in rows.columns:
            codes = self._source.codes.get(Kind.PURCHASE.value, ()), (Kind.PURCHASE.value,)
            sales = {normal(code) for some in codes for code in some}
            self.has_signed_returns = any(normal(word) in sales for word in _words(back[KIND]))
        else:
            self.has_signed_returns = not back.is_empty()

    def _count_lines(self, rows: pl.DataFrame, judged: JudgedBatch) -> None:
        """Counts rows without a customer in the basket of one who is named."""
        walk_ins = judged.rows.filter(pl.col("apart") == WALK_IN)["row"]
        if walk_ins.is_empty():
            return
        baskets = rows.select("row", pl.col("basket_id").cast(pl.String)).drop_nulls()
        named = baskets.filter(pl.col("row").is_in(judged.events["row"].implode()))["basket_id"]
        theirs = baskets.filter(pl.col("row").is_in(walk_ins.implode()))["basket_id"]
        self._lines += int(theirs.is_in(named.unique().implode()).sum())

    def doubts(self, prices: pl.Series, days: pl.DataFrame) -> list[Doubt]:
        """What the cells speak against.

        Args:
            prices: Of the events that are used, Float64.
            days: Of these events, file, row and date, in the files' order.
        """
        found = [
            self._cents(prices),
            self._other_currencies(),
            self._partial(),
            self._decimal(),
            self._large_quantities(),
            self._of_sides(),
            self._order_lines(),
            self._far_days(),
            self._days.doubt(days),
        ]
        return [doubt for doubt in found if doubt is not None]

    def _cents(self, prices: pl.Series) -> Doubt | None:
        """Amounts without a fraction that are large, or end as amounts in cents do."""
        if self._has_cents or self._source.decimal == "cents" or prices.is_empty():
            return None
        median = prices.median()
        if self._source.currency in WITHOUT_CENTS or not isinstance(median, float):
            return None
        odd = int((prices % 5 != 0).sum())
        is_odd = odd > len(prices) * _HALF and median >= _LARGE
        if median < _SURELY_LARGE and not is_odd:
            return None
        what = (
            f"none of {counted(len(prices), 'amount')} has a fraction, and half are "
            f'{median:,.0f} or more: are they in cents? Then set decimal = "cents"'
        )
        return Doubt("cents", "ledger", {"amounts": len(prices), "median": int(median)}, what)

    def _other_currencies(self) -> Doubt | None:
        """Amounts in a currency that the settings give no rate for."""
        known = {self._source.currency, *self._source.rates, *self._rated}
        codes: Counter[str] = Counter()
        for mark, number in self._currencies.items():
            may_be = candidates(mark)
            if may_be:
                ours = [code for code in may_be if code in known]
                codes[(ours or may_be)[0]] += number
        if len(codes) < 2 or set(codes) <= known:  # noqa: PLR2004  (one currency)
            return None
        said = ", ".join(f"{number:,} in {code}" for code, number in codes.most_common())
        what = f"amounts of {len(codes)} currencies: {said}; say what the others are worth in rates"
        return Doubt("currencies", "ledger", dict(codes), what)

    def _partial(self) -> Doubt | None:
        """Orders that were paid back in part count whole."""
        if "returned_quantity" in self._source.columns:
            return None
        counts = {normal(word) for word in self._source.statuses.get("counts", ())}
        rows = sum(
            number
            for word, number in self._statuses.items()
            if normal(word) in counts and status_of(word) == PARTIAL
        )
        if not rows:
            return None
        what = (
            f"{counted(rows, 'row')} of orders that were paid back in part count whole: which of "
            "their pieces came back, no column says"
        )
        return Doubt("statuses-partial", "ledger", {"rows": rows}, what)

    def _decimal(self) -> Doubt | None:
        """No amount tells whether a point or a comma stands before cents."""
        has_cents = self._source.currency not in WITHOUT_CENTS
        if not self._undecided or self._decided or not has_cents:
            return None
        sign = self._source.decimal
        what = (
            f"none of {counted(self._undecided, 'amount')} with a sign tells whether '.' or ',' "
            f"stands before cents; '{sign}' is taken for it"
        )
        return Doubt("decimal", "ledger", {"amounts": self._undecided}, what)

    def _large_quantities(self) -> Doubt | None:
        """A hundred pieces and more in a row, or a quantity that may be a thousand or one."""
        if not self._quantities:
            return None
        what = f"{counted(self._quantities, 'row')} of a hundred pieces or more: is it a quantity?"
        return Doubt("quantities", "ledger", {"rows": self._quantities}, what)

    def _of_sides(self) -> Doubt | None:
        """Sales stand on a side that does not have two thirds of the amounts."""
        side, total = self._source.sales_side, self._sides.total()
        if not total or side is None or self._sides[side] >= total * MOST_SALES:
            return None
        what = (
            f"{self._sides[side]:,} of {counted(total, 'amount')} are {side}s, which are read as "
            "sales, the others as returns: do sales stand on that side?"
        )
        return Doubt("sides", "ledger", dict(self._sides), what)

    def _order_lines(self) -> Doubt | None:
        """Rows without a customer in the basket of one who is named."""
        if not self._lines:
            return None
        what = (
            f"{counted(self._lines, 'row')} without a customer are in the basket of one who is "
            "named: does an order's first row say it for all? Then name it in fill_down"
        )
        return Doubt("order-lines", "ledger", {"rows": self._lines}, what)

    def _far_days(self) -> Doubt | None:
        """Days of a century ago, or of one to come."""
        if not (self._long_ago or self._outside):
            return None
        counts = {"before 1990": self._long_ago, "before 1900 or after 2199": self._outside}
        said = " and ".join(f"{number:,} {what}" for what, number in counts.items() if number)
        return Doubt("far-days", "ledger", counts, f"rows with days long ago or far ahead: {said}")


def _words(column: pl.Series) -> list[str]:
    """Its different cells as text."""
    return list(column.drop_nulls().cast(pl.String).str.strip_chars().unique())
