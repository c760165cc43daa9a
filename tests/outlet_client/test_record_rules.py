"""Which records are rows: blanks, totals, order lines, a condition, and keys that are mailboxes."""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import LedgerError
from outlet_client.sources import csv_files
from outlet_client.sources.customer_keys import SECRET_FILE, ensure_secret, stored_key
from outlet_client.sources.order_lines import LOST
from outlet_client.sources.row_batches import Batch
from outlet_client.sources.source import Source
from outlet_client.sources.table_reader import read_database, read_file
from outlet_client.sources.total_words import are_totals

MAPPED = {
    "customer_id": "Customer",
    "purchased_at": "Day",
    "price": "Amount",
    "basket_id": "Order",
    "reference": "Sku",
}
NAMES = (*MAPPED, "kind", "serial", "phone", "line_id")


def read(folder: Path, text: str, **settings: Any) -> Batch:
    """A file as it is handed over, its batches as one."""
    place = folder / "till.csv"
    place.write_text(text, encoding="utf-8")
    header = text.partition("\n")[0].split(",")
    columns = {name: own for name, own in MAPPED.items() if own in header}
    source = Source(source=str(place), **{"columns": columns, **settings}).at(folder)
    batches = list(read_file(source, place, NAMES))
    return Batch(
        pl.concat([batch.rows for batch in batches], how="vertical_relaxed"),
        pl.concat([batch.malformed for batch in batches]),
        1.0,
        pl.concat([batch.apart for batch in batches]),
    )


def apart(batch: Batch) -> list[tuple[int, str]]:
    return batch.apart.sort("row").rows()


def customers(batch: Batch) -> dict[int, str | None]:
    return dict(batch.rows.select("row", "customer_id").iter_rows())


# --- blanks and totals ----------------------------------------------------------------------------


def test_records_of_delimiters_or_blanks_are_apart_and_keep_their_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, "Note,Customer,Day,Amount\n,,,\nx,C1,2026-01-05,1\n , ,\t,\n,C2,d,2\n")
    assert apart(found) == [(1, "blank"), (3, "blank")]
    assert customers(found) == {2: "C1", 4: "C2"}
    assert found.rows.columns == ["row", "customer_id", "purchased_at", "price"]


def test_a_table_without_text_has_blank_rows_too(tmp_path: Path) -> None:
    place = tmp_path / "till.parquet"
    days = [dt.date(2026, 1, 5), None, None]
    pl.DataFrame({"purchased_at": days, "price": [1.0, None, 2.5]}).write_parquet(place)
    (found,) = read_file(Source(source=str(place)), place, ["purchased_at", "price"])
    assert apart(found) == [(2, "blank")]
    assert found.rows["price"].to_list() == [1.0, 2.5]


@pytest.mark.parametrize(
    "line",
    [
        "TOTAL,2026-01-20,14950.00,,",  # where the customer stands
        "Grand total:,,14950.00,,",
        ",Summe,14950.00,,",  # the first cell that says anything
        ",,14950.00,Gesamt,",  # where the order stands
        ",,14950.00,,",  # without a word, a day or anybody
        "Sous-total 05/01/2025,,14950.00,,",
        "Total Orchard Road,,14950.00,,",
        "合计,,14950.00,,",
    ],
)
def test_a_record_that_adds_others_up_is_apart(tmp_path: Path, line: str) -> None:
    found = read(tmp_path, f"Customer,Day,Amount,Order,Sku\nC1,2026-01-05,14950.00,,X\n{line}\n")
    assert apart(found) == [(2, "total")]
    assert customers(found) == {1: "C1"}


def test_a_total_is_known_by_a_first_column_that_nobody_reads(tmp_path: Path) -> None:
    text = "Till,Customer,Day,Amount\nMain,C1,2026-01-05,1\nSubtotal,,2026-01-05,1\n"
    found = read(tmp_path, text)
    assert apart(found) == [(2, "total")]
    assert found.rows.columns == ["row", "customer_id", "purchased_at", "price"]


@pytest.mark.parametrize(
    "line",
    [
        "Total,2026-01-20,10,B7,",  # a sale with an order of its own: `check` doubts it
        "Total,2026-01-20,10,,X9",
        "C1,2026-01-20,10,Total,",  # somebody's sale, on a day
        "Total Eclipse Ltd,2026-01-20,10,,",
        "Totally Watches,,10,,",
        ",2026-01-20,10,,",  # a walk-in
        "C1,,10,,",
    ],
)
def test_a_record_that_may_be_a_sale_is_none(tmp_path: Path, line: str) -> None:
    found = read(tmp_path, f"Customer,Day,Amount,Order,Sku\n{line}\n")
    assert apart(found) == []
    assert len(found.rows) == 1


def test_in_a_table_without_days_a_total_says_nothing_but_that(tmp_path: Path) -> None:
    text = "Customer,phone\nTotal,+6581234567\nTotal Oil,+6581234568\nC1,\nTotal: 3,\n"
    found = read(tmp_path, text)
    assert customers(found) == {1: "Total", 2: "Total Oil", 3: "C1"}
    assert apart(found) == [(4, "total")]


def test_words_of_totals_are_known_in_the_languages_of_tills_and_names_are_not() -> None:
    totals = [
        "Total", "TOTALS", "Grand Total :", "Sub-total", "Net total", "Total (SGD)", "Total SGD",
        "Total for January", "Summe", "Zwischensumme:", "Gesamtsumme", "Gesamt", "Total général",
        "Sous-total", "Somme", "Totale", "Totale generale", "合计", "总计", "小计", "合 計", "합계",
    ]  # fmt: skip
    names = [
        "Totally Watches",
        "Sum Ting",
        "Summer",
        "Totaro",
        "Gesa",
        "C1",
        "",
        "Total Oil Pte Ltd",
    ]
    assert are_totals(pl.Series(totals)).to_list() == [True] * len(totals)
    assert are_totals(pl.Series(names)).to_list() == [False] * len(names)


# --- orders of several rows -----------------------------------------------------------------------

FILL = {"fill_down": {"key": "Order", "columns": ["Customer", "Day"]}}
ORDERS = "Order,Customer,Day,Amount,Sku\n"


def test_a_row_without_a_key_goes_on_with_its_order(tmp_path: Path) -> None:
    text = f"{ORDERS}1,C1,2026-01-05,10,A\n,,,20,B\n \t,,,30,C\n2,C2,2026-01-06,40,D\n3,,d,50,E\n"
    found = read(tmp_path, text, **FILL)
    assert customers(found) == {1: "C1", 2: "C1", 3: "C1", 4: "C2", 5: None}
    assert found.rows["basket_id"].to_list() == ["1", "1", "1", "2", "3"]
    assert found.rows["purchased_at"][2] == "2026-01-05"


def test_a_row_of_the_same_key_goes_on_and_one_of_another_does_not(tmp_path: Path) -> None:
    text = f"{ORDERS}1,C1,d,10,A\n1,,d,20,B\n2,,d,30,C\n1,,d,40,D\n"
    assert customers(read(tmp_path, text, **FILL)) == {1: "C1", 2: "C1", 3: None, 4: None}


def test_the_same_key_with_another_day_is_another_order(tmp_path: Path) -> None:
    text = f"{ORDERS}1,C3,2026-01-31,10,A\n1,,2026-02-01,20,B\n1,,,30,C\n"
    found = read(tmp_path, text, **FILL)
    assert customers(found) == {1: "C3", 2: None, 3: None}
    assert found.rows["purchased_at"].to_list() == ["2026-01-31", "2026-02-01", "2026-02-01"]


@pytest.mark.parametrize("block", [4, 1 << 22])
def test_what_an_order_said_holds_behind_a_batch_but_not_behind_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_files, "_BLOCK_CHARACTERS", block)
    assert customers(read(tmp_path, f"{ORDERS}1,C1,d,10,A\n,,,20,B\n,,,30,C\n", **FILL)) == {
        1: "C1", 2: "C1", 3: "C1"
    }  # fmt: skip
    assert customers(read(tmp_path, f"{ORDERS},,d,20,B\n", **FILL)) == {1: None}


@pytest.mark.parametrize("block", [4, 1 << 22])
@pytest.mark.parametrize(
    ("rows", "lost", "kept"),
    [
        (["1,C1,d,1,A", "2,C2,d,2", ",,,3,C", ",,,4,D", "3,C3,d,5,E"], [3, 4], {1: "C1", 5: "C3"}),
        (["1,C1,d,1,A", "2,C2,d", "2,,,3,C", "2,,,4,D", "3,C3,d,5,E"], [3, 4], {1: "C1", 5: "C3"}),
        (["1,C1,d,10,A", "1,x", "1,,,30,C"], [], {1: "C1", 3: "C1"}),
        (["1,C1,d,10,A", "2,x", "3,C3,d,30,C"], [], {1: "C1", 3: "C3"}),
    ],
)  # fmt: skip
def test_a_row_that_may_be_of_an_unreadable_order_takes_no_other_customer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, rows: list[str],
    lost: list[int], kept: dict[int, str],
) -> None:  # fmt: skip
    monkeypatch.setattr(csv_files, "_BLOCK_CHARACTERS", block)
    found = read(tmp_path, ORDERS + "\n".join(rows) + "\n", **FILL)
    assert customers(found) == kept
    assert found.malformed.filter(reason=LOST)["row"].to_list() == lost
    assert len(found.rows) + len(found.malformed) == len(rows)


def test_orders_of_a_database_need_an_order_of_its_rows(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "pos.db")) as till, till:
        till.execute('CREATE TABLE sales ("Order" text, "Customer" text, price int, n int)')
        till.execute("INSERT INTO sales VALUES (NULL, NULL, 9, 2), ('1', 'C1', 8, 1)")
    fill = {"key": "Order", "columns": ["Customer"]}
    source = Source(
        source=f"sqlite:///{tmp_path / 'pos.db'}", table="sales", fill_down=fill,
        columns={"customer_id": "Customer"},
    )  # fmt: skip
    with pytest.raises(LedgerError, match="sales: fill_down: the rows of a database are in no ord"):
        list(read_database(source, NAMES))
    (batch,) = read_database(source.model_copy(update={"changed": "n"}), NAMES)
    assert batch.rows["customer_id"].to_list() == ["C1", "C1"]


ROWS = st.lists(
    st.tuples(st.sampled_from(["", "1", "2"]), st.sampled_from(["", "C1", "C2"])), max_size=8
)


@given(ROWS, st.sampled_from([8, 1 << 22]))
def test_rows_filled_down_are_as_one_goes_through_them_by_hand(
    rows: list[tuple[str, str]], block: int
) -> None:
    expected: dict[int, str | None] = {}
    key = customer = ""
    for number, (own, said) in enumerate(rows, 1):
        if own and (own != key or (customer and said and said != customer)):
            key, customer = own, ""
        customer = said or customer
        expected[number] = customer or None
    text = ORDERS + "".join(f"{own},{said},d,1,A\n" for own, said in rows)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(csv_files, "_BLOCK_CHARACTERS", block)
        fill = {"fill_down": {"key": "Order", "columns": ["Customer"]}}
        assert customers(read(Path(folder), text, **fill)) == expected


# --- a condition ----------------------------------------------------------------------------------


def test_only_rows_for_which_the_condition_holds_are_read(tmp_path: Path) -> None:
    text = (
        "Customer,Line Type,Qty,Amount\nC1,Sale,1,2\nC1,Sale Line,2,1\nC2,,1,1\nC3,Sale Line,0,1\n"
    )
    asked = "\"Line Type\" = 'Sale Line' AND TRY_CAST(Qty AS DOUBLE) > 0"
    found = read(tmp_path, text, where=asked)
    assert customers(found) == {2: "C1"}
    assert apart(found) == [(1, "where"), (3, "where"), (4, "where")]
    assert found.rows.columns == ["row", "customer_id", "price"]


def test_a_condition_may_ask_for_one_of_several_words(tmp_path: Path) -> None:
    text = "Customer,Type,Amount\nC1,Sale,1\nC2,Void (old),2\nC3,Return,3\nC4,,4\n"
    some = read(tmp_path, text, where="Type IN ('Sale', 'Return')")
    assert customers(some) == {1: "C1", 3: "C3"}
    others = read(tmp_path, text, where="Type NOT IN ('Void (old)') OR Type IS NULL")
    assert customers(others) == {1: "C1", 3: "C3", 4: "C4"}


def test_a_condition_sees_cells_that_were_filled_down(tmp_path: Path) -> None:
    text = "Order,Customer,Status,Amount\n1,C1,paid,1\n,,,2\n2,C2,void,3\n,,,4\n"
    fill = {"key": "Order", "columns": ["Customer", "Status"]}
    found = read(tmp_path, text, where="Status <> 'void'", fill_down=fill)
    assert customers(found) == {1: "C1", 2: "C1"}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("Qty = ", "no condition"),
        ("DROP TABLE x", "no condition"),
        ("COUNT(*) > 1", "is not of one row"),
        ("LAG(Qty) OVER (ORDER BY Qty) = '1'", "is not of one row"),
        ("Quantity = '1'", "Quantity: missing"),
        ("Qty > 0", "text compared with a number"),
        ('CAST("Qty" AS INTEGER) > 0', "text compared with a number"),
        ("Qty", "not true or false"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_one_error_without_a_cell(
    tmp_path: Path, asked: str, reason: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        read(tmp_path, "Customer,Qty,Amount\nC1,geheim,1\n", where=asked)
    assert reason in str(caught.value)
    assert "where" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None or "geheim" not in str(caught.value.__cause__)


def test_a_heading_of_fill_down_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"column Customer: missing.*in `fill_down`"):
        read(tmp_path, "Order,Day,Amount\n1,d,1\n", **FILL)


# --- headings -------------------------------------------------------------------------------------


def test_of_a_heading_that_stands_twice_either_can_be_chosen(tmp_path: Path) -> None:
    text = "Customer,Total,Day,Total\nC1,13500,d,14715\n"
    columns = {"customer_id": "Customer", "price": "Total"}
    with pytest.raises(LedgerError) as caught:
        read(tmp_path, text, columns=columns)
    assert str(caught.value) == (
        "till.csv, column Total: there 2 times; expected which of them is meant, as 'Total#1' "
        "(column 2) or 'Total#2' (column 4)"
    )
    for own, price in (("Total#1", "13500"), ("Total#2", "14715")):
        found = read(tmp_path, text, columns={**columns, "price": own})
        assert found.rows["price"].to_list() == [price]


def test_an_unmapped_heading_that_stands_twice_is_not_left_out_unseen(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="column serial: there 2 times"):
        read(tmp_path, "Customer,serial,serial\nC1,1,2\n")


# --- customers that are mailboxes -----------------------------------------------------------------

MAILS = "Customer,Day,Amount\nJane@X.com ,d,1\njane@x.COM,d,2\nbob@x.com,d,3\nC1,d,4\n"


def test_a_mailbox_is_no_key_and_the_same_one_is_one_customer(tmp_path: Path) -> None:
    ensure_secret(tmp_path)
    found = read(tmp_path, MAILS)
    jane, again, bob, plain = found.rows["customer_id"]
    assert jane == again == stored_key(tmp_path, "jane@x.com")
    assert jane != bob
    assert plain == "C1"
    assert jane.startswith("mail-")
    assert len(jane) == len("mail-") + 32
    assert "@" not in str(found.rows.to_dicts())


def test_who_has_not_the_outlets_secret_cannot_make_its_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ensure_secret(tmp_path / name)
    keys = {stored_key(tmp_path / name, "jane@x.com") for name in ("a", "b")}
    assert len(keys) == 2
    secret = (tmp_path / "a" / SECRET_FILE).read_text()
    assert (tmp_path / "a" / SECRET_FILE).stat().st_mode & 0o777 == 0o600
    ensure_secret(tmp_path / "a")
    assert (tmp_path / "a" / SECRET_FILE).read_text() == secret


def test_who_only_looks_makes_no_secret_and_sees_one_customer_still(tmp_path: Path) -> None:
    jane, again, *_ = read(tmp_path, MAILS).rows["customer_id"]
    assert jane == again
    assert "@" not in jane
    assert not (tmp_path / SECRET_FILE).exists()


def test_a_damaged_secret_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).write_text("abc\n")
    with pytest.raises(LedgerError, match=r"customer-keys\.secret: damaged"):
        read(tmp_path, MAILS)


@pytest.mark.parametrize("kind", [pl.Categorical(), pl.Enum(["jane@x.com", "C2"])])
def test_a_mailbox_is_no_key_in_a_parquet_file_of_categories_either(
    tmp_path: Path, kind: pl.DataType
) -> None:
    ensure_secret(tmp_path)
    table = pl.DataFrame({"customer_id": pl.Series(["jane@x.com", "C2"], dtype=kind)})
    table.write_parquet(tmp_path / "l.parquet")
    source = Source(source="l.parquet").at(tmp_path)
    [batch] = read_file(source, tmp_path / "l.parquet", ["customer_id"])
    keys = batch.rows["customer_id"].cast(pl.String).to_list()
    assert keys == [stored_key(tmp_path, "jane@x.com"), "C2"]
    assert keys[0].startswith("mail-")


def test_a_mailbox_that_stands_for_nobody_stays_one(tmp_path: Path) -> None:
    found = read(tmp_path, MAILS, walk_ins=["bob@x.com"])
    assert found.rows["customer_id"][2] == "bob@x.com"
    typed = read(tmp_path, "Customer,Day,Amount\nnone@none.com,d,1\nC1,d,2\n")
    assert typed.rows["customer_id"].to_list() == [None, "C1"]
