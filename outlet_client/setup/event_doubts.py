"""Doubts that the events raise when all of them are read: who, how often, when, in what basket.

Invariant: pure functions of the events; each hands back one doubt or none, without a cell.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from features.ledger import Kind
from outlet_client.setup.doubts import Doubt, counted
from outlet_client.sources.customer_keys import PREFIX

NAME = r"^[^\d_@]*\p{L}{2,},?\s+\p{L}[^\d_@]*$"
"""What looks like a person's name."""

MAILBOX_KEY = rf"^{PREFIX}[0-9a-f]{{32}}$"
"""What stands for a mailbox that was a customer's key."""

_LEAST_ROWS = 20
_LEAST_RETURNS = 3
_LEAST_ORDERS = 3
_MOST_OF_ONE = 0.25
_MOST_VISITS = 100
_HALF, _MOST, _SOME = 0.5, 0.8, 0.2
_CENT = 0.005


def event_doubts(
    rows: pl.DataFrame, today: dt.date, *, always_sales: bool = False, by_sign: bool = True
) -> list[Doubt]:
    """What the events speak against.

    Args:
        rows: Those that are used, in the ledger's order: customer, outlet, date, kind, price,
            basket, serial, reference, refund.
        today: By the outlet's clock.
        always_sales: Whether no column says what a row is.
        by_sign: Whether there are returns that only their sign tells.
    """
    baskets = baskets_of(rows)
    found = (
        returns_outnumber(rows),
        returns_of_one(rows),
        few_customers(rows),
        name_keys(rows),
        mailbox_keys(rows),
        basket_header(baskets),
        basket_repeats(baskets),
        basket_below_zero(rows) if by_sign else None,
        all_purchases(rows, always=always_sales),
        one_day(rows),
        far_days(rows, today),
    )
    return [doubt for doubt in found if doubt is not None]


def returns_outnumber(rows: pl.DataFrame) -> Doubt | None:
    """More came back than was sold."""
    sold = int((rows["kind"] == Kind.PURCHASE.value).sum())
    back = int((rows["kind"] == Kind.RETURN.value).sum())
    if back <= sold:
        return None
    return Doubt(
        "returns-outnumber",
        "ledger",
        {"returns": back, "purchases": sold},
        f"{counted(back, 'return')} and {counted(sold, 'purchase')}: are sales read as returns?",
    )


def returns_of_one(rows: pl.DataFrame) -> Doubt | None:
    """Most returns are of one customer who bought nothing: the shop itself?"""
    back = rows.filter(pl.col("kind") == Kind.RETURN.value)["customer"]
    if len(back) < _LEAST_RETURNS:
        return None
    counts = back.value_counts().sort("count", descending=True)
    who, most = counts.row(0)
    if most <= len(back) * _HALF or not rows.filter(customer=who, kind=Kind.PURCHASE).is_empty():
        return None
    what = f"{most:,} of {len(back):,} returns are of one customer, who bought nothing: the shop?"
    counted_ = {"returns": len(back), "of one": most}
    return Doubt("returns-of-one", "ledger", counted_, what)


def few_customers(rows: pl.DataFrame) -> Doubt | None:
    """One key has a quarter of the rows, or all customers together come too often."""
    if len(rows) < _LEAST_ROWS:
        return None
    visits = rows.select(pl.col("customer").hash(), "date").unique()
    counts = rows["customer"].value_counts().sort("count", descending=True)
    most, customers = int(counts["count"][0]), len(counts)
    one, many = most > len(rows) * _MOST_OF_ONE, len(visits) > customers * _MOST_VISITS
    if not (one or many):
        return None
    what = (
        f"one customer's key is in {most:,} of {len(rows):,} rows: does it stand for nobody?"
        if one
        else f"{customers:,} customers came on {len(visits):,} days between them"
    )
    counted_ = {"customers": customers, "rows": len(rows), "most": most}
    return Doubt("few-customers", "ledger", counted_, what)


def name_keys(rows: pl.DataFrame) -> Doubt | None:
    """Customers' keys are names, which two people may share."""
    keys = rows["customer"].unique()
    names = int(keys.str.contains(NAME).sum())
    if names <= len(keys) * _HALF:
        return None
    of = counted(len(keys), "customer key")
    what = f"{names:,} of {of} look like names; two people may share one"
    return Doubt("name-keys", "ledger", {"names": names, "customers": len(keys)}, what)


def mailbox_keys(rows: pl.DataFrame) -> Doubt | None:
    """Customers' keys are mailboxes: hashed before they are kept, and lost with a new address."""
    keys = rows["customer"].unique()
    hashed = int(keys.str.contains(MAILBOX_KEY).sum())
    if not hashed:
        return None
    what = (
        f"{hashed:,} of {counted(len(keys), 'customer key')} are mailboxes: each is hashed before "
        "it is kept, and who changes theirs is another customer"
    )
    return Doubt("mailbox-keys", "ledger", {"mailboxes": hashed, "customers": len(keys)}, what)


def baskets_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each basket with several sold pieces: their number, sum, extremes and references.

    Args:
        rows: As `event_doubts` takes them.
    """
    sold = rows.filter(pl.col("kind") == Kind.PURCHASE.value).select(
        pl.col("basket").hash(),  # hashes are compared faster than text
        pl.col("price"),
        reference=pl.when(pl.col("reference").is_not_null()).then(pl.col("reference").hash()),
        named=pl.col("reference").is_not_null(),
    )
    return (
        sold.group_by("basket")
        .agg(
            pieces=pl.len(),
            sum=pl.col("price").sum(),
            most=pl.col("price").max(),
            least=pl.col("price").min(),
            differ=pl.col("reference").min() != pl.col("reference").max(),
            named=pl.col("named").sum(),
        )
        .filter(pl.col("pieces") > 1)
    )


def basket_header(orders: pl.DataFrame) -> Doubt | None:
    """In baskets, as `baskets_of`, one row is the sum of the others: pieces would count twice."""
    sums = (pl.col("sum") - pl.col("most") * 2).abs() <= _CENT
    several = sums & (pl.col("pieces") > 2)  # noqa: PLR2004  (two alike may be two pieces)
    twin = sums & (pl.col("pieces") == 2) & (pl.col("named") == 1)  # noqa: PLR2004  (a header and one piece)
    headed = int(orders.select((several | twin).sum()).item())
    if not headed or headed < len(orders) * _SOME:
        return None
    what = (
        f"in {headed:,} of {counted(len(orders), 'basket')} of several rows one row's amount is "
        "the sum of the others': is it the receipt's own row, so that each piece counts twice?"
    )
    return Doubt("basket-header", "ledger", {"baskets": headed, "several": len(orders)}, what)


def basket_repeats(baskets: pl.DataFrame) -> Doubt | None:
    """In baskets, as `baskets_of`, all pieces have one amount: that of the whole receipt?"""
    orders = baskets.filter("differ")
    alike = int(((orders["most"] - orders["least"]) <= _CENT).sum())
    if len(orders) < _LEAST_ORDERS or alike <= len(orders) * _MOST:
        return None
    what = (
        f"in {alike:,} of {counted(len(orders), 'basket')} of several references all have one "
        "amount: is it the whole receipt's?"
    )
    return Doubt("basket-repeats", "ledger", {"baskets": alike, "several": len(orders)}, what)


def basket_below_zero(rows: pl.DataFrame) -> Doubt | None:
    """Rows of no piece are returns in baskets in which pieces were bought: discounts?"""
    sold = rows.filter(pl.col("kind") == Kind.PURCHASE.value)
    if not sold["reference"].count():
        return None
    nothing = pl.col("reference").is_null() & pl.col("serial").is_null()
    back = rows.filter((pl.col("kind") == Kind.RETURN.value) & nothing)
    number = len(back.join(sold.select("basket").unique(), on="basket", how="semi"))
    if not number:
        return None
    what = (
        f"{counted(number, 'return')} of no piece in baskets in which pieces were bought: are they "
        "discounts or vouchers?"
    )
    return Doubt("basket-below-zero", "ledger", {"rows": number}, what)


def all_purchases(rows: pl.DataFrame, *, always: bool) -> Doubt | None:
    """No column says what a row is, and nothing ever came back."""
    if not always or len(rows) < _LEAST_ROWS:
        return None
    back = (rows["kind"] != Kind.PURCHASE.value) | rows["refund"].is_not_null()
    if back.any():
        return None
    what = f"all {len(rows):,} rows are sales and nothing ever came back: does no column say so?"
    return Doubt("all-purchases", "ledger", {"rows": len(rows)}, what)


def one_day(rows: pl.DataFrame) -> Doubt | None:
    """All events are of one day: that of the export?"""
    if len(rows) < _LEAST_ROWS or rows["date"].n_unique() > 1:
        return None
    what = f"all {len(rows):,} rows are of one day: is it the day of the export?"
    return Doubt("one-day", "ledger", {"rows": len(rows)}, what)


def far_days(rows: pl.DataFrame, today: dt.date) -> Doubt | None:
    """Events after tomorrow: a year read wrongly, or day and month exchanged."""
    ahead = int((rows["date"] > today + dt.timedelta(days=1)).sum())
    if not ahead:
        return None
    what = f"{counted(ahead, 'row is', 'rows are')} dated after today"
    return Doubt("far-days", "ledger", {"ahead": ahead}, what)
