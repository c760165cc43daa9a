"""Exports of whole systems that we were given are understood as their README says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.exports.records import filled_down, of_customers, records
from tests.exports.till import (
    Till,
    alike,
    counted,
    never_silent,
    truth,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.exports.till import Event

MAILBOX = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


def test_shopify_orders_are_an_event_a_line_item(tmp_path: Path) -> None:
    rows = filled_down("shopify_orders.csv", "Name", "Email", "Financial Status")
    events: list[tuple[str, Event]] = []
    for one in rows:
        price = float(one["Lineitem price"]) * int(one["Lineitem quantity"])
        day, reference = one["Created at"][:10], one["Lineitem sku"]
        kinds = {"paid": ["purchase"], "refunded": ["purchase", "return"], "voided": []}
        email = one["Email"].lower()
        events += [
            (email, (day, kind, reference, price)) for kind in kinds[one["Financial Status"]]
        ]
    right = of_customers(events)
    till = Till(tmp_path, "shopify_orders.csv", "--as", "shopify")
    assert alike(till.events(), right)
    voided = sum(one["Financial Status"] == "voided" for one in rows)
    assert till.fates() == {"used": len(rows) - voided, "void": voided}
    assert till.sound("mailbox-keys").report["kinds"] == counted(right)
    identified = till.identified()
    assert {len(keys) for keys in identified.values()} == {2}  # a phone and a mailbox each
    assert not MAILBOX.search(till.stored())


def test_shopify_is_recognised_by_its_headings(tmp_path: Path) -> None:
    till = Till(tmp_path, "shopify_orders.csv")
    assert "Shopify" in till.said
    told = Till(tmp_path / "as", "shopify_orders.csv", "--as", "shopify")
    assert alike(till.events(), told.events())
    never_silent(Till(tmp_path / "none", "shopify_orders.csv", "--as", "none"), told.events())


def test_a_small_shopify_export_is_read_likewise(tmp_path: Path) -> None:
    right = truth("""
        a 2025-01-05 purchase 126610LN 13500
        a 2025-01-05 purchase M79030 4000
        b 2025-01-06 purchase 5711/1A 52000
        b 2025-01-06 return 5711/1A 52000
    """)
    till = Till(tmp_path, "small_shop.csv", "--as", "shopify")
    assert alike(till.events(), right)
    assert till.fates() == {"used": 3, "void": 1}
    counts = till.sound("mailbox-keys").report["counts"]
    assert (counts["rows"], counts["used"], counts["ignored"]) == (4, 3, 1)
    assert not MAILBOX.search(till.stored())


def test_square_items_are_read_with_their_signs_and_walk_ins(tmp_path: Path) -> None:
    rows = records("square_items.csv")
    kinds = {"Payment": "purchase", "Refund": "return"}
    right = of_customers(
        [
            (
                one["Customer ID"],
                (
                    f"20{one['Date'][6:]}-{one['Date'][:2]}-{one['Date'][3:5]}",
                    kinds[one["Event Type"]],
                    one["SKU"],
                    float(re.sub(r"[-$,]", "", one["Net Sales"])),
                ),
            )
            for one in rows
            if one["Customer ID"]
        ]
    )
    till = Till(tmp_path, "square_items.csv", "--as", "square")
    assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}
    walk_ins = sum(not one["Customer ID"] for one in rows)
    assert till.fates() == {"used": len(rows) - walk_ins, "walk-in": walk_ins}
    found = till.check()
    assert found.code == 1  # Square's items have no phone: a client book is needed
    assert "clients" in " ".join(found.report["problems"])
    counts = found.report["counts"]
    assert (counts["walk_ins"], counts["quarantined"]) == (15, 0)
    never_silent(Till(tmp_path / "plain", "square_items.csv", "--as", "none"), right)


def vend(file: str, price: str) -> dict[str, list[Event]]:
    """The pieces of a Vend export; its returns are below zero."""
    lines = filled_down(file, "Receipt Number", "Customer Code")
    return of_customers(
        [
            (
                one["Customer Code"],
                (
                    one["Date"][:10],
                    "return" if float(one[price]) < 0 else "purchase",
                    one["Sku"],
                    abs(float(one[price])),
                ),
            )
            for one in lines
            if one["Line Type"] == "Sale Line"
        ]
    )


def test_vend_counts_each_piece_once(tmp_path: Path) -> None:
    right = vend("vend_sales.csv", "Subtotal")
    till = Till(tmp_path, "vend_sales.csv", "--as", "lightspeed")
    assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}
    assert till.fates() == {"used": 66, "code": 80}
    assert counted(right) == {"purchase": 61, "return": 5}
    till.sound()
    assert {len(keys) for keys in till.identified().values()} == {2}
    never_silent(Till(tmp_path / "plain", "vend_sales.csv", "--as", "none"), right)


def test_a_small_vend_export_never_counts_a_sale_beside_its_lines(tmp_path: Path) -> None:
    right = truth("""
        C1 2025-01-05 purchase 126610LN 13500
        C1 2025-01-05 purchase M79030 4000
    """)
    till = Till(tmp_path, "small_vend.csv")
    never_silent(till, right)
    till.edit(codes={"purchase": ["Sale Line"], "ignore": ["Sale"]}, columns={"price": "Total"})
    assert till.events() == right
    assert till.fates() == {"used": 2, "code": 1}
    till.sound()
    till.edit(codes={"purchase": ["Sale", "Sale Line"], "ignore": []}, accept=[])
    assert "basket-header" in till.check().doubts


def test_odoo_lines_have_their_orders_customer_and_key(tmp_path: Path) -> None:
    rows = filled_down("odoo_pos.csv", "Order Ref", "Date", "Customer")
    right = of_customers(
        [
            (
                one["Customer"],
                (
                    one["Date"][:10],
                    "return" if float(one["Order Lines/Quantity"]) < 0 else "purchase",
                    one["Order Lines/Product"],
                    abs(float(one["Order Lines/Subtotal"])),
                ),
            )
            for one in rows
        ]
    )
    till = Till(tmp_path, "odoo_pos.csv", "--as", "odoo")
    assert till.events() == {who: sorted(some, key=str) for who, some in right.items()}
    assert till.fates() == {"used": 69}
    assert len(till.baskets()) == len({one["Order Ref"] for one in rows})
    assert till.check().code == 1  # no phone and no e-mail: a client book is needed
    never_silent(Till(tmp_path / "plain", "odoo_pos.csv", "--as", "none"), right)


def test_woocommerce_statuses_and_quantities_are_read(tmp_path: Path) -> None:
    rows = records("woo_orders.csv")
    kinds = {"Completed": ["purchase"], "Refunded": ["purchase", "return"]}
    right = of_customers(
        [
            (
                one["Email (Billing)"].lower(),
                (
                    one["Order Date"][:10],
                    kind,
                    one["SKU"],
                    float(one["Item Cost"]) * int(one["Quantity (- Refund)"]),
                ),
            )
            for one in rows
            for kind in kinds.get(one["Order Status"], [])
        ]
    )
    till = Till(tmp_path, "woo_orders.csv", "--as", "woocommerce")
    assert alike(till.events(), right)
    assert till.fates() == {"used": 33, "void": 7}
    till.sound("mailbox-keys")
    never_silent(Till(tmp_path / "plain", "woo_orders.csv", "--as", "none"), right)


def test_a_small_woocommerce_export_is_read_likewise(tmp_path: Path) -> None:
    right = truth("""
        7 2025-01-03 purchase 126610LN 13500
        8 2025-01-05 purchase 210.30.42 7600
        7 2025-02-03 purchase M79030 4900
        7 2025-02-03 return M79030 4900
    """)
    till = Till(tmp_path, "small_woo.csv", "--as", "woocommerce")
    assert alike(till.events(), right)
    assert till.fates() == {"used": 3, "void": 1}
    never_silent(Till(tmp_path / "plain", "small_woo.csv", "--as", "none"), right)
