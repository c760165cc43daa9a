"""Purchases that came back the same day, and rates of other currencies by day."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from features.exchange_rates import _of_days, by_day
from features.ledger import KINDS, REFUND, Kind, with_refunds

DAY = dt.date(2026, 3, 2)


def bought(*rows: tuple[str, float, float, float | None]) -> pl.DataFrame:
    """Purchases: piece, price, list price and what came back."""
    return pl.DataFrame(
        rows,
        schema={
            "serial": pl.String, "price": pl.Float64, "list_price": pl.Float64,
            REFUND: pl.Float64,
        },
        orient="row",
    ).with_columns(kind=pl.lit(Kind.PURCHASE.value, KINDS), date=pl.lit(DAY))  # fmt: skip


def told(events: pl.DataFrame, *more: str) -> list[tuple[object, ...]]:
    return events.select("serial", pl.col("kind").cast(pl.String), "price", *more).rows()


ROWS = bought(
    ("S1", 100.0, 200.0, 25.0),
    ("S2", 50.0, 60.0, None),
    ("S3", 0.0, 80.0, 0.0),
    ("S4", 40.0, 80.0, 40.0),
)


def test_a_return_follows_its_purchase_with_its_share_of_the_list_price() -> None:
    found = with_refunds(ROWS)
    assert REFUND not in found.columns
    assert told(found, "list_price") == [
        ("S1", "purchase", 100.0, 200.0),
        ("S1", "return", 25.0, 50.0),
        ("S2", "purchase", 50.0, 60.0),
        ("S3", "purchase", 0.0, 80.0),
        ("S3", "return", 0.0, 80.0),  # a gift came back whole
        ("S4", "purchase", 40.0, 80.0),
        ("S4", "return", 40.0, 80.0),
    ]


@pytest.mark.parametrize("rows", [ROWS, ROWS.filter(serial="S2"), ROWS.head(0)])
def test_the_returns_that_are_made_are_marked_and_nothing_else_is(rows: pl.DataFrame) -> None:
    found = with_refunds(rows, "made")
    kinds = found["kind"].cast(pl.String)
    assert found["made"].to_list() == (kinds == "return").to_list()
    assert found.drop("made").equals(with_refunds(rows))


def test_an_amount_has_the_last_rate_of_or_before_its_day_and_a_bad_day_the_first() -> None:
    first, later = dt.date(2026, 1, 10), dt.date(2026, 2, 10)
    [(code, table)] = by_day([("EUR", later, 1.5), ("EUR", first, 1.25)]).items()
    assert (code, table) == ("EUR", ((first, 1.25), (later, 1.5)))
    one = dt.timedelta(days=1)
    days = [first - one, first, later - one, later, later + one, None]
    assert _of_days(table, pl.Series(days, dtype=pl.Date)).to_list() == [
        None, 1.25, 1.25, 1.5, 1.5, 1.25,
    ]  # fmt: skip


def test_a_rate_without_a_day_held_always() -> None:
    table = by_day([("EUR", DAY, 1.5), ("EUR", None, 1.25)])["EUR"]
    days = pl.Series([dt.date(1, 1, 1), DAY - dt.timedelta(days=1), DAY])
    assert _of_days(table, days).to_list() == [1.25, 1.25, 1.5]
