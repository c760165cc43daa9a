"""Exports of systems that nobody gave us an example of: read rightly, or said that they are not.

Each was made with a trap in it, which tests/exports/README.md names. Without a hand on the settings
the law is `never_silent`; with the few settings that a person would make, each event is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.exports.till import OPEN_DOUBTS, Refused, Till, alike, counted, never_silent, truth

if TYPE_CHECKING:
    from pathlib import Path


def problems(till: Till) -> str:
    return " ".join(till.check().report["problems"])


# --- payment services -----------------------------------------------------------------------------


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


# --- tills ----------------------------------------------------------------------------------------


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


# --- shops in the web -----------------------------------------------------------------------------


def test_magento_purchased_and_base_currencies_are_told_apart(tmp_path: Path) -> None:
    right = truth("""
        jane 2025-01-05 purchase - 13500
        ann 2025-01-13 purchase - 4900
        max 2025-01-20 purchase - 7600
        max 2025-01-20 return - 7600
        jane 2025-03-31 purchase - 120
    """)
    till = Till(tmp_path, "magento_orders.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "Customer Email",
            "purchased_at": "Purchase Date",
            "price": "Subtotal",
            "status": "Status",
            "basket_id": "ID",
            "email": "Customer Email",
        },
        constants={"kind": "purchase"},
        statuses={"counts": ["complete"], "returned": ["closed"], "void": ["canceled"]},
        dates="%b %d, %Y, %I:%M:%S %p",
        currency="USD",
    )
    assert alike(till.events(), right)
    assert till.fates() == {"used": 4, "void": 1}
    till.sound("mailbox-keys")
    till.edit(columns={"price": "Grand Total (Purchased)"}, accept=[])
    found = till.check()
    assert "currencies" in found.doubts
    assert found.report["counts"]["quarantined"] == 1


def test_prestashop_amounts_have_narrow_blanks_and_a_sign_behind(tmp_path: Path) -> None:
    right = truth("""
        j 2025-01-05 purchase - 13500
        a 2025-01-13 purchase - 4900.5
        j 2025-01-20 purchase - 7600
        j 2025-01-20 return - 7600
        a 2025-01-31 purchase - 120
    """)
    till = Till(tmp_path, "prestashop_commandes.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "E-mail",
            "purchased_at": "Date",
            "price": "Total",
            "status": "État",
            "email": "E-mail",
        },
        constants={"kind": "purchase"},
        statuses={
            "counts": ["Paiement accepté", "Livré"],
            "returned": ["Remboursé"],
            "void": ["Annulé"],
        },
        dates="%d/%m/%Y %H:%M:%S",
        decimal=",",
        currency="EUR",
    )
    assert alike(till.events(), right)
    till.sound("mailbox-keys")


def test_wix_order_totals_on_each_line_are_counted_once(tmp_path: Path) -> None:
    right = truth("""
        jane 2025-01-05 purchase 126610LN 9500
        jane 2025-01-05 purchase S-20 240
        ann 2025-01-13 purchase 210.30.42 5600
        ann 2025-01-13 return 210.30.42 5600
        max 2025-02-20 purchase S-20 480
        max 2025-02-20 return S-20 120
    """)
    till = Till(tmp_path, "wix_orders.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses", "fill_down"]).edit(
        columns={
            "customer_id": "Contact email",
            "purchased_at": "Date created",
            "quantity": "Qty",
            "unit_price": "Price",
            "returned_quantity": "Quantity refunded",
            "status": "Payment status",
            "reference": "SKU",
            "basket_id": "Order number",
            "email": "Contact email",
            "phone": "Billing phone",
        },
        constants={"kind": "purchase"},
        statuses={"counts": ["Paid", "Refunded", "Partially Refunded"], "void": ["Unpaid"]},
        dates="%b %d, %Y",
    )
    assert alike(till.events(), right)
    assert till.fates() == {"used": 4, "void": 1}
    identified = till.identified().values()
    assert {"tel:+447700900001", "mailto:jane@example.org"} in identified
    till.sound("mailbox-keys")


def test_ebay_reports_end_in_lines_that_are_no_orders(tmp_path: Path) -> None:
    right = truth("""
        horo_fan 2025-01-05 purchase 126610LN 13500
        tick_tock 2025-01-13 purchase S-20 240
        horo_fan 2025-02-20 purchase M79030 4900
        maxp 2025-03-31 purchase 210.30.42 7600
    """)
    right = {who.replace(" ", "_"): events for who, events in right.items()}
    till = Till(tmp_path, "ebay_orders.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes"]).edit(
        columns={
            "customer_id": "Buyer Username",
            "purchased_at": "Sale Date",
            "quantity": "Quantity",
            "unit_price": "Sold For",
            "reference": "Custom Label",
            "email": "Buyer Email",
        },
        constants={"kind": "purchase"},
        dates="%b-%d-%y",
    )
    assert till.events() == right
    fates = till.fates()
    assert fates["used"] == 4
    assert sum(fates.values()) == till.check().report["counts"]["rows"]


def test_xero_lines_are_net_of_their_discount(tmp_path: Path) -> None:
    right = truth("""
        Jane_Doe 2025-01-13 purchase 126610LN 13500
        Jane_Doe 2025-01-13 purchase S-20 90
        Ann_Roe 2025-01-20 purchase S-20 240
        Jane_Doe 2025-01-28 return 126610LN 13500
    """)
    till = Till(tmp_path, "xero_invoices.csv", "--as", "xero")
    assert alike(till.events(), right)
    assert till.fates() == {"used": 4, "void": 1}
    never_silent(Till(tmp_path / "plain", "xero_invoices.csv", "--as", "none"), right)


# --- bookkeeping ----------------------------------------------------------------------------------


def test_datev_days_without_a_year_are_refused(tmp_path: Path) -> None:
    till = Till(tmp_path, "datev_buchungsstapel.csv")
    found = till.check()
    assert found.code != 0
    assert found.report["counts"]["used"] == 0
    assert "Belegdatum" in till.said + found.text
    till.edit(dates="%d%m", columns={"purchased_at": "Belegdatum"})
    assert till.check().report["counts"]["used"] == 0


def test_quickbooks_group_headings_are_nobodys_neighbours(tmp_path: Path) -> None:
    right = truth("""
        Jane_Doe 2025-01-13 purchase 126610LN 13500
        Jane_Doe 2025-01-20 return 126610LN 13500
        Max_Poe 2025-01-15 purchase M79030 4900
        Max_Poe 2025-01-25 purchase S-20 240
    """)
    till = Till(tmp_path, "quickbooks_by_customer.csv")
    found = never_silent(till, right)
    if found.report["counts"]["used"]:
        assert alike(till.events(), right)


def test_tally_lakhs_and_sides_are_read(tmp_path: Path) -> None:
    right = truth("""
        Asha_Rao 2024-04-02 purchase - 135000
        Vikram_Sen 2024-04-09 purchase - 1252000
        Asha_Rao 2024-04-15 return - 135000
        Meera_Das 2024-04-22 purchase - 76000
    """)
    till = Till(tmp_path, "tally_register.csv", "--region", "IN")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes"]).edit(
        columns={
            "customer_id": "Particulars",
            "purchased_at": "Date",
            "price": "Gross Total",
            "kind": "Voucher Type",
            "basket_id": "Voucher No.",
            "phone": "Mobile",
        },
        codes={"purchase": ["Sales"], "return": ["Credit Note"], "ignore": ["Receipt"]},
        walk_ins=["Cash"],
        dates="%d-%b-%y",
        skip_rows=3,
        sales_side="debit",
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 2, "code": 1, "total": 1}


def test_sap_thousands_are_no_fractions(tmp_path: Path) -> None:
    right = truth("""
        C20001 2025-01-05 purchase 126610LN 13500
        C20002 2025-01-13 purchase M79030 4900
        C20001 2025-01-20 return 126610LN 13500
        C20003 2025-01-25 purchase S-20 120.5
    """)
    till = Till(tmp_path, "sap_b1_lines.csv")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "BP Code",
            "purchased_at": "Posting Date",
            "price": "Line Total",
            "kind": "Document Type",
            "status": "Canceled",
            "reference": "Item No.",
            "phone": "BP Phone",
        },
        codes={"purchase": ["A/R Invoice"], "return": ["A/R Credit Memo"]},
        statuses={"counts": ["N"], "void": ["Y"]},
        dates="%d.%m.%y",
        decimal=",",
        currency="SGD",
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "void": 1}
    till.sound()


def test_cegid_subtotals_and_the_counters_customer_are_nobody(tmp_path: Path) -> None:
    right = truth("""
        CL00001 2025-01-05 purchase 126610LN 13500
        CL00002 2025-01-13 purchase M79030 4900.5
        CL00001 2025-01-13 return 126610LN 13500
    """)
    till = Till(tmp_path, "cegid_ventes.csv", "--region", "FR")
    never_silent(till, right)
    till.edit(without=["columns.list_price", "constants"]).edit(
        columns={
            "customer_id": "Code client",
            "purchased_at": "Date pièce",
            "price": "Montant HT",
            "kind": "Nature",
            "reference": "Article",
            "phone": "Tél. mobile",
        },
        codes={"purchase": ["FFO"], "return": ["AVO"]},
        walk_ins=["COMPTOIR"],
    )
    assert till.events() == right
    assert till.fates() == {"used": 3, "walk-in": 2, "total": 3}
    assert till.identified()["CL00001"] == {"tel:+33639980001"}


def test_sage_days_that_may_be_months_are_a_doubt(tmp_path: Path) -> None:
    right = truth("""
        DOE001 2025-01-05 purchase - 13500
        ROE001 2025-02-01 purchase - 4900
        DOE001 2025-02-03 return - 13500
        POE001 2025-03-04 purchase - 120
    """)
    till = Till(tmp_path, "sage50_audit.csv", "--region", "GB")
    found = never_silent(till, right)
    till.edit(without=["columns.reference", "columns.list_price", "constants"]).edit(
        columns={
            "customer_id": "Account Ref",
            "purchased_at": "Date",
            "price": "Net Amount",
            "kind": "Type",
            "phone": "Telephone",
        },
        codes={"purchase": ["SI"], "return": ["SC"], "ignore": ["SR", "SA"]},
        accept=[],
    )
    for dates in ("%d/%m/%Y", "%m/%d/%Y"):
        found = till.edit(dates=dates).check()
        assert (found.code, "day-order" in found.doubts) == (OPEN_DOUBTS, True)
    till.edit(dates="%d/%m/%Y")
    assert till.events() == right
    assert till.fates() == {"used": 4, "code": 2}


# --- other scripts --------------------------------------------------------------------------------


def test_thai_codes_and_years_are_read(tmp_path: Path) -> None:
    right = truth("""
        C001 2025-01-05 purchase 126610LN 435000
        C002 2025-01-13 purchase M79030 159500.5
        C001 2025-01-20 return 126610LN 435000
        C003 2024-02-29 purchase S-20 3900
    """)
    till = Till(tmp_path, "thai_pos.csv", "--region", "TH")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes"]).edit(
        columns={
            "customer_id": "รหัสลูกค้า",
            "purchased_at": "วันที่",
            "price": "จำนวนเงิน",
            "kind": "ประเภท",
            "basket_id": "เลขที่บิล",
            "reference": "รหัสสินค้า",
            "phone": "เบอร์โทร",
        },
        codes={"purchase": ["ขาย"], "return": ["คืน"]},
        encoding="cp874",
        dates="buddhist %d/%m/%Y",
        currency="THB",
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 1}
    assert till.identified()["C001"] == {"tel:+66800000001"}
    till.sound()


def test_japanese_eras_and_totals_are_read(tmp_path: Path) -> None:
    right = truth("""
        M001 2024-12-28 purchase 126610LN 1450000
        M002 2025-01-05 purchase M79030 640000
        M001 2025-01-06 return 126610LN 1450000
        M003 2019-05-01 purchase S-21 8800
    """)
    till = Till(tmp_path, "japanese_till.csv", "--region", "JP")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes"]).edit(
        columns={
            "customer_id": "会員番号",
            "purchased_at": "取引日",
            "price": "金額",
            "kind": "区分",
            "basket_id": "伝票番号",
            "reference": "商品コード",
            "phone": "電話番号",
        },
        codes={"purchase": ["売上"], "return": ["返品"]},
        encoding="cp932",
        dates="japanese",
        currency="JPY",
    )
    assert till.events() == right
    assert till.fates() == {"used": 4, "walk-in": 1, "total": 1}
    assert till.identified()["M001"] == {"tel:+819000000001"}
    till.sound()


def test_taobao_numbers_in_formulas_and_closed_orders_are_read(tmp_path: Path) -> None:
    right = truth("""
        云中客 2025-01-05 purchase 126610LN 99500
        小雨 2025-01-06 purchase M79030 38000
        山下人 2025-01-08 purchase S-20 900
    """)
    till = Till(tmp_path, "taobao_orders.csv", "--region", "CN")
    never_silent(till, right)
    till.edit(without=["columns", "constants", "codes", "statuses"]).edit(
        columns={
            "customer_id": "买家会员名",
            "purchased_at": "订单创建时间",
            "price": "买家实际支付金额",
            "status": "订单状态",
            "basket_id": "订单编号",
            "reference": "宝贝标题",
            "phone": "联系手机",
        },
        constants={"kind": "purchase"},
        statuses={"counts": ["交易成功"], "void": ["交易关闭", "等待买家付款"]},
        encoding="gb18030",
        dates="%Y-%m-%d %H:%M:%S",
    )
    assert till.events() == right
    assert till.fates() == {"used": 3, "void": 2}
    assert till.identified()["小雨"] == {"tel:+8613000000002"}
    till.sound()


# --- consents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("--check",), ()])
def test_consents_of_a_workbook_are_recorded(tmp_path: Path, options: tuple[str, ...]) -> None:
    till = Till(tmp_path, "small_blank.csv", "--region", "SG").with_keys()
    code, said = till.consents("consents_book.xlsx", *options)
    assert code == 0, said
    recorded = till.consented()
    assert len(recorded) == (0 if options else 3)
    if not options:
        assert sorted(str(day)[:10] for day in recorded["recorded_at"]) == [
            "2026-02-03",
            "2026-02-04",
            "2026-02-28",
        ]
        assert sorted(recorded["notice"]) == ["2026-01", "2026-01", "2026-02"]
