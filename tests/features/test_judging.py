"""What tills write beside sales: rows that are no events, quantities, statuses, currencies."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.exchange_rates import by_day
from features.judging import Judged, judge
from features.ledger import with_refunds
from features.ledger_format import LedgerFormat, Standing

STATUSES = {
    "paid": Standing.COUNTS,
    "": Standing.COUNTS,
    "voided": Standing.VOID,
    "refunded": Standing.RETURNED,
}


def ledger(**columns: Any) -> pl.DataFrame:
    """A ledger of as many rows as its longest column; text, as a CSV file has it."""
    rows = max(len(values) for values in columns.values())
    plain: dict[str, Any] = {
        "customer_id": ["anna"] * rows,
        "purchased_at": ["2026-01-05"] * rows,
        "kind": ["purchase"] * rows,
    }
    if "unit_price" not in columns:
        plain["price"] = ["100"] * rows
    return pl.DataFrame({**plain, **columns})


def judged(form: LedgerFormat | None = None, **columns: Any) -> Judged:
    return judge(ledger(**columns), "till.csv", form or LedgerFormat())


def events(found: Judged) -> list[tuple[int, str, float]]:
    """Row, kind and price of each event; of a purchase that came back of both."""
    told = with_refunds(found.events).select("row", pl.col("kind").cast(pl.String), "price")
    return told.rows()


def apart(found: Judged) -> list[tuple[int, str]]:
    return found.apart.select("row", "reason").rows()


def bad(found: Judged) -> list[tuple[int, str]]:
    return found.bad.select("row", "column").rows()


# --- rows that are no events ----------------------------------------------------------------------


def test_a_row_whose_code_is_no_event_is_none_whatever_its_other_cells_hold() -> None:
    form = LedgerFormat(kinds={"S": "purchase"}, ignored=frozenset({"Deposit", ""}))
    found = judged(
        form,
        kind=["S", " Deposit", None, "Layaway"],
        price=["1", "x", None, "4"],
        customer_id=["anna", None, None, "ben"],
    )
    assert events(found) == [(1, "purchase", 1.0)]
    assert apart(found) == [(2, "code"), (3, "code")]
    assert bad(found) == [(4, "kind")]


def test_codes_of_no_event_without_a_column_that_says_them_are_an_error() -> None:
    rows = ledger(price=["1"]).drop("kind").with_columns(is_return=pl.lit("no"))
    with pytest.raises(LedgerError, match=r"till\.csv, column kind: missing"):
        judge(rows, "till.csv", LedgerFormat(ignored=frozenset({"Deposit"})))


def test_who_bought_without_a_name_is_a_walk_in_and_no_reason_to_doubt_the_row() -> None:
    form = LedgerFormat(walk_ins=frozenset({"cash"}))
    found = judged(
        form,
        customer_id=[None, " ", " Cash ", "anna", None],
        purchased_at=["2026-01-05"] * 4 + ["yesterday"],
    )
    assert apart(found) == [(1, "walk-in"), (2, "walk-in"), (3, "walk-in")]
    assert events(found) == [(4, "purchase", 100.0)]
    assert bad(found) == [(5, "purchased_at")]
    assert apart(judged(customer_id=["CASH", None])) == [(2, "walk-in")]


def test_a_status_says_whether_a_row_counts_is_void_or_came_back() -> None:
    form = LedgerFormat(statuses=STATUSES)
    found = judged(
        form,
        status=["Paid", "VOIDED ", "refunded", None, "on hold"],
        price=["1", "x", "3", "4", "5"],
    )
    assert events(found) == [
        (1, "purchase", 1.0), (3, "purchase", 3.0), (3, "return", 3.0), (4, "purchase", 4.0),
    ]  # fmt: skip
    assert apart(found) == [(2, "void")]
    assert bad(found) == [(5, "status")]
    reason = found.bad["reason"][0]
    assert "counts, void or returned" in reason
    assert "hold" not in reason


def test_statuses_need_a_column_and_a_column_without_statuses_says_nothing() -> None:
    with pytest.raises(LedgerError, match=r"till\.csv, column status: missing"):
        judged(LedgerFormat(statuses=STATUSES), price=["1"])
    assert events(judged(status=["voided"])) == [(1, "purchase", 100.0)]


def test_a_return_that_a_status_calls_returned_is_one_return() -> None:
    form = LedgerFormat(statuses=STATUSES)
    found = judged(form, status=["refunded"] * 2, kind=["return", "purchase"], price=["5", "-5"])
    assert events(found) == [(1, "return", 5.0), (2, "return", 5.0)]


# --- quantities -----------------------------------------------------------------------------------


def test_a_price_is_the_quantity_times_the_unit_price_where_the_row_has_none() -> None:
    found = judged(
        quantity=["1", "3", "-1", "2.5"],
        unit_price=["13,500", "120", "13500", "10"],
        list_price=["14000", "120", "13500", "12"],
    )
    assert events(found) == [
        (1, "purchase", 13500.0), (2, "purchase", 360.0), (3, "return", 13500.0),
        (4, "purchase", 25.0),
    ]  # fmt: skip
    assert found.events["list_price"].to_list() == [14000.0, 360.0, 13500.0, 30.0]


def test_a_unit_price_without_quantities_is_no_price() -> None:
    with pytest.raises(LedgerError, match=r"till\.csv, column quantity: missing"):
        judged(unit_price=["1"])
    found = judged(quantity=[None, "x"], unit_price=["1", "2"])
    assert bad(found) == [(1, "quantity"), (2, "quantity")]
    dear = judged(quantity=["1000"], unit_price=["1e8"])
    assert bad(dear) == [(1, "unit_price")]


def test_a_quantity_is_no_sign_of_a_return_unless_it_is_below_zero() -> None:
    found = judged(quantity=["2", "-2", "-1", None, "0"], price=["10", "10", "-10", "10", "0"])
    assert events(found) == [
        (1, "purchase", 10.0), (2, "return", 10.0), (3, "return", 10.0), (4, "purchase", 10.0),
    ]  # fmt: skip
    assert apart(found) == [(5, "quantity 0")]


def test_what_came_back_is_a_return_of_its_share_beside_the_purchase() -> None:
    found = judged(
        quantity=["1", "1", "4", "0", None, "1", "1"],
        returned_quantity=["0", "1", "1", "1", "1", "2", None],
        price=["10", "20", "40", "50", "60", "70", "80"],
        serial=["s1", "s2", "s3", "s4", "s5", "s6", "s7"],
    )
    assert events(found) == [
        (1, "purchase", 10.0), (2, "purchase", 20.0), (2, "return", 20.0), (3, "purchase", 40.0),
        (3, "return", 10.0), (4, "return", 50.0), (5, "return", 60.0), (7, "purchase", 80.0),
    ]  # fmt: skip
    assert bad(found) == [(6, "returned_quantity")]
    both = with_refunds(found.events).filter(pl.col("row") == 3)
    assert both["serial"].to_list() == ["s3", "s3"]
    assert both["basket"].n_unique() == 1


def test_what_came_back_alone_is_a_return_of_so_many_pieces() -> None:
    found = judged(quantity=["0", "0"], returned_quantity=["2", "0"], unit_price=["10", "10"])
    assert events(found) == [(1, "return", 20.0)]
    assert apart(found) == [(2, "quantity 0")]
    form = LedgerFormat(statuses=STATUSES)
    undone = judged(form, quantity=["0"], unit_price=["10"], status=["refunded"])
    assert events(undone) == [(1, "purchase", 10.0), (1, "return", 10.0)]


def test_of_what_is_no_sale_no_quantity_is_needed() -> None:
    found = judged(kind=["service", "interest"], quantity=[None, "0"], unit_price=[None, None])
    assert events(found) == [(1, "service", 0.0), (2, "interest", 0.0)]


@pytest.mark.parametrize(
    ("form", "cell", "pieces"),
    [
        (LedgerFormat(decimal=","), "1.000", None),
        (LedgerFormat(), "1,000", None),
        (LedgerFormat(decimal=",", quantity_decimal="."), "1.000", 1.0),
        (LedgerFormat(decimal=","), "1,000", 1.0),
        (LedgerFormat(decimal="cents"), "2", 2.0),
    ],
)
def test_a_quantity_that_may_be_one_or_a_thousand_is_bad_until_settings_say(
    form: LedgerFormat, cell: str, pieces: float | None
) -> None:
    found = judged(form, quantity=[cell], unit_price=["700"])
    if pieces is None:
        assert bad(found) == [(1, "quantity")]
        assert "quantity_decimal" in found.bad["reason"][0]
    else:
        unit = 7.0 if form.decimal == "cents" else 700.0
        assert events(found) == [(1, "purchase", unit * pieces)]


def test_where_sales_are_negative_what_is_above_zero_came_back() -> None:
    form = LedgerFormat(sales_are_negative=True)
    assert events(judged(form, price=["-10", "10"])) == [
        (1, "purchase", 10.0), (2, "return", 10.0),
    ]  # fmt: skip
    counted = judged(form, price=["10", "-10", "10"], quantity=["-1", "-1", "1"])
    assert [kind for _, kind, _ in events(counted)] == ["purchase", "purchase", "return"]
    units = judged(form, quantity=["-2", "2"], unit_price=["10", "10"])
    assert events(units) == [(1, "purchase", 20.0), (2, "return", 20.0)]


# --- currencies -----------------------------------------------------------------------------------

IN_SGD = LedgerFormat(currency="SGD", rates={"JPY": 0.01, "EUR": 1.5})


def test_an_amount_in_another_currency_is_converted_by_the_rate_that_was_given() -> None:
    found = judged(
        IN_SGD,
        price=["100", "100", "S$ 100", "EUR 100", "100"],
        list_price=["100", "200", "100", "€ 200", "100"],
        currency=["SGD", "JPY", None, None, "USD"],
    )
    assert [price for _, _, price in events(found)] == [100.0, 1.0, 100.0, 150.0]
    assert found.events["list_price"].to_list() == [100.0, 2.0, 100.0, 300.0]
    assert bad(found) == [(5, "price"), (5, "list_price")]
    assert "rates" in found.bad["reason"][0]


def test_a_currency_where_none_is_set_is_bad_and_says_what_to_set() -> None:
    found = judged(price=["SGD 100", "100"], currency=[None, "SGD"])
    assert bad(found) == [(1, "price"), (2, "price")]
    assert all("currency" in reason for reason in found.bad["reason"])


def test_a_dated_rate_is_that_of_the_rows_day_or_the_last_before() -> None:
    days = [("JPY", dt.date(2026, 1, 1), 0.01), ("JPY", dt.date(2026, 2, 1), 0.02)]
    form = LedgerFormat(currency="SGD", rates={"JPY": 0.02}, dated=by_day(reversed(days)))
    found = judged(
        form,
        purchased_at=["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2027-01-01", "x"],
        price=["100"] * 6,
        currency=["JPY"] * 6,
    )
    assert [price for _, _, price in events(found)] == [1.0, 1.0, 2.0, 2.0]
    assert bad(found) == [(6, "purchased_at"), (1, "price")]


# --- every row is in one place --------------------------------------------------------------------

WORDS = st.sampled_from(
    [None, " ", "0", "1", "2", "-1", "x", "2026-01-01", "purchase", "return", "service", "D",
     "refunded", "voided", "EUR", "€ 3", "cash", "1.000"]
)  # fmt: skip
COLUMNS = ("customer_id", "purchased_at", "price", "kind", "quantity", "returned_quantity",
           "status", "currency", "line_id", "serial")  # fmt: skip


@given(
    rows=st.lists(st.tuples(*[WORDS] * len(COLUMNS)), max_size=8),
    is_derived=st.booleans(),
    is_turned=st.booleans(),
)
def test_every_row_is_an_event_bad_or_apart_and_never_two_of_them(
    *, rows: list[tuple[str | None, ...]], is_derived: bool, is_turned: bool
) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    if is_derived:
        frame = frame.rename({"price": "unit_price"})
    form = LedgerFormat(
        ignored=frozenset({"D"}),
        statuses=STATUSES,
        walk_ins=frozenset({"cash"}),
        currency="SGD",
        rates={"EUR": 1.5},
        sales_are_negative=is_turned,
    )
    found = judge(frame, "till.csv", form)
    places = [*found.events["row"], *found.bad["row"].unique(), *found.apart["row"]]
    assert sorted(places) == list(range(1, len(frame) + 1))
    told = with_refunds(found.events, "made")
    assert int((~told["made"]).sum()) == len(found.events)
    whole = ["customer", "outlet", "date", "kind", "price", "list_price", "basket"]
    assert told.select(whole).null_count().sum_horizontal().sum() == 0
    assert (told["price"] >= 0).all()
    returned = found.events.drop_nulls("refund")
    assert (returned["refund"] <= returned["price"]).all()
