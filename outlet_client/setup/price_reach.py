"""Whether a price is of one piece or of the whole row, told by rows of several pieces.

Invariant: rows tell before headings do; where neither does, or one speaks against the other, it is
unknown. Nothing is said of a row with one piece, where both are the same.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import polars as pl

from features.cell_parsing import amounts
from outlet_client.setup.column_names import normalised, words_of
from outlet_client.setup.sample_columns import without_currency

if TYPE_CHECKING:
    from collections.abc import Mapping

_EACH = ("unit", "einzel", "stueck", "stuck", "each", "puht")
_WHOLE = (
    "total", "amount", "betrag", "summe", "gesamt", "montant", "importo", "umsatz", "revenue",
    "turnover", "netsales", "erloes", "erlos", "ricavo", "chiffre", "paid", "linevalue",
)  # fmt: skip
_EXTENDED = {"ext", "extd", "extended", "extension"}
_EACH_MARKS, _WHOLE_MARKS = (
    ("単価", "单价", "單價"),
    ("金額", "金额", "合計", "合计", "小計", "小计"),
)
_MOST, _FEW, _NEARLY_ALL = 0.8, 0.2, 0.9
_LEAST_EXACT, _LEAST_NEAR = 2, 5
_CENT = 0.011


class PriceReach(Enum):
    """What a column of prices is the price of."""

    EACH = "each"
    ROW = "row"
    UNKNOWN = "unknown"


def is_price_of_one(heading: str) -> bool:
    """Whether a heading sounds like the price of one piece."""
    return any(mark in heading for mark in _EACH_MARKS) or any(
        word in text for word in _EACH for text in normalised(heading)
    )


def price_reach(heading: str, told: PriceReach | None) -> PriceReach:
    """What a price is of, by rows and by its heading.

    Args:
        heading: The outlet's own.
        told: As `told_by_columns` or `told_by_references` says; None where rows say nothing.
    """
    said = _said_by(heading)
    if told is None or said is None or told == said:
        return told or said or PriceReach.UNKNOWN
    return PriceReach.UNKNOWN


def _said_by(heading: str) -> PriceReach | None:
    if is_price_of_one(heading):
        return PriceReach.EACH
    is_whole = any(mark in heading for mark in _WHOLE_MARKS) or any(
        word in text for word in _WHOLE for text in normalised(heading)
    )
    return PriceReach.ROW if is_whole or words_of(heading) & _EXTENDED else None


def told_by_columns(
    prices: pl.Series, quantities: pl.Series, others: Mapping[str, pl.Series]
) -> PriceReach | None:
    """What other columns of amounts tell: one that is the price times the quantity, or divided.

    Args:
        prices: Float64.
        quantities: Float64.
        others: Other columns of amounts, Float64, by the outlet's own names.
    """
    counts = quantities.abs()
    several = ((counts > 1) & (prices != 0)).fill_null(value=False)
    price, count = prices.filter(several).abs(), counts.filter(several)
    for own, column in others.items():
        other = column.filter(several).abs()
        whole, each = (price * count - other).abs(), (other * count - price).abs()
        if _nearly_all(whole <= _CENT):
            return PriceReach.EACH
        if _nearly_all(each <= _CENT * count):
            return PriceReach.ROW
        if is_price_of_one(own):
            nearer = (each < (other - price).abs()).drop_nulls()
            if len(nearer) and float(nearer.sum()) >= len(nearer) * _MOST:
                return PriceReach.ROW
    return None


def _nearly_all(holds: pl.Series) -> bool:
    return len(holds) > 0 and int(holds.sum()) >= len(holds) * _NEARLY_ALL


def told_by_references(
    references: pl.Series | None, quantities: pl.Series, prices: pl.Series
) -> PriceReach | None:
    """What rows of one reference with other quantities tell: one price, or one that grows.

    Args:
        references: Of the rows; None where there are none.
        quantities: Float64.
        prices: Float64.
    """
    if references is None:
        return None
    names = ("reference", "quantity", "price")
    columns = zip(names, (references, quantities.abs(), prices.abs()), strict=True)
    rows = pl.DataFrame([column.alias(name) for name, column in columns]).drop_nulls()
    rows = rows.filter((pl.col("price") > 0) & (pl.col("quantity") > 0))
    rows = rows.with_columns(
        price=pl.col("price").round(2), one=(pl.col("price") / pl.col("quantity")).round(2)
    )

    def alike(what: str) -> pl.Expr:
        return pl.col("quantity").n_unique().over("reference", what) > 1

    found = rows.with_columns(each=alike("price"), row=alike("one")).filter(pl.col("quantity") > 1)
    each, row = int(found["each"].sum()), int(found["row"].sum())
    if each + row >= _LEAST_EXACT:
        return _decided(each / (each + row))
    return _told_by_nearness(rows)


def _told_by_nearness(rows: pl.DataFrame) -> PriceReach | None:
    """Of several discounts, what is nearer to the price of one than to that of all is of one."""
    one = rows.filter(quantity=1).group_by("reference").agg(single=pl.col("price").median())
    both = rows.filter(pl.col("quantity") > 1).join(one, on="reference")
    if len(both) < _LEAST_NEAR:
        return None
    nearer = (pl.col("price") - pl.col("single")).abs() < (
        pl.col("price") - pl.col("single") * pl.col("quantity")
    ).abs()
    return _decided(float(both.select(nearer.mean()).item()))


def _decided(share: float) -> PriceReach | None:
    """By the share of rows that speak for one piece; None where it is neither most nor few."""
    if share >= _MOST:
        return PriceReach.EACH
    return PriceReach.ROW if share <= _FEW else None


def read_columns(cells: Mapping[str, pl.Series], sign: str) -> dict[str, pl.Series]:
    """Columns as amounts, Float64, in whatever currency, of those that have any.

    What stands beside an amount is left out of account, so that its sign may be lost.

    Args:
        cells: By the outlet's own names.
        sign: What stands before cents.
    """
    found = {}
    for own, column in cells.items():
        bare = column
        if not column.dtype.is_numeric():
            bare = without_currency(column.cast(pl.String))
        values = amounts(bare, "", sign).values
        if values.count():
            found[own] = values
    return found
