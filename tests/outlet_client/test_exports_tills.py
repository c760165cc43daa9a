"""Exports of payment services and tills: read rightly, or said that they are not.

Each export has a trap in it, which tests/exports/README.md names. Without a hand on the settings
the law is `never_silent`; with the few settings that a person would make, each event is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.exports.till import Refused, Till, alike, counted, never_silent, truth

if TYPE_CHECKING:
    from pathlib import Path


def problems(till: Till) -> str:
    return " ".join(till.check().report["problems"])


def test_paypal_is_read_before_its_fees(tmp_path: Path) -> None:
    right = truth("""
        jane 2025-01-13 purchase 210.30.42 7600
        ann 2025-01-15 purchase 126610LN 13500
        ann 2025-01-21 purchase S-20 1450
        max 2025-01-23 purchase M79030 4900
    """)
    till = Till(tmp_path, "paypal_activity.csv")
    never_silent(till, right)
    columns = {
        "customer_id": "From Email Address",
        "purchased_at": "Date",
        "price": "Gross",
        "kind": "Type",
        "status": "Status",
        "reference": "Item ID",
        "email": "From Email Address",
        "phone": "Contact Phone Number",
    }
    codes = {
        "purchase": ["Website Payment", "Express Checkout Payment"],
        "ignore": ["General Withdrawal", "Account Hold for Open Authorization"],
    }
    statuses = {"counts": ["Completed"], "void": ["Pending"]}
    till.edit(without=["columns", "codes", "constants", "statuses"])
    till.edit(columns=columns, codes=codes, statuses=statuses, dates="%m/%d/%Y", decimal=".")
    assert alike(till.events(), right)
    assert till.fates() == {"used": 4, "code": 2, "void": 1}
    till.sound("mailbox-keys")
    assert "@" not in "".join(till.events())


def test_stripe_parts_of_a_refund_are_no_piece_brought_back(tmp_path: Path) -> None:
    right = truth("""
        cus_A 2025-01-03 purchase 126610LN 13500
        cus_B 2025-01-05 purchase M79030 4000
        cus_C 2025-01-07 purchase 210.30.42 7600
        cus_C 2025-01-07 return 210.30.42 7600
        cus_D 2025-01-11 purchase S-20 2900
    """)
    right = {who.replace(" ", "_"): events for who, events in right.items()}
    till = Till(tmp_path, "stripe_payments.csv")
    found = never_silent(till, right)
    assert "currencies" in found.doubts or found.code in (1, 8)
    till.edit(
        without=["columns", "constants", "statuses", "codes", "fill_down"],
    ).edit(
        columns={
            "customer_id": "Customer ID",
            "purchased_at": "Created date (UTC)",
            "price": "Amount",
            "status": "Status",
            "reference": "Description",
            "currency": "Currency",
            "email": "Customer Email",
        },
        constants={"kind": "purchase"},
        statuses={"counts": ["Paid"], "returned": ["Refunded"], "void": ["Failed"]},
        dates="%Y-%m-%d %H:%M:%S",
        currency="SGD",
        rates={"EUR": 1.45},
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "void": 1, "walk-in": 1}
    till.sound("refund-column")


def test_a_zip_with_one_table_is_that_table_or_refused(tmp_path: Path) -> None:
    right = truth("""
        SU-1 2025-01-05 purchase 126610LN 13500
        SU-2 2025-01-13 purchase M79030 4900
        SU-1 2025-01-20 return 126610LN 13500
    """)
    try:
        till = Till(tmp_path, "sumup_sales.zip")
    except Refused as refusal:
        said = str(refusal)
    else:
        assert till.events() == right
        return
    assert re.search("unpack|extract", said)


def test_loyverse_thousandths_are_no_thousands(tmp_path: Path) -> None:
    right = truth("""
        Ana_Prado 2025-01-13 purchase 126610LN 950
        Ben_Okri 2025-01-15 purchase 5711/1A 13500
        Ana_Prado 2025-01-17 return 126610LN 950
        Cai_Wu 2025-01-18 purchase 210.30.42 760
    """)
    till = Till(tmp_path, "loyverse_items.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "Customer name",
            "purchased_at": "Date",
            "price": "Net sales",
            "kind": "Receipt type",
            "status": "Status",
            "reference": "SKU",
            "basket_id": "Receipt number",
            "phone": "Customer contacts",
            "email": "Customer contacts",
        },
        codes={"purchase": ["Sale"], "return": ["Refund"]},
        statuses={"counts": ["Closed"], "void": ["Cancelled"]},
        dates="%d/%m/%Y %H:%M",
        decimal=".",
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 1, "void": 1}
    identified = till.identified()
    assert identified["Ana Prado"] <= {"tel:+447700900101", "mailto:ana@example.org"}
    assert identified["Ben Okri"] == {"tel:+447700900102"}
    assert identified["Cai Wu"] == {"mailto:cai@example.org"}


def test_lightspeed_quantities_and_parentheses_are_one_return(tmp_path: Path) -> None:
    right = truth("""
        77 2025-01-05 purchase 126610LN 13500
        78 2025-01-13 purchase S-20 360
        77 2025-01-20 return M79030 4900
        79 2024-12-31 purchase 210.30.42 7600
    """)
    till = Till(tmp_path, "lightspeed_lines.csv", "--region", "US")
    never_silent(till, right)
    till.edit(
        columns={
            "customer_id": "Customer ID",
            "purchased_at": "Date",
            "price": "Subtotal",
            "quantity": "Qty",
            "reference": "Custom SKU",
            "phone": "Phone",
        },
        dates="%m/%d/%Y",
        without=["columns.unit_price", "columns.list_price"],
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 1}
    assert till.identified()["77"] == {"tel:+12125550101"}
    till.sound()


def test_clover_days_carry_a_zones_name(tmp_path: Path) -> None:
    right = truth("""
        CU1 2025-01-05 purchase 126610LN 13500
        CU2 2025-01-13 purchase 210.30.42 7600
        CU2 2025-01-13 return 210.30.42 7600
        CU1 2025-04-01 purchase M79030 4900
        CU3 2025-06-30 purchase S-20 120
    """)
    till = Till(tmp_path, "clover_lines.csv", "--region", "US")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "Customer ID",
            "purchased_at": "Line Item Date",
            "price": "Item Revenue",
            "status": "Refunded",
            "reference": "Item SKU",
            "phone": "Customer Phone",
        },
        constants={"kind": "purchase"},
        statuses={"counts": ["No"], "returned": ["Yes"]},
    )
    never_silent(till, right)  # whatever form of days `init` found
    assert till.events() in (right, {})


def test_a_toast_server_is_no_customer(tmp_path: Path) -> None:
    till = Till(tmp_path, "toast_items.csv")
    found = till.check()
    assert found.code == 1
    assert "customer_id" in problems(till)
    assert found.report["counts"]["used"] == 0


def test_a_zettle_workbook_holds_its_rows_on_the_second_sheet(tmp_path: Path) -> None:
    right = truth("""
        7001 2025-01-05 purchase 126610LN 13500
        7002 2025-01-13 purchase S-20 240.5
        7001 2025-01-20 return M79030 4900
        7003 2025-01-31 purchase 210.30.42 9400
    """)
    till = Till(tmp_path, "zettle_report.xlsx")
    assert "sheet" in till.said
    never_silent(till, right)
    till.edit(sheet="Raw data", skip_rows=3, without=["columns", "constants", "dates"])
    till.edit(
        columns={
            "customer_id": "Customer ID",
            "purchased_at": "Date",
            "price": "Amount",
            "quantity": "Qty",
            "reference": "SKU",
            "phone": "Mobile",
        },
        constants={"kind": "purchase"},
    )
    till.settle(region="GB")
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 1, "total": 1}
    assert till.identified()["7001"] == {"tel:+447700900001"}


def test_dynamics_sales_below_zero_are_a_doubt(tmp_path: Path) -> None:
    till = Till(tmp_path, "dynamics_lines.txt")
    assert till.settings().ledger.encoding.lower().startswith("utf-16")
    right = truth("""
        C-001 2025-01-05 purchase 126610LN 13500
        C-002 2025-01-13 purchase M79030 4900
        C-001 2025-01-20 return 126610LN 13500
        C-003 2025-01-25 purchase S-20 240.5
        C-002 2025-01-31 purchase S-21 120
    """)
    found = never_silent(till, right)
    days = {event[0] for events in till.events().values() for event in events}
    assert days <= {event[0] for events in right.values() for event in events}
    if counted(till.events())["return"] > 1:
        assert "returns-outnumber" in found.doubts
    till.edit(sales_are_negative=True)
    assert till.events() == right
    assert "returns-outnumber" not in till.check().doubts


def test_retail_pro_open_documents_are_read(tmp_path: Path) -> None:
    till = Till(tmp_path, "retail_pro.ods")
    till.settle(region="GB")
    assert till.events() == truth("""
        1 2025-01-05 purchase 126610LN 13500
        1 2025-01-05 purchase S-20 240.5
        2 2025-01-13 purchase M79030 4900
        1 2025-01-20 return 126610LN 13500
    """)
    assert till.fates() == {"used": 4, "blank": 1, "walk-in": 1}
    assert till.identified()["2"] == {"tel:+447700900002"}
    till.sound()
