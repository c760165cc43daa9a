"""Exports of bookkeeping: read rightly, or said that they are not.

Each export has a trap in it, which tests/exports/README.md names. Without a hand on the settings
the law is `never_silent`; with the few settings that a person would make, each event is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.exports.till import OPEN_DOUBTS, Till, alike, never_silent, truth

if TYPE_CHECKING:
    from pathlib import Path


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
