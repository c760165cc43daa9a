"""What a ledger must be, and that one clear error says where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.errors import LedgerError
from features.ledger import Kind, canonical_events
from outlet_client.purchases import read_events

if TYPE_CHECKING:
    from pathlib import Path


def ledger(**columns: object) -> pl.DataFrame:
    values: dict[str, object] = {
        "customer_id": ["anna", "ben", "anna"],
        "outlet_id": ["o1", "o1", "o2"],
        "purchased_at": ["2026-01-01", "2026-01-02", "2026-01-03"],
        "price": [100.0, 50.0, -100.0],
        "list_price": [120.0, 50.0, 100.0],
        "is_return": [False, False, True],
        "basket_id": ["b1", "b2", "b3"],
        "phone": ["+6591234567", "", None],
    }
    return pl.DataFrame({**values, **columns})


def test_a_ledger_becomes_events_without_phones_or_names_of_columns_it_does_not_know() -> None:
    events = canonical_events(ledger(), "ledger")
    assert events.columns == [
        "customer", "outlet", "date", "kind", "price", "list_price", "basket"
    ]  # fmt: skip
    assert events["kind"].to_list() == [Kind.PURCHASE, Kind.PURCHASE, Kind.RETURN]
    assert events["price"].to_list() == [100.0, 50.0, 100.0]


@pytest.mark.parametrize(
    ("columns", "row", "column", "reason"),
    [
        ({"customer_id": ["anna", None, "anna"]}, 2, "customer_id", "empty"),
        ({"outlet_id": ["o1", "  ", "o1"]}, 2, "outlet_id", "empty; expected a key"),
        ({"price": [1.0, 2.0, float("nan")]}, 3, "price", "NaN, infinity or over 1e+09"),
        ({"list_price": [float("inf"), 2.0, 3.0]}, 1, "list_price", "NaN, infinity or over 1e+09"),
        ({"price": [1.0, 1e308, 1.0]}, 2, "price", "over 1e+09"),
        ({"price": ["1.0", "12,50", "3"]}, 2, "price", "not readable"),
        ({"purchased_at": ["2026-01-01", "2026-02-30", "2026-01-03"]}, 2, "purchased_at",
         "a date in the calendar"),
        ({"purchased_at": [20260101, 20260102, 20260103]}, None, "purchased_at", "got type Int64"),
        ({"price": [True, False, True]}, None, "price", "got type Boolean"),
        ({"is_return": ["false", "maybe", "true"]}, 2, "is_return", "not readable"),
        ({"is_return": [0.0, 1.0, 2.0]}, None, "is_return", "got type Float64"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_one_error_that_names_file_row_and_column(
    columns: dict[str, object], row: int | None, column: str, reason: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        canonical_events(ledger(**columns), "shop.csv")
    assert (caught.value.source, caught.value.row, caught.value.column) == ("shop.csv", row, column)
    assert reason in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("anna", "ben", "+65", "12,50"))


def test_a_missing_column_is_named_with_what_is_there() -> None:
    with pytest.raises(LedgerError, match=r"shop.csv, column price: missing; got the columns cust"):
        canonical_events(ledger().drop("price"), "shop.csv")


def test_an_empty_ledger_is_an_error() -> None:
    with pytest.raises(LedgerError, match="no rows"):
        canonical_events(ledger().head(0), "shop.csv")


def test_exact_duplicates_count_unless_a_line_id_says_they_are_one_row() -> None:
    twice = pl.concat([ledger(), ledger()])
    assert len(canonical_events(twice, "x")) == 6
    numbered = twice.with_columns(line_id=pl.Series([1, 2, 3, 1, 2, 3]))
    assert len(canonical_events(numbered, "x")) == 3


def test_a_null_line_id_is_refused() -> None:
    with pytest.raises(LedgerError, match="row 2, column line_id"):
        canonical_events(ledger().with_columns(line_id=pl.Series([1, None, 3])), "x")


def test_csv_and_parquet_read_alike(tmp_path: Path) -> None:
    frame = ledger().with_columns(pl.col("purchased_at").str.to_date())
    frame.write_parquet(tmp_path / "l.parquet")
    frame.write_csv(tmp_path / "l.csv")
    assert read_events(tmp_path / "l.csv").equals(read_events(tmp_path / "l.parquet"))


def test_a_file_that_is_missing_empty_or_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.parquet").write_text("hello")
    for name, reason in [
        ("none.csv", "no such file"),
        ("empty.csv", "no rows"),
        ("bad.parquet", "not readable"),
    ]:
        with pytest.raises(LedgerError, match=reason):
            read_events(tmp_path / name)
