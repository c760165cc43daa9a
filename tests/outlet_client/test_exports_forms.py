"""Forms that exports come in, one at a time: rows, amounts, days, people; as their README says."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import pytest

from tests.exports.records import of_customers, records
from tests.exports.till import (
    OPEN_DOUBTS,
    Till,
    alike,
    counted,
    never_silent,
    truth,
)

if TYPE_CHECKING:
    from pathlib import Path


# --- what a row is --------------------------------------------------------------------------------


def test_a_quantity_is_no_return_flag(tmp_path: Path) -> None:
    right = truth("""
        C1 2025-01-05 purchase - 13500
        C2 2025-01-06 purchase - 4000
        C2 2025-01-06 return - 4000
        C3 2025-01-07 purchase - 4000
    """)
    till = Till(tmp_path, "small_rq.csv")
    assert till.events() == right
    counts = till.sound().report["counts"]
    assert (counts["rows"], counts["used"]) == (3, 3)


def test_a_negative_quantity_is_a_return_and_prices_are_multiplied(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_qty.csv")
    assert till.events() == truth("""
        C1 2025-01-15 purchase Submariner 13500
        C1 2025-01-20 return Submariner 13500
        C2 2025-01-21 purchase Strap 360
    """)
    till.sound()


def test_codes_that_are_no_events_are_ignored_by_setting(tmp_path: Path) -> None:
    right = truth("""
        C1 2025-01-05 purchase - 13500
        C4 2025-01-10 return - 4000
    """)
    till = Till(tmp_path, "small_kinds.csv")
    never_silent(till, right)
    assert set(till.events()) <= {"C1", "C4"}  # nothing made up of a deposit
    ignored = ["Deposit", "Gift Card", "Shipping", "Void", "Layaway"]
    till.edit(codes={"purchase": ["Sale"], "return": ["Return"], "ignore": ignored})
    assert till.events() == right
    assert till.fates() == {"used": 2, "code": 5}
    found = till.sound()
    assert found.report["counts"]["ignored"] == 5
    assert found.report["share"] == 0


def test_sales_without_a_customer_are_counted_apart(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_walkin.csv")
    counts = till.sound().report["counts"]
    assert (counts["rows"], counts["used"], counts["walk_ins"]) == (40, 30, 10)
    assert counts["quarantined"] == 0
    events = till.events()
    assert set(events) == {f"C{number}" for number in range(9)}
    assert events["C0"][0] == ("2025-01-10", "purchase", None, 1359.0)


def test_totals_rows_are_no_customers(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_tot.csv")
    assert till.events() == truth("""
        C1 2025-01-15 purchase - 13500
        C2 2025-01-20 purchase - 1450
    """)
    assert till.fates() == {"used": 2, "total": 1}
    assert till.check().code in (0, OPEN_DOUBTS)
    till.edit(accept=["totals"])
    assert till.check().code == 0


def test_rows_of_delimiters_are_no_reason_to_stay_away(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_blank.csv")
    assert till.events() == truth("""
        C1 2025-01-02 purchase - 1200
        C2 2025-01-03 purchase - 1300
    """)
    assert till.fates() == {"used": 2, "blank": 4}
    counts = till.sound().report["counts"]
    assert (counts["rows"], counts["ignored"], counts["quarantined"]) == (6, 4, 0)


def test_lines_before_the_header_are_skipped(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_pre.csv")
    assert till.settings().ledger.skip_rows == 3
    assert till.events() == truth("""
        C1 2025-01-15 purchase - 13500
        C2 2025-01-16 purchase - 1500
    """)
    till.sound()
    till.edit(skip_rows=0)
    found = till.check()
    assert found.code == 1
    assert "skip_rows" in found.text


def test_either_of_two_like_headings_can_be_chosen(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_dup.csv")
    found = till.check()
    assert (found.code, set(found.doubts)) == (OPEN_DOUBTS, {"heading-twice"})
    for price, first, second in (("Total#1", 13500, 1450), ("Total#2", 14715, 1580.5)):
        till.edit(columns={"price": price, "phone": "Phone#1"})
        assert till.events() == truth(f"""
            C1 2025-01-15 purchase - {first}
            C2 2025-01-20 purchase - {second}
        """)
        assert till.identified()["C1"] == {"tel:+6581234567"}
    till.sound("heading-twice")
    till.edit(columns={"price": "Total"})
    found = till.check()
    assert found.code == 1
    assert re.search(r"Total.*\b3\b.*\b6\b", found.text, re.DOTALL)  # both columns' numbers


# --- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["form_p_cur.csv", "form_p_paren.csv", "form_p_dr.csv"])
def test_amounts_are_read_with_codes_parentheses_and_sides(tmp_path: Path, file: str) -> None:
    kinds = {"sale": "purchase", "return": "return"}
    right = of_customers(
        [
            (
                one["customer_id"],
                (one["date"], kinds[one["type"]], None, float(re.sub(r"[^\d.]", "", one["price"]))),
            )
            for one in records(file)
        ]
    )
    till = Till(tmp_path, file)
    assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}
    found = till.sound()
    assert found.report["kinds"] == {"purchase": 36, "return": 4}
    ends = {one["column"]: one["range"] for one in found.report["columns"]}["price"]
    assert sorted(abs(end) for end in ends)[-1] == 1239
    if file != "form_p_cur.csv":  # without a column of kinds the sign or side says the same
        till.edit(without=["columns.kind", "codes"], constants={"kind": "purchase"})
        assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}


def test_amounts_that_may_be_cents_are_a_doubt(tmp_path: Path) -> None:
    till = Till(tmp_path, "form_p_cents.csv")
    found = till.check()
    assert (found.code, set(found.doubts)) == (OPEN_DOUBTS, {"cents"})
    till.sound("cents")
    assert till.events()["C1"][0] == ("2024-01-03", "purchase", None, 1350000.0)
    till.edit(decimal="cents", accept=[])
    assert till.events()["C1"][0] == ("2024-01-03", "purchase", None, 13500.0)
    till.sound()


def test_several_currencies_are_a_doubt_and_converted_by_rates(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_fx.csv")
    found = till.check()
    assert found.code in (8, OPEN_DOUBTS)
    assert "currencies" in found.doubts
    till.edit(currency="SGD", columns={"currency": "Currency"})
    till.edit(rates={"JPY": 0.0089, "EUR": 1.45})
    assert till.events() == truth("""
        C1 2025-01-15 purchase - 13500
        C2 2025-01-20 purchase - 12905
        C3 2025-01-21 return - 14210
    """)
    till.sound()
    till.edit(rates={"JPY": 0.0089}, without=["rates.EUR"])
    assert till.check().report["counts"]["quarantined"] == 1


# --- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["serial", "thai", "german", "epoch"])
def test_days_are_read_in_every_form(tmp_path: Path, form: str) -> None:
    days = [one["date"] for one in records("form_p_paren.csv")]  # the same sales, as ISO 8601
    rows = records(f"form_d_{form}.csv")
    kinds = {"sale": "purchase", "return": "return"}
    right = of_customers(
        [
            (one["customer_id"], (day, kinds[one["type"]], None, 13500.0))
            for day, one in zip(days, rows, strict=True)
        ]
    )
    till = Till(tmp_path, f"form_d_{form}.csv")
    assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}
    found = till.sound()
    ends = {one["column"]: one["range"] for one in found.report["columns"]}["purchased_at"]
    assert ends == [min(days), max(days)]


def test_both_orders_of_day_and_month_are_a_doubt_with_both_counts(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_mixdates.csv")
    found = till.check()
    assert (found.code, set(found.doubts)) == (OPEN_DOUBTS, {"day-order"})
    said = str(found.doubts["day-order"])
    assert "12" in said  # only day-first reads twelve
    assert "8" in said  # either reads eight
    till.edit(dates="%d/%m/%Y")
    till.sound("day-order")
    assert till.events()["C1"] == [("2025-12-01", "purchase", None, 1001.0)]


# --- who ------------------------------------------------------------------------------------------


def test_phones_as_floats_are_the_whole_number(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_defloat.csv")
    till.settle(region="DE")
    assert till.events() == truth("""
        1 2025-01-15 purchase - 1350
        2 2025-01-16 purchase - 5200
        3 2025-01-17 purchase - 760
    """)
    assert till.identified() == {
        "1": {"tel:+491712345678"},
        "2": {"tel:+491721234567"},
        "3": {"tel:+491712345679"},
    }
    assert "none@none.com" not in till.check().text


SINGAPORE = {
    "C3": "tel:+6581234567",
    "C4": "tel:+6591234567",
    "C7": "tel:+6581234569",
    "C8": "tel:+6581234570",
    "C10": "tel:+6581234572",
    "C17": "tel:+6581234567",
}
EITHER = {
    "C6": {"tel:+6581234568"},
    "C11": {"tel:+6581234573"},
    "C13": {"tel:+6581234575"},
    "C18": {"tel:+6581234567", "mailto:jane@x.com"},
}


def test_phones_are_one_persons_or_nobodys(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_ph.csv", "--region", "SG")
    found = till.identified()
    for customer, phone in SINGAPORE.items():
        assert found[customer] == {phone}, customer
    assert found["C9"] == {"tel:+6581234571", "mailto:jane+vip@example.com"}
    for customer in ("C1", "C2", "C5", "C12", "C14", "C15", "C16"):
        assert found[customer] == set(), customer
    for customer, some in EITHER.items():
        assert found[customer] <= some, customer
    checked = till.check()
    assert "placeholders" in checked.doubts
    counts = checked.report["counts"]
    assert (counts["rows"], counts["used"]) == (18, 18)  # a bad phone spoils no event
    for cell in ("6.58123E+09", "8123 4567", "81234567", "jane", "none@none.com"):
        assert cell not in checked.text


def test_unusable_phones_are_listed_by_row_and_never_printed(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_ph.csv", "--region", "SG")
    said = till.identifiers_listed()
    listed = list(csv.DictReader(said.splitlines()))
    rows = {int(one["row"]) for one in listed if one["column"] == "phone"}
    assert {1, 2, 5, 12, 14, 15, 16} <= rows
    assert not rows & {4, 7, 8, 9, 10}
    assert {int(one["row"]) for one in listed if one["column"] == "email"} >= {15, 16, 17}
    assert not re.search(r"\d{6}", said)
    assert "@" not in said


def test_placeholder_mailboxes_identify_nobody(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_emails.csv")
    assert till.identified() == {"C1": set(), "C2": set(), "C3": set()}
    found = till.check()
    assert "placeholders" in found.doubts
    assert "@" not in found.text
    assert till.events() == truth("""
        C1 2025-01-15 purchase - 1350
        C2 2025-01-16 purchase - 5200
        C3 2025-01-17 purchase - 760
    """)


def test_without_a_region_national_numbers_are_nobodys(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_hk.csv")
    assert till.settings().region is None
    assert till.identified() == {"C1": set(), "C2": set(), "C3": set()}
    found = till.check()
    assert "region" in found.doubts
    assert found.code != 0
    till.settle(region="HK")
    assert till.identified()["C1"] == {"tel:+85291234567"}
    till.sound()
    assert counted(till.events()) == {"purchase": 2, "return": 1}


def test_a_mailbox_as_a_customers_key_is_never_stored(tmp_path: Path) -> None:
    till = Till(tmp_path, "small_emailkey.csv")
    right = truth("""
        jane 2025-01-05 purchase - 13500
        bob 2025-01-06 purchase - 1350
    """)
    found = till.check()
    assert "mailbox-keys" in found.doubts
    said = found.text
    assert alike(till.events(), right)
    assert all(re.fullmatch("mail-[0-9a-f]{32}", key) for key in till.events())
    till.sound("mailbox-keys")
    for text in (till.stored(), said, till.said):
        assert "jane@x" not in text
        assert "bob@x" not in text
    secret = tmp_path / "customer-keys.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    once = set(till.events())
    (tmp_path / "two").mkdir()
    assert once.isdisjoint(Till(tmp_path / "two", "small_emailkey.csv").events())


# --- workbooks ------------------------------------------------------------------------------------


def test_a_workbook_is_read_as_a_csv_is(tmp_path: Path) -> None:
    till = Till(tmp_path, "sales.xlsx", "--region", "SG")
    assert till.events() == truth("C1 2025-01-15 purchase - 13500")
    assert till.identified() == {"C1": {"tel:+6581234567"}}
    assert till.sound().report["counts"]["rows"] == 1
