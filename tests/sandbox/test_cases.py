"""Cases: what the network knew of a buyer on the day before, and nothing of later."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from features.events import FEATURE_NAMES, RATES
from sandbox.purchase_cases import CASE_DAY, MOST_CASES, cases
from sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAY = dt.date(2020, 3, 1)

Sale = tuple[str, str, int, float | None, float | None]
"""Buyer, outlet, day, days until the resale, outcome."""

sales = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben"]),
        st.sampled_from(["o1", "o2"]),
        st.integers(0, 60),
        st.one_of(st.none(), st.integers(0, 60).map(float)),
        st.sampled_from([0.0, 1.0, None]),
    ),
    min_size=1,
    max_size=15,
)


def tables_of(sold: Sequence[Sale]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A ledger and its labels; a sale's basket is its place in the list."""
    ledger = pl.DataFrame(
        {
            "customer_id": [one[0] for one in sold],
            "outlet_id": [one[1] for one in sold],
            "purchased_at": [DAY + dt.timedelta(days=one[2]) for one in sold],
            "price": [float(100 + place) for place in range(len(sold))],
            "list_price": [200.0] * len(sold),
            "is_return": [False] * len(sold),
            "basket_id": [f"b{place}" for place in range(len(sold))],
        }
    )
    labels = pl.DataFrame(
        {
            "basket_id": ledger["basket_id"],
            "fold": [len(one[0]) % 2 for one in sold],
            "resold_after_days": pl.Series([one[3] for one in sold], dtype=pl.Float64),
            "y": pl.Series([one[4] for one in sold], dtype=pl.Float64),
        }
    )
    return ledger, labels


def cases_of(sold: Sequence[Sale]) -> tuple[pl.DataFrame, pl.DataFrame]:
    ledger, labels = tables_of(sold)
    return cases(ledger, "ledger.csv", labels, "labels.csv", "y")


def said(events: pl.DataFrame, case: str) -> list[tuple[str, int, str]]:
    """What is known of a case: kind, days before its purchase, and piece, in order of time."""
    rows = events.filter(pl.col("customer") == case)
    days = [((CASE_DAY.date - day).days + 1) for day in rows["date"]]
    found = zip(rows["kind"], days, rows["serial"], strict=True)
    return sorted(found, key=lambda one: (-one[1], one[0], one[2]))


# --- what a case knows ----------------------------------------------------------------------------


def test_a_case_has_its_buyers_purchases_of_before_and_neither_itself_nor_its_day() -> None:
    events, judged = cases_of(
        [
            ("anna", "o1", 0, None, 0.0),
            ("anna", "o2", 9, None, 0.0),
            ("anna", "o1", 10, None, 1.0),
            ("anna", "o1", 10, None, 0.0),
            ("ben", "o1", 5, None, 0.0),
        ]
    )
    assert said(events, "b2") == said(events, "b3") == [
        ("purchase", 10, "b0"), ("purchase", 1, "b1")
    ]  # fmt: skip
    assert said(events, "b1") == [("purchase", 9, "b0")]
    assert said(events, "b0") == said(events, "b4") == []
    assert sorted(judged["customer_id"]) == ["b0", "b1", "b2", "b3", "b4"]


def test_a_resale_counts_only_once_it_has_happened() -> None:
    sold: list[Sale] = [("anna", "o1", 0, 7.0, 1.0)]
    sold += [("anna", "o1", day, None, 0.0) for day in (7, 8)]
    events, _ = cases_of(sold)
    assert said(events, "b1") == [("purchase", 7, "b0")]  # resold on that very day
    assert said(events, "b2") == [
        ("purchase", 8, "b0"), ("confirmed", 1, "b0"), ("purchase", 1, "b1")
    ]  # fmt: skip


def test_a_resale_is_of_the_piece_that_was_bought_and_so_many_days_after() -> None:
    events, judged = cases_of(
        [("anna", "o1", 0, 7.0, 1.0), ("anna", "o2", 2, None, 0.0), ("anna", "o1", 90, None, 0.0)]
    )
    world = World.of(events, judged, CASE_DAY, CASE_DAY.date)
    vectors = [own.vectors(np.zeros(RATES)) for own in world.sums().values()]
    x = dict(zip(world.customers, np.sum(vectors, axis=0), strict=True))
    resold = FEATURE_NAMES.index("rate: resold")
    assert x["b2"][resold] > 0
    assert x["b1"][resold] == 0


@given(sales)
def test_the_day_before_is_the_last_day_of_any_row_of_any_case(sold: list[Sale]) -> None:
    events, judged = cases_of(sold)
    days = {f"b{place}": one[2] for place, one in enumerate(sold)}
    owners = {f"b{place}": one[0] for place, one in enumerate(sold)}
    assert (events["date"] <= CASE_DAY.date).all()
    assert set(events["customer"]) <= set(judged["customer_id"])
    for case, kind, date, piece in events.select("customer", "kind", "date", "serial").iter_rows():
        happened = days[case] - 1 - (CASE_DAY.date - date).days
        after = sold[int(piece[1:])][3] if kind == "confirmed" else 0.0
        assert happened == days[piece] + (after or 0)
        assert happened < days[case]
        assert owners[piece] == owners[case]


@given(sales, st.integers(0, 14))
def test_what_comes_on_the_day_of_a_case_or_later_changes_nothing_in_it(
    sold: list[Sale], place: int
) -> None:
    place %= len(sold)
    day = sold[place][2]
    cut = [
        (who, where, when, None if after is None or when + after >= day else after, y)
        for who, where, when, after, y in sold
    ]
    early = [one for index, one in enumerate(cut) if one[2] < day or index == place]
    names = [index for index, one in enumerate(cut) if one[2] < day or index == place]
    ledger, labels = tables_of(cut)
    kept = pl.Series([f"b{index}" for index in names]).implode()
    alone, _ = cases(
        ledger.filter(pl.col("basket_id").is_in(kept)),
        "ledger.csv",
        labels.filter(pl.col("basket_id").is_in(kept)),
        "labels.csv",
        "y",
    )
    events, _ = cases_of(sold)
    if len(early) <= MOST_CASES:
        assert said(events, f"b{place}") == said(alone, f"b{place}")


# --- who a case is --------------------------------------------------------------------------------


def test_of_a_buyer_the_latest_twenty_purchases_are_cases() -> None:
    sold: list[Sale] = [("anna", "o1", day, None, 0.0) for day in range(MOST_CASES + 5)]
    events, judged = cases_of([*sold, ("ben", "o1", 0, None, 1.0)])
    expected = {f"b{place}" for place in range(5, MOST_CASES + 6)}
    assert set(judged["customer_id"]) == expected
    assert len(said(events, "b5")) == 5  # what is no case is still known


@given(sales)
def test_all_cases_of_a_buyer_have_one_owner_and_one_home(sold: list[Sale]) -> None:
    _, judged = cases_of(sold)
    first = {
        who: min((when, where) for other, where, when, *_ in sold if other == who)[1]
        for who, *_ in sold
    }
    for case, owner, home in judged.select("customer_id", "owner", "home").iter_rows():
        assert owner == sold[int(case[1:])][0]
        assert home == first[owner]


def test_a_purchase_without_an_outcome_is_no_case_and_is_known_later() -> None:
    events, judged = cases_of([("anna", "o1", 0, None, None), ("anna", "o1", 3, None, 1.0)])
    assert judged["customer_id"].to_list() == ["b1"]
    assert said(events, "b1") == [("purchase", 3, "b0")]


def test_a_world_of_cases_has_a_customer_a_case_and_its_outcome() -> None:
    events, judged = cases_of(
        [("anna", "o1", 0, 2.0, 1.0), ("anna", "o2", 5, None, 0.0), ("ben", "o2", 6, None, 0.0)]
    )
    world = World.of(events, judged, CASE_DAY, CASE_DAY.date)
    assert world.customers.to_list() == ["b0", "b1", "b2"]
    assert world.owners.to_list() == ["anna", "anna", "ben"]
    assert world.homes.to_list() == ["o1", "o1", "o2"]
    assert world.given["y"].tolist() == [1, 0, 0]
    members = world.members({"y": world.given["y"]}, np.ones(3, dtype=bool))
    assert len(members["o1"].home.owners) == 1  # a case without a history adds nothing


# --- what is wrong --------------------------------------------------------------------------------

SOLD: list[Sale] = [("anna", "o1", 0, 2.0, 1.0), ("anna", "o2", 5, None, 0.0)]


@pytest.mark.parametrize("column", ["basket_id", "resold_after_days", "fold", "y"])
def test_a_missing_column_of_the_labels_is_named_with_what_is_there(column: str) -> None:
    ledger, labels = tables_of(SOLD)
    with pytest.raises(LedgerError, match=rf"^labels.csv, column {column}: missing; got \w+, "):
        cases(ledger, "ledger.csv", labels.drop(column), "labels.csv", "y")


def test_a_missing_column_of_the_ledger_is_named() -> None:
    ledger, labels = tables_of(SOLD)
    with pytest.raises(LedgerError, match=r"^ledger.csv, column price: missing"):
        cases(ledger.drop("price"), "ledger.csv", labels, "labels.csv", "y")


def test_an_outcome_other_than_0_and_1_is_refused() -> None:
    ledger, labels = tables_of(SOLD)
    with pytest.raises(LedgerError, match=r"^labels.csv, row \d+, column y: expected"):
        cases(ledger, "l", labels.with_columns(y=pl.lit(0.5)), "labels.csv", "y")


def refused(ledger: pl.DataFrame, labels: pl.DataFrame) -> Any:
    with pytest.raises(LedgerError):
        cases(ledger, "ledger.csv", labels, "labels.csv", "y")


@pytest.mark.parametrize("which", ["ledger", "labels"])
def test_a_purchase_that_is_named_twice_is_refused(which: str) -> None:
    ledger, labels = tables_of(SOLD)
    twice = {"ledger": ledger, "labels": labels}
    twice[which] = pl.concat([twice[which], twice[which].tail(1)])
    refused(twice["ledger"], twice["labels"])


@pytest.mark.parametrize(
    ("column", "cell"),
    [("fold", None), ("resold_after_days", "soon"), ("resold_after_days", "NaN")],
)
def test_a_cell_of_the_labels_that_cannot_be_read_is_refused(column: str, cell: str | None) -> None:
    ledger, labels = tables_of(SOLD)
    text = labels.with_columns(pl.col(column).cast(pl.String))
    refused(ledger, text.with_columns(pl.lit(cell, pl.String).alias(column)))


def test_the_punks_are_cases_of_the_ledger_that_comes_with_the_project(shared_data: Path) -> None:
    world, _ = World.load(
        shared_data / "punks_ledger.parquet", shared_data / "punks_labels.csv.gz", CASE_DAY,
        "y_flip7", per_purchase=True,
    )  # fmt: skip
    owners = world.owners.value_counts()["count"]
    assert owners.max() == MOST_CASES
    assert len(world.customers) == world.customers.n_unique()
    known = world.snapshot.history["kind"].value_counts()
    assert set(known["kind"]) == {"purchase", "confirmed"}
