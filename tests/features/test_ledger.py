"""What a ledger must be, and that one clear error says where it is not."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.ledger import (
    OPTIONAL,
    Kind,
    LedgerFormat,
    Tier,
    canonical_events,
    days_of,
    judge,
    with_tiers,
)


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
        "customer", "outlet", "date", "kind", "price", "list_price", "basket", "serial",
        "reference", "tier",
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


# --- what a row is --------------------------------------------------------------------------------

WHAT = ["purchase", "service", "interest"]


def of_kinds(kinds: list[object]) -> pl.DataFrame:
    return ledger(kind=kinds).drop("is_return")


def test_a_row_is_of_the_kind_that_it_says() -> None:
    for first in ("purchase", "return", "service", "interest", "accepted", "declined"):
        events = canonical_events(of_kinds([first, "service", "interest"]), "x")
        assert events["kind"].to_list() == [first, "service", "interest"]


def test_a_ledger_without_kinds_has_purchases_and_returns() -> None:
    events = canonical_events(ledger(is_return=["true", "0", "1"], price=[1.0, 2.0, 3.0]), "x")
    assert events["kind"].to_list() == [Kind.RETURN, Kind.PURCHASE, Kind.RETURN]


def test_where_a_ledger_has_both_columns_the_kind_counts() -> None:
    events = canonical_events(ledger(kind=WHAT, is_return=[True, True, True]), "x")
    assert events["kind"].to_list() == WHAT


def test_a_ledger_with_neither_column_is_told_which_one_is_missing() -> None:
    with pytest.raises(LedgerError, match=r"shop\.csv, column is_return: missing"):
        canonical_events(ledger().drop("is_return"), "shop.csv")


def test_a_purchase_at_a_negative_price_is_a_return_and_no_other_kind_changes() -> None:
    table = of_kinds(["purchase", "return", "service"]).with_columns(price=-pl.lit(5.0))
    events = canonical_events(table, "x")
    assert events["kind"].to_list() == ["return", "return", "service"]
    assert events["price"].to_list() == [5.0, 5.0, 5.0]
    marked = canonical_events(ledger(price=[-1.0, 2.0, 3.0], is_return=[False, False, False]), "x")
    assert marked["kind"].to_list() == ["return", "purchase", "purchase"]


@pytest.mark.parametrize("kind", ["lease", "Purchase", "1"])
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(kind: str) -> None:
    with pytest.raises(LedgerError) as caught:
        canonical_events(of_kinds(["purchase", kind, kind]), "shop.csv")
    assert str(caught.value) == (
        "shop.csv, row 2, column kind: no kind of row; expected one of purchase, return, service, "
        "interest, accepted, declined (2 such rows)"
    )


@pytest.mark.parametrize("kind", ["suspected", "confirmed"])
def test_a_sighting_has_no_place_in_a_ledger(kind: str) -> None:
    with pytest.raises(LedgerError, match="row 3, column kind: no kind of row"):
        canonical_events(of_kinds(["purchase", "service", kind]), "shop.csv")


def test_an_empty_kind_is_refused() -> None:
    with pytest.raises(LedgerError, match="row 2, column kind: empty"):
        canonical_events(of_kinds(["purchase", None, "service"]), "shop.csv")


# --- serials, references and tiers ----------------------------------------------------------------

KNOWN = {"A1": Tier.OPEN, "L1": Tier.LIMITED, "X1": Tier.ALLOCATION}


def test_a_blank_serial_is_none_and_blanks_around_one_do_not_count() -> None:
    events = canonical_events(ledger(serial=["  ", " 7 ", None]), "x")
    assert events["serial"].to_list() == [None, "7", None]
    assert canonical_events(ledger(), "x")["serial"].to_list() == [None] * 3
    assert canonical_events(ledger(serial=[7, 8, None]), "x")["serial"].to_list() == [
        "7",
        "8",
        None,
    ]


def test_a_row_has_the_tier_of_its_reference() -> None:
    events = canonical_events(ledger(reference=["X1", " L1 ", "A1"]), "x", KNOWN)
    assert events["tier"].to_list() == [Tier.ALLOCATION, Tier.LIMITED, Tier.OPEN]
    assert events["reference"].to_list() == ["X1", "L1", "A1"]


def test_a_row_without_a_reference_is_open() -> None:
    for tiers in (KNOWN, {}, None):
        events = canonical_events(ledger(reference=["", "  ", None]), "x", tiers)
        assert events["tier"].to_list() == [Tier.OPEN] * 3
        assert events["reference"].to_list() == [None] * 3


def test_where_references_have_no_tiers_all_are_open() -> None:
    events = canonical_events(ledger(reference=["X1", "L1", "anything"]), "x")
    assert events["tier"].to_list() == [Tier.OPEN] * 3


def test_a_reference_in_no_tier_is_named_with_what_to_do() -> None:
    """But not the row: with it, the error would tell of a purchase."""
    with pytest.raises(LedgerError) as caught:
        canonical_events(ledger(reference=["X1", "Z9", "Z9"]), "shop.csv", KNOWN)
    assert str(caught.value) == (
        "shop.csv, column reference: 'Z9' is in no tier; add it to the references file "
        "(2 such rows)"
    )
    assert (caught.value.source, caught.value.row, caught.value.column) == (
        "shop.csv", None, "reference"
    )  # fmt: skip


def test_a_column_that_cannot_be_text_is_named() -> None:
    for name in ("serial", "reference"):
        with pytest.raises(LedgerError, match=f"column {name}: got type List"):
            canonical_events(ledger(**{name: [["a"], ["b"], ["c"]]}), "shop.csv", KNOWN)


def test_a_moment_counts_on_the_day_of_its_own_clock() -> None:
    """In Singapore it is the second already; in UTC it still is the first."""
    moments = pl.Series([dt.datetime(2024, 1, 1, 20, tzinfo=dt.UTC)] * 3)
    local = moments.dt.convert_time_zone("Asia/Singapore")
    events = canonical_events(ledger().with_columns(purchased_at=local), "shop.csv")
    assert set(events["date"]) == {dt.date(2024, 1, 2)}
    assert days_of(local, "shop.csv").to_list() == [dt.date(2024, 1, 2)] * 3


# --- good rows and bad ----------------------------------------------------------------------------


def test_every_row_is_good_or_bad_and_all_bad_cells_are_told() -> None:
    rows = ledger(
        price=["1", "x", "3"], list_price=["1", "y", None], serial=["s1", None, "s3"],
        line_id=["a", "b", "c"], row=[11, 12, 13],
    )  # fmt: skip
    judged = judge(rows, "shop.csv")
    assert judged.events.columns == [
        "customer", "outlet", "date", "kind", "price", "list_price", "basket", "serial",
        "reference", "row", "line", "refund",
    ]  # fmt: skip
    assert judged.events.select("row", "line", "serial").rows() == [(11, "a", "s1")]
    assert judged.bad.rows() == [
        (12, "price", "not readable; expected an amount such as 1234.50"),
        (12, "list_price", "not readable; expected an amount such as 1234.50"),
        (13, "list_price", "empty; expected a value"),
    ]
    assert not any(cell in repr(judged) for cell in ("anna", "s1"))


CELLS = st.sampled_from([None, "", " ", "1", "2026-01-01", "x", "purchase", "interest", "true"])


@given(
    st.lists(st.tuples(*[CELLS] * 9), max_size=8),
    st.sets(st.sampled_from([*OPTIONAL, "is_return"])),
)
def test_no_row_is_lost_whatever_its_cells(
    rows: list[tuple[str | None, ...]], left_out: set[str]
) -> None:
    names = ["customer_id", "purchased_at", "price", "kind", *OPTIONAL[:5]]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    frame = frame.drop(name for name in left_out if name in frame.columns)
    judged = judge(frame, "shop.csv")
    places = [*judged.events["row"], *judged.bad["row"].unique(), *judged.apart["row"]]
    assert sorted(places) == list(range(1, len(frame) + 1))
    needed = ["customer", "outlet", "date", "kind", "price", "list_price", "basket"]
    assert judged.events.select(needed).null_count().sum_horizontal().sum() == 0


def test_a_ledger_may_leave_out_outlet_list_price_and_basket() -> None:
    rows = ledger(price=[5.0, 5.0, -5.0], customer_id=["anna", "anna", "anna"],
                  purchased_at=["2026-01-01"] * 3)  # fmt: skip
    judged = judge(rows.drop("outlet_id", "list_price", "basket_id"), "shop.csv")
    assert set(judged.events["outlet"]) == {"here"}
    assert judged.events["list_price"].to_list() == [5.0, 5.0, 5.0]
    first, second, returned = judged.events["basket"]
    assert first == second != returned


def test_an_empty_price_is_nothing_where_nothing_was_sold() -> None:
    judged = judge(of_kinds(["service", "interest", "purchase"]).with_columns(
        price=pl.Series(["", None, " "]), list_price=pl.Series([None, " ", "1"])), "x")  # fmt: skip
    assert judged.events["price"].to_list() == judged.events["list_price"].to_list() == [0.0, 0.0]
    assert judged.bad.rows() == [(3, "price", "empty; expected a value")]


def test_a_ledger_is_read_in_the_outlets_own_way() -> None:
    form = LedgerFormat("%d.%m.%Y", ",", {"V": Kind.PURCHASE, " R": Kind.RETURN, "": Kind.SERVICE})
    rows = of_kinds(["V", "R ", None]).with_columns(
        purchased_at=pl.Series(["31.12.2026", "1.1.2027", "01.01.2027"]),
        price=pl.Series(["1.234,50", "5,00-", ""]),
        list_price=pl.Series(["1 234,50", "5", ""]),
    )
    events = judge(rows, "shop.csv", form).events
    assert events["kind"].to_list() == ["purchase", "return", "service"]
    assert events["price"].to_list() == [1234.5, 5.0, 0.0]
    assert events["date"][1] == dt.date(2027, 1, 1)


def test_a_ledger_without_rows_is_judged_too() -> None:
    judged = judge(ledger().clear(), "shop.csv")
    assert judged.events.is_empty()
    assert judged.bad.is_empty()


def test_of_a_line_that_was_corrected_the_last_row_stands() -> None:
    rows = ledger(line_id=["7", "8", " 7"])
    assert canonical_events(rows, "x")["basket"].to_list() == ["b2", "b3"]


def test_rows_in_no_tier_are_handed_back() -> None:
    events = judge(ledger(reference=["X1", "Z9", None]), "x").events
    tiered, unknown = with_tiers(events, KNOWN)
    assert tiered["tier"].to_list() == [Tier.ALLOCATION, Tier.OPEN]
    assert unknown["row"].to_list() == [2]
    everything, none = with_tiers(events, None)
    assert everything["tier"].to_list() == [Tier.OPEN] * 3
    assert none.is_empty()
