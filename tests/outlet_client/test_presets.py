"""Presets: each reads an export of its system, is known by its headings, and can be turned off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from features.ledger import LEDGER_KINDS
from outlet_client.commands.init import init
from outlet_client.ledger.judged_rows import judged_file, paths_of
from outlet_client.settings import OutletFile
from outlet_client.setup.column_names import IGNORE
from outlet_client.setup.doubts import DOUBTS
from outlet_client.setup.export_presets import ExportPreset, presets, recognised
from outlet_client.setup.order_layout import ORDER_COLUMNS
from outlet_client.setup.settings_sections import LEDGER

if TYPE_CHECKING:
    from pathlib import Path

APP = typer.Typer()
APP.command()(init)

SHOPIFY = """\
Name,Email,Financial Status,Currency,Total,Created at,Lineitem quantity,Lineitem price,Lineitem sku,Phone
#1,a@x.ch,paid,CHF,300.00,2026-01-05 10:00:00 +0100,2,100.00,R1,+41446681801
#1,a@x.ch,,,,2026-01-05 10:00:00 +0100,1,100.00,R2,
#2,b@x.ch,refunded,CHF,70.00,2026-01-06 10:00:00 +0100,1,70.00,R3,+41446681802
#3,c@x.ch,voided,CHF,80.00,2026-01-07 10:00:00 +0100,1,80.00,R4,+41446681803
"""  # noqa: E501  (headings as the system writes them)
SQUARE = """\
Date,Item,Qty,SKU,Net Sales,Transaction ID,Event Type,Customer ID,Itemization Type
01/15/26,One,2.0,R1,"$1,200.00",t1,Payment,C1,Physical Good
01/16/26,Two,-1.0,R2,-$70.00,t2,Refund,C2,Physical Good
01/17/26,Card,1.0,,$50.00,t3,Payment,C3,Gift Card
"""
WOOCOMMERCE = """\
Order Number,Order Status,Order Date,Email (Billing),Phone (Billing),Order Total Amount,SKU,Quantity (- Refund),Item Cost
4000,Completed,2026-01-13 10:12,a@x.ch,+41446681801,2200,R1,2,600
4000,Completed,2026-01-13 10:12,a@x.ch,+41446681801,2200,R2,1,1000
4001,On hold,2026-01-14 10:12,b@x.ch,+41446681802,80,R3,1,80
4002,Refunded,2026-01-15 10:12,c@x.ch,+41446681803,70,R4,1,70
"""  # noqa: E501  (headings as the system writes them)
LIGHTSPEED = """\
Date,Receipt Number,Line Type,Customer Code,Quantity,Subtotal,Total,Status,Sku,Customer Phone
2026-01-15 10:00:00,100,Sale,C1,,1300.00,1417.00,CLOSED,,+41446681801
2026-01-15 10:00:00,100,Sale Line,,1,1200.00,1308.00,CLOSED,R1,
2026-01-15 10:00:00,100,Sale Line,,1,100.00,109.00,CLOSED,R2,
2026-01-15 10:00:00,100,Payment,,,,1417.00,CLOSED,,
2026-01-16 10:00:00,101,Sale,C2,,-70.00,-76.00,CLOSED,,+41446681802
2026-01-16 10:00:00,101,Sale Line,,-1,-70.00,-76.00,CLOSED,R3,
2026-01-16 10:00:00,102,Sale Line,,1,70.00,76.00,VOIDED,R3,
"""
ODOO = """\
Order Ref,Date,Customer,Customer/ID,Total,Order Lines/Product,Order Lines/Quantity,Order Lines/Subtotal
S/1,2026-01-15 11:02:05,Ana Ng,77,1300.00,R1,2.00,1200.00
,,,,,R2,1.00,100.00
S/2,2026-01-16 11:02:05,Mei Lin,78,-70.00,R3,-1.00,-70.00
"""  # noqa: E501  (headings as the system writes them)
XERO = """\
ContactName,EmailAddress,InvoiceNumber,Reference,InvoiceDate,Total,InventoryItemCode,Quantity,UnitAmount,LineAmount,Currency,Type,Status
Ana Ng,a@x.ch,INV-1,PO 7,15/01/2026,1300.00,R1,2,600.00,1200.00,CHF,Sales invoice,Paid
Ana Ng,a@x.ch,INV-1,PO 7,15/01/2026,1300.00,R2,1,100.00,100.00,CHF,Sales invoice,Awaiting Payment
Mei Lin,b@x.ch,CN-1,,16/01/2026,70.00,R3,1,70.00,70.00,CHF,Sales credit note,Paid
Mei Lin,b@x.ch,INV-3,,16/01/2026,70.00,R3,1,70.00,70.00,CHF,Sales invoice,Voided
"""

PIECES = {
    "shopify": (SHOPIFY, {("R1", 200.0), ("R2", 100.0), ("R3", 70.0)}, {"R3"}),
    "square": (SQUARE, {("R1", 1200.0)}, {"R2"}),
    "woocommerce": (WOOCOMMERCE, {("R1", 1200.0), ("R2", 1000.0), ("R4", 70.0)}, {"R4"}),
    "lightspeed": (LIGHTSPEED, {("R1", 1200.0), ("R2", 100.0)}, {"R3"}),
    "odoo": (ODOO, {("R1", 1200.0), ("R2", 100.0)}, {"R3"}),
    "xero": (XERO, {("R1", 1200.0), ("R2", 100.0)}, {"R3"}),
}
"""An export of each system; what was sold, by reference and amount; and what came back."""


def run(*arguments: str, home: Path, code: int = 0) -> str:
    """What `init` prints."""
    words = [*arguments, "--home", str(home)]
    result = CliRunner().invoke(APP, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_reads_an_export_of_its_system(tmp_path: Path, name: str) -> None:
    text, sold, back = PIECES[name]
    (tmp_path / "l.csv").write_text(text)
    said = run(str(tmp_path / "l.csv"), home=tmp_path)
    assert f"It is {presets()[name].title} (by its headings; --as none turns that off)" in said
    source = OutletFile.read(tmp_path / "escapement.toml").ledger
    (batch,) = judged_file(source, paths_of(source)[0])
    rows, events = batch.rows, batch.events
    assert not rows["bad"].drop_nulls().len()
    bought = events.filter(kind="purchase").select("reference", "price")
    assert set(bought.iter_rows()) == sold
    refunded = events.filter(events["refund"].is_not_null() | (events["kind"] == "return"))
    assert set(refunded["reference"]) == back
    assert events["customer"].n_unique() == len(back) + 1
    assert not events["customer"].str.contains("@").any()


def test_of_several_headings_the_first_with_any_cell_is_taken(tmp_path: Path) -> None:
    header, *rows = SHOPIFY.strip().split("\n")
    text = "\n".join([header.replace("Phone", "Billing Phone,Phone"), *(f"{row}," for row in rows)])
    (tmp_path / "l.csv").write_text(text)
    run(str(tmp_path / "l.csv"), home=tmp_path)
    columns = OutletFile.read(tmp_path / "escapement.toml").ledger.columns
    assert columns["phone"] == "Billing Phone"


def test_every_preset_has_an_export_here() -> None:
    assert set(PIECES) == set(presets())


@pytest.mark.parametrize("preset", presets().values(), ids=presets())
def test_a_preset_says_nothing_that_the_settings_have_no_word_for(preset: ExportPreset) -> None:
    assert set(preset.columns) | set(preset.constants) <= set(LEDGER)
    assert set(preset.codes) <= {*LEDGER_KINDS, IGNORE}
    assert set(preset.statuses) <= {"counts", "void", "returned"}
    assert set(preset.fill_down) <= set(ORDER_COLUMNS)
    assert set(preset.accept) <= set(DOUBTS)
    assert {"customer_id", "purchased_at", "basket_id", "reference"} <= set(preset.columns)


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_is_known_by_its_headings_alone(name: str) -> None:
    headings = PIECES[name][0].split("\n")[0].split(",")
    assert recognised(headings) == presets()[name]
    for group in presets()[name].headings:
        assert recognised([one for one in headings if one not in group]) is None


def test_a_preset_that_is_asked_for_needs_its_headings(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(LIGHTSPEED)
    said = run(str(tmp_path / "l.csv"), "--as", "shopify", home=tmp_path, code=6)
    assert "has the headings Name, Financial Status, Lineitem quantity, Lineitem price" in said
    said = run(str(tmp_path / "l.csv"), "--as", "vend", home=tmp_path, code=6)
    assert "--as: got 'vend', expected one of lightspeed, odoo" in said
    assert not (tmp_path / "escapement.toml").exists()


def test_presets_can_be_listed_and_turned_off(tmp_path: Path) -> None:
    assert all(name in run("--as", "list", home=tmp_path) for name in presets())
    (tmp_path / "l.csv").write_text(LIGHTSPEED)
    said = run(str(tmp_path / "l.csv"), "--as", "none", home=tmp_path)
    assert "It is" not in said
    found = OutletFile.read(tmp_path / "escapement.toml").ledger
    assert found.codes["ignore"] == ["Payment", "Sale"]
    assert found.fill_down is not None
    assert found.fill_down.key == "Receipt Number"


def test_what_was_asked_for_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(XERO)
    said = run(str(tmp_path / "l.csv"), "--as", "xero", home=tmp_path)
    assert "It is Xero's invoices export (as you said)." in said
