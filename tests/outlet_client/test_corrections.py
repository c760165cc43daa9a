"""Corrections: what they change, what they leave alone, and what is refused."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.ledger import judge
from outlet_client.database import create_databases
from outlet_client.ledger.corrections import (
    CELLS,
    CorrectionRefused,
    apply,
    correct,
    event_ids,
    standing,
    strike,
    unmatched,
)
from outlet_client.log_tables.rights_store import CORRECTIONS, purge_older, rights_of

pytestmark = pytest.mark.usefixtures("databases")

AT = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
LEDGER = {
    "customer_id": ["anna", "ben", "anna", "anna", "ben"],
    "outlet_id": ["O1"] * 5,
    "purchased_at": ["2025-01-02", "2025-01-02", "2025-06-01", "2025-06-01", "2026-01-01"],
    "price": ["8000", "8000", "200.5", "200.5", "90"],
    "list_price": ["8000", "8000", "250", "250", "90"],
    "kind": ["purchase"] * 5,
    "basket_id": ["b1", "b2", "b3", "b3", "b4"],
    "serial": ["s1", "s2", "", "", ""],
    "reference": ["R1", "R1", "", "", ""],
}


@pytest.fixture
def rows() -> pl.DataFrame:
    return ledger()


def ledger(**columns: list[str]) -> pl.DataFrame:
    table = pl.DataFrame({**LEDGER, **columns})
    return judge(table, "ledger.csv").events.drop("row")


def annas(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(customer="anna")


def change(home: Path, rows: pl.DataFrame, event: str, **values: str) -> dict[str, object]:
    with rights_of(home) as connection:
        return correct(connection, annas(rows), event, values, "mei", AT)


def remove(home: Path, rows: pl.DataFrame, event: str) -> None:
    with rights_of(home) as connection:
        strike(connection, annas(rows), event, "mei", AT)


def test_without_corrections_the_rows_are_the_very_same(rows: pl.DataFrame, tmp_path: Path) -> None:
    assert apply(tmp_path, rows) is rows
    assert unmatched(tmp_path, rows) == 0
    assert purge_older(tmp_path, CORRECTIONS.c.dated, AT.date()) == 0


def test_a_correction_changes_one_row_in_its_place_and_no_other(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    ids = event_ids(rows)
    told = change(tmp_path, rows, ids[0], price="7500", date="2025-02-03", serial="")
    assert told == {"price": 7500.0, "date": "2025-02-03", "serial": None}
    found = apply(tmp_path, rows)
    assert found.row(0, named=True) == {
        **rows.row(0, named=True),
        "price": 7500.0,
        "date": dt.date(2025, 2, 3),
        "serial": None,
    }
    assert found[1:].equals(rows[1:])
    assert found.schema == rows.schema


def test_what_is_struck_is_gone_and_of_two_equal_rows_one_stays(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    ids = event_ids(rows)
    assert ids[2][:-1] == ids[3][:-1]
    remove(tmp_path, rows, ids[3])
    assert apply(tmp_path, rows).equals(pl.concat([rows[:3], rows[4:]]))


def test_another_customers_row_with_the_same_piece_is_not_touched(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    change(tmp_path, rows, event_ids(rows)[0], price="1")
    assert apply(tmp_path, rows).filter(customer="ben").equals(rows.filter(customer="ben"))
    with pytest.raises(CorrectionRefused, match="this customer has none of this id"):
        change(tmp_path, rows, event_ids(rows)[1], price="1")


def test_a_later_correction_adds_to_the_earlier_and_its_id_stays(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    event = event_ids(rows)[0]
    change(tmp_path, rows, event, price="7500")
    assert change(tmp_path, rows, event, serial="s9") == {"price": 7500.0, "serial": "s9"}
    remove(tmp_path, rows, event)
    assert len(apply(tmp_path, rows)) == 4
    change(tmp_path, rows, event, price="8000")  # back, and as the ledger has it
    assert apply(tmp_path, rows).equals(rows)
    with rights_of(tmp_path) as connection:
        [one] = standing(connection)
    assert (one.changes, one.struck, one.by) == ({}, False, "mei")


def test_a_basket_that_was_made_of_the_day_follows_the_day(tmp_path: Path) -> None:
    table = pl.DataFrame(LEDGER).drop("basket_id")
    rows = judge(table, "ledger.csv").events.drop("row")
    event = event_ids(rows)[2]
    assert change(tmp_path, rows, event, date="2025-06-02")["basket"] == (
        "anna|O1|2025-06-02|purchase"
    )
    assert change(tmp_path, rows, event, date="2025-06-03")["basket"] == (
        "anna|O1|2025-06-03|purchase"
    )
    assert change(tmp_path, rows, event, basket="b7")["basket"] == "b7"
    assert change(tmp_path, rows, event, date="2025-06-04")["basket"] == "b7"


def test_a_row_that_the_outlet_mended_itself_stays_and_the_correction_is_counted(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    change(tmp_path, rows, event_ids(rows)[0], price="7500")
    mended = ledger(price=["7600", "8000", "200.5", "200.5", "90"])
    assert apply(tmp_path, mended).equals(mended)
    assert unmatched(tmp_path, mended) == 1
    assert unmatched(tmp_path, rows) == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("customer", "ben", "an event of another customer is struck"),
        ("tier", "open", "an event of another customer is struck"),
        ("price", "much", "price: "),
        ("date", "yesterday", "date: "),
        ("kind", "confirmed", "kind: "),
        ("outlet", " ", "outlet: "),
        ("price", "8000", "has these values already"),
    ],
)
def test_what_the_ledger_could_not_say_is_refused_without_its_value_and_nothing_is_kept(
    rows: pl.DataFrame, tmp_path: Path, name: str, value: str, said: str
) -> None:
    with pytest.raises(CorrectionRefused, match=said) as caught:
        change(tmp_path, rows, event_ids(rows)[0], **{name: value})
    assert "yesterday" not in str(caught.value)
    assert "much" not in str(caught.value)
    assert apply(tmp_path, rows).equals(rows)


def test_corrections_go_with_their_events_days(rows: pl.DataFrame, tmp_path: Path) -> None:
    ids = event_ids(rows)
    change(tmp_path, rows, ids[0], price="1", date="2026-01-01")
    remove(tmp_path, rows, ids[2])
    assert purge_older(tmp_path, CORRECTIONS.c.dated, dt.date(2025, 1, 2)) == 0
    assert purge_older(tmp_path, CORRECTIONS.c.dated, dt.date(2025, 1, 3)) == 1
    assert len(apply(tmp_path, rows)) == 4


def test_further_columns_such_as_the_line_stay_beside_a_corrected_row(
    tmp_path: Path,
) -> None:
    rows = ledger(line_id=["1", "2", "3", "4", "5"])
    change(tmp_path, rows, event_ids(rows)[0], price="1")
    assert apply(tmp_path, rows)["line"].to_list() == ["1", "2", "3", "4", "5"]


@given(order=st.permutations(range(5)))
def test_an_events_id_is_its_own_wherever_it_stands(order: list[int]) -> None:
    rows = ledger()
    ids = dict(zip(event_ids(rows), rows.select(CELLS).iter_rows(), strict=True))
    moved = rows[order]
    assert dict(zip(event_ids(moved), moved.select(CELLS).iter_rows(), strict=True)) == ids


@given(chosen=st.sets(st.integers(0, 2), min_size=1), struck=st.booleans())
def test_as_many_rows_are_left_as_were_not_struck(chosen: set[int], *, struck: bool) -> None:
    rows = ledger()
    ids = event_ids(annas(rows))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        create_databases(home)
        for place in chosen:
            remove(home, rows, ids[place]) if struck else change(home, rows, ids[place], price="1")
        found = apply(home, rows)
    assert len(found) == len(rows) - (len(chosen) if struck else 0)
    assert (found["price"] == 1).sum() == (0 if struck else len(chosen))


def test_a_till_that_removes_a_struck_duplicate_leaves_the_good_row(
    rows: pl.DataFrame, tmp_path: Path
) -> None:
    """Rows 3 and 4 are equal: whichever was struck, one of them is good."""
    for place, name in ((2, "first"), (3, "second")):
        home = tmp_path / name
        home.mkdir()
        create_databases(home)
        remove(home, rows, event_ids(rows)[place])
        assert len(apply(home, rows)) == 4
        mended = pl.concat([rows[:3], rows[4:]])
        assert apply(home, mended).equals(mended)
        assert unmatched(home, mended) == 1
        assert apply(home, rows[:2]).equals(rows[:2])
        with rights_of(home) as connection:  # the last one was wrong too
            strike(connection, annas(mended), event_ids(mended)[2], "mei", AT)
        assert len(apply(home, mended)) == 3


@given(before=st.integers(1, 5), data=st.data())
def test_equal_rows_that_count_are_never_more_than_there_are_nor_fewer_than_were_good(
    before: int, data: st.DataObject
) -> None:
    rows = pl.concat([ledger()[:1]] * before)
    struck = data.draw(st.sets(st.integers(0, before - 1)))
    after = data.draw(st.integers(0, before + 2))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        create_databases(home)
        for place in struck:
            remove(home, rows, event_ids(rows)[place])
        found = apply(home, pl.concat([rows[:1]] * after) if after else rows[:0])
    good = before - len(struck)
    assert len(found) == (min(after, good) if after <= before else after - len(struck))


def test_a_day_before_the_first_that_is_kept_is_refused(rows: pl.DataFrame, tmp_path: Path) -> None:
    first = dt.date(2021, 3, 1)
    event = event_ids(rows)[0]
    with rights_of(tmp_path) as connection:
        ask = (connection, annas(rows), event)
        with pytest.raises(CorrectionRefused, match=r"expected 2021-03-01 or later.*keep_days"):
            correct(*ask, {"date": "2021-02-28"}, "mei", AT, first)
        assert correct(*ask, {"date": "2021-03-01"}, "mei", AT, first)["date"] == "2021-03-01"
