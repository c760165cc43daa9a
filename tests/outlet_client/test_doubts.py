"""Doubts: each is raised by rows that speak against the settings, and by no others."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from outlet_client.commands.check import check
from outlet_client.settings import OutletFile
from outlet_client.setup.doubts import DOUBTS, open_doubts
from outlet_client.setup.dry_run import dry_run

if TYPE_CHECKING:
    from outlet_client.setup.dry_run import DryRun

APP = typer.Typer()
APP.command()(check)
AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
HEADER = "customer_id,purchased_at,price,kind,basket_id,reference,phone"


def read(folder: Path, rows: str, header: str = HEADER, settings: str = "") -> DryRun:
    """A dry run over some rows, in canonical words and forms but for what the settings say."""
    (folder / "l.csv").write_text(f"{header}\n{rows}")
    top, _, ledger = settings.partition("[ledger]")
    text = f'keep_days = 36500\n{top}\n[ledger]\nsource = "l.csv"\n{ledger}'
    (folder / "escapement.toml").write_text(text)
    return dry_run(OutletFile.read(folder / "escapement.toml"), AT, home=folder)


def names(found: DryRun) -> set[str]:
    """The doubts of a dry run."""
    return {doubt.name for doubt in found.doubts}


def sale(at: int, day: str | None = None, **cells: str) -> str:
    """A row of a sound ledger, but for some of its cells."""
    one = {
        "customer": f"C{at % 17}",
        "day": day or f"2026-{1 + at // 28:02}-{1 + at % 28:02}",
        "price": f"{1000 + at * 37}.50",
        "kind": "purchase",
        "basket": f"B{at // 2}",
        "reference": f"R{at % 7}",
        "phone": f"+41446681{at % 17:03}",
    } | cells
    return ",".join(one.values()) + "\n"


def sound(number: int = 40, **cells: str) -> str:
    """Rows that nothing speaks against, but for some of their cells."""
    return "".join(sale(at, **cells) for at in range(number))


# --- nothing is doubted without a reason ----------------------------------------------------------


def test_a_sound_ledger_raises_no_doubt(tmp_path: Path) -> None:
    found = read(tmp_path, sound(60) + sale(61, kind="return"))
    assert (found.doubts, found.problems) == ([], [])


@pytest.mark.parametrize("day", ["{:02}.{:02}.2026", "{:02}/{:02}/2026"])
def test_days_in_one_order_raise_no_doubt(tmp_path: Path, day: str) -> None:
    days = [(1 + at % 28, 1 + at // 28) for at in range(60)]
    rows = "".join(sale(at, day.format(*one)) for at, one in enumerate(days))
    form = day.format("%d", "%m").replace("2026", "%Y")
    assert names(read(tmp_path, rows, settings=f'[ledger]\ndates = "{form}"')) == set()


# --- each doubt and what raises it ----------------------------------------------------------------

CASES = {
    "returns-outnumber": sound(3) + sound(4, kind="return"),
    "returns-of-one": sound(9) + sound(3, kind="return", customer="SHOP"),
    "few-customers": sound(20) + sound(10, customer="CASHDESK"),
    "name-keys": sound(4, customer="Mei Lin") + sound(3, customer="Ana Ng"),
    "mailbox-keys": sound(4) + sale(5, customer="Mei@Example.com"),
    "walk-ins": sound(8, customer="", basket="W") + sound(3),
    "order-lines": sale(1, basket="B1") + sale(2, customer="", basket="B1") + sound(6),
    "basket-header": "".join(
        sale(at, basket=f"B{at}", price="30.50")
        + sale(at, basket=f"B{at}", price="10.25")
        + sale(at, basket=f"B{at}", price="20.25")
        for at in range(6)
    ),
    "basket-repeats": "".join(
        sale(at, basket=f"B{at}", price=f"{at}.50")
        + sale(at + 1, basket=f"B{at}", price=f"{at}.50")
        for at in range(6)
    ),
    "basket-below-zero": sound(9) + sale(2, reference="", price="-99.50"),
    "decimal": "".join(sale(at, price=f"{1 + at}.250") for at in range(9)),
    "cents": "".join(sale(at, price=f"{1350000 + at}") for at in range(20)),
    "far-days": sound(6) + sale(7, "2027-01-01"),
    "one-day": sound(30, day="2026-03-01"),
    "totals": sound(6) + sale(7, customer="Grand Total", price="9.50"),
    "kinds-unknown": sound(60) + sound(3, kind="Layby"),
    "placeholders": sound(4) + sale(5, phone="0000000000"),
    "shared-identifiers": "".join(sale(at, phone="+41446681234") for at in range(12)),
    "region": sound(4) + sale(5, phone="8123 4567"),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_that_speak_against_the_settings_raise_their_doubt(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, CASES[name], settings="most_quarantined = 1\n")
    assert names(found) == {name}
    (doubt,) = found.doubts
    assert doubt.counts
    assert "Mei" not in doubt.sentence


def test_a_receipts_row_beside_its_only_piece_is_doubted_and_two_alike_are_not(
    tmp_path: Path,
) -> None:
    alike = "".join(sale(at, basket=f"B{at}", price="500.50") * 2 for at in range(6))
    assert names(read(tmp_path, alike)) == set()
    rows = "".join(
        sale(at, basket=f"B{at}", price="500.50", reference="")
        + sale(at, basket=f"B{at}", price="500.50")
        for at in range(6)
    )
    assert names(read(tmp_path, rows)) == {"basket-header"}


def test_a_last_row_that_adds_up_the_others_is_doubted(tmp_path: Path) -> None:
    rows = "".join(sale(at, price=f"{at}.25") for at in range(1, 6))
    assert names(read(tmp_path, rows + sale(9, price="16.25"))) == {"totals"}
    assert names(read(tmp_path, rows + sale(9, price="16.20"))) == set()


@pytest.mark.parametrize(
    ("rows", "only_here", "only_there", "places"),
    [
        ([(25, 1), (26, 1), (1, 27), (1, 28)], 2, 2, " (line 4, line 5)"),
        ([(1, 2), (3, 4), (5, 6)], 0, 0, ""),
        (
            [(25, 1), (27, 1), (2, 1), (2, 3), (2, 8), (14, 2), (20, 2), (3, 1), (21, 3)],
            5,
            0,
            " (line 4, line 5, line 6, line 9)",
        ),
        (
            [(25, 1), *((1, day) for day in range(20, 27))],
            1,
            7,
            " (line 3, line 4, line 5, line 6, line 7, ...)",
        ),
    ],
)
def test_both_orders_of_day_and_month_in_one_column_are_doubted(
    tmp_path: Path, rows: list[tuple[int, int]], only_here: int, only_there: int, places: str
) -> None:
    text = "".join(sale(at, f"{one:02}/{two:02}/2026") for at, (one, two) in enumerate(rows))
    settings = 'most_quarantined = 1\n[ledger]\ndates = "%d/%m/%Y"'
    found = read(tmp_path, text, settings=settings)
    doubts = [doubt for doubt in found.doubts if doubt.name == "day-order"]
    assert len(doubts) == 1
    assert doubts[0].counts["only as set"] == only_here
    assert doubts[0].counts["only exchanged"] == only_there
    assert f"exchanged{places}; " in doubts[0].sentence


def test_a_second_currency_is_doubted_until_its_rate_is_given(tmp_path: Path) -> None:
    header = f"{HEADER},currency"
    rows = "".join(sale(at).strip() + f",{'JPY' if at % 5 == 0 else 'SGD'}\n" for at in range(20))
    ledger = '[ledger]\ncurrency = "SGD"\n'
    found = read(tmp_path, rows, header, f"most_quarantined = 1\n{ledger}")
    assert names(found) == {"currencies"}
    assert found.doubts[0].counts == {"SGD": 16, "JPY": 4}
    assert names(read(tmp_path, rows, header, f"{ledger}rates = {{ JPY = 0.0089 }}")) == set()


def test_amounts_of_a_currency_without_cents_are_not_doubted(tmp_path: Path) -> None:
    rows = CASES["cents"]
    assert names(read(tmp_path, rows, settings='[ledger]\ncurrency = "JPY"')) == set()
    assert names(read(tmp_path, rows, settings='[ledger]\ndecimal = "cents"')) == set()


def test_an_order_that_was_paid_back_in_part_is_doubted(tmp_path: Path) -> None:
    rows = "".join(
        sale(at).strip() + f",{'Partially Refunded' if at == 3 else 'Paid'}\n" for at in range(9)
    )
    statuses = '[ledger.statuses]\ncounts = ["Paid", "Partially Refunded"]'
    found = read(tmp_path, rows, f"{HEADER},status", f"[ledger]\n{statuses}")
    assert names(found) == {"statuses-partial"}


def test_a_price_that_is_the_same_whatever_the_quantity_is_doubted(tmp_path: Path) -> None:
    header = f"{HEADER},quantity"
    of_one = "".join(
        sale(at, price="50.25", basket=f"B{at}").strip() + f",{1 + at % 3}\n" for at in range(30)
    )
    assert names(read(tmp_path, of_one, header)) == {"unit-price"}
    of_all = "".join(
        sale(at, price=f"{50.25 * (1 + at % 3):.2f}").strip() + f",{1 + at % 3}\n"
        for at in range(30)
    )
    assert names(read(tmp_path, of_all, header)) == set()


@pytest.mark.parametrize(
    ("heading", "is_doubted"), [("Preis", True), ("Zeilenbetrag", False), ("Ext. Price", False)]
)
def test_several_pieces_whose_price_nothing_explains_are_doubted(
    tmp_path: Path, heading: str, *, is_doubted: bool
) -> None:
    rows = "".join(sale(at, reference=f"R{at}").strip() + f",{1 + at % 3}\n" for at in range(9))
    header, columns = HEADER.replace("price", heading), f'[ledger.columns]\nprice = "{heading}"'
    expected = {"unit-price"} if is_doubted else set()
    assert names(read(tmp_path, rows, f"{header},Menge", columns)) == expected  # nobody maps Menge
    beside = "".join(f"{row},{1000 + at * 37}.50\n" for at, row in enumerate(rows.split()))
    of_row = read(tmp_path, beside.replace(",1,", ",1,"), f"{header},Menge,Einzelpreis", columns)
    assert names(of_row) == expected  # it costs what one does: rows say no more than the heading


def test_a_price_of_one_that_grows_with_the_quantity_is_doubted(tmp_path: Path) -> None:
    rows = "".join(
        sale(at, price=f"{50.25 * (1 + at % 3):.2f}").strip() + f",{1 + at % 3}\n"
        for at in range(30)
    )
    header = f"{HEADER},quantity".replace("price", "unit_price")
    assert names(read(tmp_path, rows, header)) == {"unit-price"}


@pytest.mark.parametrize(
    ("gross", "net", "is_doubted"),
    [
        ("Total incl. GST", "Total excl. GST", True),
        ("Montant TTC", "Montant HT", True),
        ("Bruttobetrag", "Nettobetrag", True),
        ("税込金額", "税抜金額", True),
        ("Betrag mit MwSt", "Betrag ohne MwSt", True),
        ("Total", "Net Weight", False),
        ("Total excl. GST", "Total incl. GST", False),
    ],
)
def test_an_amount_with_tax_beside_the_one_without_is_doubted(
    tmp_path: Path, gross: str, net: str, *, is_doubted: bool
) -> None:
    rows = "".join(f"{sale(at).strip()},{(1000.5 + at * 37) / 1.09:.2f}\n" for at in range(9))
    header = f"{HEADER.replace('price', gross)},{net}"
    found = read(tmp_path, rows, header, f'[ledger.columns]\nprice = "{gross}"')
    assert names(found) == ({"taxes"} if is_doubted else set())
    assert [net in doubt.sentence for doubt in found.doubts] == [True] * is_doubted


@pytest.mark.parametrize(
    ("price", "before", "is_doubted"),
    [
        ("Amount", "paid", True),  # less the discount it is no column's
        ("Amount", "full", False),  # less the discount it is what was paid
        ("Net Amount", "paid", False),
    ],
)
def test_a_discount_that_no_column_shows_as_taken_off_is_doubted(
    tmp_path: Path, price: str, before: str, *, is_doubted: bool
) -> None:
    rows = "".join(
        f"{sale(at).strip()},{(1010 if before == 'full' else 1000) + at * 37}.50,-10.00\n"
        for at in range(9)
    )
    header = f"{HEADER.replace('price', price)},Retail,Discount"
    columns = f'[ledger.columns]\nprice = "{price}"'
    assert names(read(tmp_path, rows, header, columns)) == ({"discounts"} if is_doubted else set())
    none = rows.replace("-10.00", "0.00")
    assert names(read(tmp_path, none, header, columns)) == set()


@pytest.mark.parametrize(("others", "is_doubted"), [(3, False), (4, True), (5, True)])
def test_sides_of_which_neither_has_two_thirds_are_doubted(
    tmp_path: Path, others: int, *, is_doubted: bool
) -> None:
    header = HEADER.replace("kind", "Brand")
    rows = "".join(
        sale(at, price=f"{1000 + at}.50 {'CR' if at < others else 'DR'}", kind="Tudor")
        for at in range(10)
    )
    settings = '[ledger]\nsales_side = "debit"\n[ledger.constants]\nkind = "purchase"'
    found = read(tmp_path, rows, header, settings)
    assert names(found) == ({"sides"} if is_doubted else set())


def test_returns_that_a_code_tells_are_no_discounts(tmp_path: Path) -> None:
    back = sound(9) + sale(2, kind="return", reference="", price="99.50")
    assert names(read(tmp_path, back)) == set()
    below = back.replace("99.50", "-99.50")
    assert names(read(tmp_path, below)) == set()
    header = HEADER.replace("kind", "is_return")
    flags = back.replace("purchase", "no").replace("return", "yes")
    assert names(read(tmp_path, flags, header)) == set()
    signed = flags.replace("yes,B1,,", "no,B1,,").replace("99.50", "-99.50")
    assert names(read(tmp_path, signed, header)) == {"basket-below-zero"}


@pytest.mark.parametrize(
    ("canonical", "heading", "is_doubted"),
    [
        ("customer_id", "Client Advisor", True),
        ("customer_id", "Kundenberater", True),
        ("customer_id", "Client", False),
        ("phone", "Store Phone", True),
        ("phone", "Customer Phone", False),
    ],
)
def test_keys_and_phones_of_the_shop_are_doubted(
    tmp_path: Path, canonical: str, heading: str, *, is_doubted: bool
) -> None:
    columns = f'[ledger.columns]\n{canonical} = "{heading}"'
    found = read(tmp_path, sound(9), HEADER.replace(canonical, heading), columns)
    assert names(found) == ({"not-customers"} if is_doubted else set())


def test_serials_that_count_the_rows_are_doubted(tmp_path: Path) -> None:
    for step, expected in ((1, {"running-numbers"}), (7919, set[str]())):
        rows = "".join(f"{sale(at).strip()},{1 + at * step}\n" for at in range(9))
        assert names(read(tmp_path, rows, f"{HEADER},serial")) == expected


def test_a_hundred_pieces_in_a_row_are_doubted(tmp_path: Path) -> None:
    rows = "".join(sale(at).strip() + f",{1 + at * 40}\n" for at in range(4))
    header = f"{HEADER},quantity".replace("price", "Line Total")
    found = read(tmp_path, rows, header, '[ledger.columns]\nprice = "Line Total"')
    assert names(found) == {"quantities"}
    assert found.doubts[0].counts == {"rows": 1}


SALES_ONLY = '[ledger]\n[ledger.constants]\nkind = "purchase"'


@pytest.mark.parametrize(
    ("heading", "codes", "is_doubted"),
    [
        ("S/H", "SH", True),
        ("Sold", "10", True),
        ("Line", ("Item", "Tax"), True),
        ("Vorgangsart", "XY", True),
        ("Brand", ("Tudor", "Rolex"), False),
    ],
)
def test_sales_only_beside_a_column_that_says_what_rows_are_is_doubted(
    tmp_path: Path, heading: str, codes: tuple[str, ...], *, is_doubted: bool
) -> None:
    header = HEADER.replace("kind", heading)
    rows = "".join(sale(at, kind=codes[at % 2]) for at in range(9))
    expected = {"all-purchases"} if is_doubted else set()
    assert names(read(tmp_path, rows, header, SALES_ONLY)) == expected


def test_sales_only_of_which_none_came_back_are_doubted(tmp_path: Path) -> None:
    header = HEADER.replace("kind", "Brand")
    rows = "".join(sale(at, kind="Tudor") for at in range(30))
    assert names(read(tmp_path, rows, header, SALES_ONLY)) == {"all-purchases"}
    rows += sale(31, kind="Tudor", price="-50.00")
    assert names(read(tmp_path, rows, header, SALES_ONLY)) == set()


@pytest.mark.parametrize(
    ("heading", "cell", "is_doubted"),
    [
        ("Total Refunded", "$50.00", True),
        ("Total Refunded", "$0.00", False),
        ("Retour", "ja", True),
        ("Returned", "no", False),
        ("退款", "1", True),
        ("Returnable", "yes", False),
    ],
)
def test_a_sale_with_a_refund_in_a_column_that_nothing_reads_is_doubted(
    tmp_path: Path, heading: str, cell: str, *, is_doubted: bool
) -> None:
    rows = sound(9) + sale(10)
    rows = "".join(f"{row},{cell if at == 3 else ''}\n" for at, row in enumerate(rows.split()))
    found = read(tmp_path, rows, f"{HEADER},{heading}")
    assert names(found) == ({"refund-column"} if is_doubted else set())
    back = "".join(
        f"{row.replace('purchase', 'return') if at == 3 else row},{cell if at == 3 else ''}\n"
        for at, row in enumerate((sound(9) + sale(10)).split())
    )
    assert names(read(tmp_path, back, f"{HEADER},{heading}")) == set()


def test_a_file_that_is_a_months_only_with_day_and_month_exchanged_is_doubted(
    tmp_path: Path,
) -> None:
    (tmp_path / "l2.csv").write_text(
        f"{HEADER}\n" + "".join(sale(at, f"02/{at:02}/2026") for at in (3, 9, 10, 11))
    )
    rows = "".join(sale(at, f"{at:02}/01/2026") for at in (3, 9, 14, 28))
    (tmp_path / "l1.csv").write_text(f"{HEADER}\n{rows}")
    (tmp_path / "escapement.toml").write_text(
        'keep_days = 36500\n[ledger]\nsource = "l*.csv"\ndates = "%d/%m/%Y"\n'
    )
    found = dry_run(OutletFile.read(tmp_path / "escapement.toml"), AT, home=tmp_path)
    assert "day-order" in names(found)


def test_a_heading_that_stands_twice_is_doubted_where_it_is_mapped(tmp_path: Path) -> None:
    header = HEADER.replace("kind", "kind,Total").replace("price", "Total")
    rows = "".join(sale(at).replace(",purchase,", ",purchase,7.50,") for at in range(9))
    settings = '[ledger]\n[ledger.columns]\nprice = "Total#1"'
    found = read(tmp_path, rows, header, settings)
    assert names(found) == {"heading-twice"}
    assert "'Total#1' is column 3, one of 2" in found.doubts[0].sentence


def test_a_client_book_of_half_the_customers_is_doubted(tmp_path: Path) -> None:
    book = "customer_id,phone\n" + "".join(f"C{at},+41446681{at:03}\n" for at in range(5))
    (tmp_path / "c.csv").write_text(book)
    found = read(tmp_path, sound(40), settings='clients = "c.csv"\n')
    assert names(found) == {"clients-half"}


def test_every_doubt_has_a_test() -> None:
    others = {
        "all-purchases", "clients-half", "currencies", "day-order", "discounts", "heading-twice",
        "not-customers", "quantities", "refund-column", "running-numbers", "sides",
        "statuses-partial", "taxes", "unit-price",
    }  # fmt: skip
    assert {*CASES, *others} == set(DOUBTS)


def test_the_documents_name_every_doubt_and_what_decides_it() -> None:
    page = (Path(__file__).parents[2] / "docs/outlet.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert dict(rows) == DOUBTS


# --- accepted doubts ------------------------------------------------------------------------------


def test_an_open_doubt_ends_with_ten_and_an_accepted_one_with_zero(tmp_path: Path) -> None:
    read(tmp_path, CASES["one-day"])
    said = CliRunner().invoke(APP, ["--home", str(tmp_path)], catch_exceptions=False)
    lines = said.output.strip().split("\n")
    assert said.exit_code == 10
    assert lines[0] == lines[-1]
    assert "one-day: correct the settings" in lines[0]
    read(tmp_path, CASES["one-day"], settings='[ledger]\naccept = ["one-day"]')
    said = CliRunner().invoke(APP, ["--home", str(tmp_path)], catch_exceptions=False)
    assert said.exit_code == 0
    assert "accepted one-day: [ledger] all 30 rows are of one day" in said.output
    told = CliRunner().invoke(APP, ["--home", str(tmp_path), "--json"], catch_exceptions=False)
    (doubt,) = json.loads(told.output)["doubts"]
    assert (doubt["name"], doubt["accepted"], doubt["counts"]) == ("one-day", True, {"rows": 30})
    assert doubt["setting"] == DOUBTS["one-day"]


def test_a_name_that_is_no_doubt_cannot_be_accepted(tmp_path: Path) -> None:
    found = read(tmp_path, sound(9), settings='[ledger]\naccept = ["one-dya"]')
    assert "accept: ledger.accept: got 'one-dya', expected names of doubts" in found.problems[0]


def test_a_small_shops_first_day_is_not_doubted(tmp_path: Path) -> None:
    assert names(read(tmp_path, sound(9, day="2026-03-01"))) == set()


def test_accepting_one_doubt_leaves_the_others_open(tmp_path: Path) -> None:
    rows = CASES["one-day"] + sale(31, phone="000000000")
    found = read(
        tmp_path,
        rows.replace("2026-02-04", "2026-03-01"),
        settings='[ledger]\naccept = ["one-day"]',
    )
    settings = OutletFile.read(tmp_path / "escapement.toml")
    assert [doubt.name for doubt in open_doubts(found.doubts, settings)] == ["placeholders"]


# --- the preview ----------------------------------------------------------------------------------


def test_ten_rows_are_shown_as_understood_and_nobody_can_be_known(tmp_path: Path) -> None:
    rows = sound(30) + sale(31, kind="return", reference="[126610LN] Submariner")
    found = read(tmp_path, rows.replace("C3,", "Lim-3456,"), settings='[ledger]\ncurrency = "CHF"')
    assert len(found.preview) == 10
    last = found.preview[-1]
    assert (last.row, last.kind, last.amount) == (31, "return", 2147.5)
    assert last.reference == "[126610LN] xxxxxxxxxx"
    assert last.phone == "+41 *******14"
    assert found.preview[3].customer == "xxx-##56"
    said = CliRunner().invoke(APP, ["--home", str(tmp_path)], catch_exceptions=False).output
    assert "amount CHF" in said
    assert not [at for at in range(17) if f"44668{1000 + at}" in said.replace(" ", "")]
    assert "Lim" not in said
    mailbox = read(tmp_path, sale(1, customer="Mei@Example.com")).preview[0]
    assert mailbox.customer == "mailbox"
