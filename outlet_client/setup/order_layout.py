"""How the rows of an order lie in an export: what its first row says, and which sums it up.

Invariant: a layout is told by cells alone, of several orders together; where nothing speaks for it
there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Collection

ORDER_COLUMNS = (
    "customer_id", "purchased_at", "status", "currency", "outlet_id", "phone", "email",
)  # fmt: skip
"""Canonical columns that may be the whole order's; an amount or a piece is a line's."""

_FOLLOWING_FILLED = 0.05
_MOST_ORDERS = 0.8
_CENT = 0.005


def orders_of(sample: pl.DataFrame, key: str) -> pl.Series:
    """Which order each row is of, Int64, in the table's order.

    A row where the key is blank goes on with the order of the row before. So does one with the
    same key, unless keys are blank elsewhere: then every key that is written begins an order.

    Args:
        sample: Rows under the outlet's own names, in order.
        key: The own column that tells orders apart.
    """
    text = _text(sample[key])
    known = text.forward_fill()
    begins = text.is_not_null()
    if not has_blank_keys(sample, key):
        begins = begins & (known != known.shift(1)).fill_null(value=True)
    return begins.cast(pl.Int64).cum_sum().alias("order")


def first_row_columns(sample: pl.DataFrame, key: str) -> frozenset[str]:
    """Own columns that are filled in the first row of orders and blank in their further rows.

    Args:
        sample: Rows under the outlet's own names, in order.
        key: The own column that tells orders apart.
    """
    orders = orders_of(sample, key)
    first = orders.is_first_distinct()
    many = orders.is_duplicated()
    following = many & ~first
    if not following.any():
        return frozenset()
    found = set()
    for column in sample:
        if column.dtype.is_nested() or column.name == key:
            continue
        filled = _text(column).is_not_null()
        begun = orders.filter(first & many & filled)
        behind = filled.filter(following & orders.is_in(begun.implode()))
        if len(behind) and float(behind.sum()) <= len(behind) * _FOLLOWING_FILLED:
            found.add(column.name)
    return frozenset(found)


def has_blank_keys(sample: pl.DataFrame, key: str) -> bool:
    """Whether the key itself stands in an order's first row only."""
    blank = _text(sample[key]).is_null()
    return bool(blank.any()) and not blank.all() and not bool(blank[0])


def header_codes(
    orders: pl.Series, kinds: pl.Series, prices: pl.Series, codes: Collection[str]
) -> frozenset[str]:
    """Codes of rows that sum an order's other rows up, so that its pieces would count twice.

    Args:
        orders: As `orders_of` gives them.
        kinds: What each row is, as written; null where blank.
        prices: Float64, null where none.
        codes: The codes of sales and returns; rows of others are left out of account.
    """
    rows = pl.DataFrame([orders.alias("order"), kinds.alias("kind"), prices.alias("price")])
    rows = rows.filter(pl.col("kind").is_in(list(codes)) & pl.col("price").is_not_null())
    found = set()
    for code in codes:
        is_head = pl.col("kind") == code
        of_orders = rows.group_by("order").agg(
            heads=is_head.sum(),
            lines=(~is_head).sum(),
            head=pl.col("price").filter(is_head).sum(),
            rest=pl.col("price").filter(~is_head).sum(),
        )
        both = of_orders.filter((pl.col("heads") == 1) & (pl.col("lines") > 0))
        sums = both.filter((pl.col("head") - pl.col("rest")).abs() <= _CENT)
        several = int((both["lines"] > 1).sum())
        alone = int((of_orders["lines"] == 0).sum())
        if several and len(sums) >= _MOST_ORDERS * len(both) and len(both) > alone:
            found.add(code)
    return frozenset(found)


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars().replace("", None)


def repeated_columns(sample: pl.DataFrame, key: str) -> frozenset[str]:
    """Own columns that say the same in every row of an order, of each order that has several.

    None where everything is repeated so, since then nothing tells an order's rows apart.

    Args:
        sample: Rows under the outlet's own names, in order.
        key: The own column that tells orders apart.
    """
    orders = orders_of(sample, key)
    rows = sample.select(
        orders, *(_text(column) for column in sample if not column.dtype.is_nested())
    ).filter(orders.is_duplicated())
    others = [name for name in rows.columns if name not in ("order", key)]
    if rows.is_empty() or not others:
        return frozenset()
    counts = rows.group_by("order").agg(pl.col(others).n_unique())
    same = {name for name in others if bool((counts[name] == 1).all())}
    filled = {name for name in same if rows[name].null_count() == 0}
    return frozenset() if len(same) == len(others) else frozenset(filled)
