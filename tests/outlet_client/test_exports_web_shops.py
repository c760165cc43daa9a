"""Exports of shops in the web: read rightly, or said that they are not.

Each export has a trap in it, which tests/exports/README.md names. Without a hand on the settings
the law is `never_silent`; with the few settings that a person would make, each event is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.exports.till import Till, alike, never_silent, truth

if TYPE_CHECKING:
    from pathlib import Path


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
