"""`check`: every row has a fate, every bad cell a place and reason, and no customer is shown."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from outlet_client.commands.check import check
from outlet_client.ledger.event_store import EventStore
from outlet_client.settings import OutletFile
from outlet_client.setup.dry_run import dry_run
from outlet_client.setup.redaction import Column, reference_shown, shown
from tests.messy import HEADER, german_csv, sales

if TYPE_CHECKING:
    from pathlib import Path

APP = typer.Typer()
APP.command()(check)
SALES = sales()
AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)

GERMAN = """
region = "CH"
keep_days = 36500
{more}
[ledger]
source = "verkauf.csv"
delimiter = ";"
encoding = "cp1252"
decimal = ","
dates = "%d.%m.%Y"
[ledger.columns]
{columns}
[ledger.codes]
purchase = ["VK"]
return = ["RT"]
"""
COLUMNS = {
    "customer_id": "Kundennummer",
    "purchased_at": "Kaufdatum",
    "price": "Verkaufspreis",
    "list_price": "Listenpreis",
    "kind": "Vorgangsart",
    "basket_id": "Bonnummer",
    "reference": "Artikelnummer",
    "phone": "Telefon",
    "email": "E-Mail",
}


def outlet(folder: Path, more: str = "", **columns: str) -> OutletFile:
    """An outlet with a German ledger, and settings that read it."""
    if not (folder / "verkauf.csv").exists():
        german_csv(folder / "verkauf.csv", SALES)
    lines = "\n".join(f'{name} = "{own}"' for name, own in {**COLUMNS, **columns}.items())
    (folder / "escapement.toml").write_text(GERMAN.format(more=more, columns=lines))
    return OutletFile.read(folder / "escapement.toml")


def spoil(folder: Path, *changes: tuple[int, str, str]) -> None:
    """Writes other cells into the ledger: row, own column, cell."""
    lines = (folder / "verkauf.csv").read_text("latin-1").split("\n")
    for row, column, cell in changes:
        cells = lines[row].split(";")
        cells[HEADER.index(column)] = cell
        lines[row] = ";".join(cells)
    (folder / "verkauf.csv").write_text("\n".join(lines), "latin-1")


def run(home: Path, *options: str, code: int) -> str:
    """What `check` prints, with the exit code it must end with."""
    arguments = ["--home", str(home), *options]
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


# --- what is reported -----------------------------------------------------------------------------


def test_a_sound_ledger_is_reported_by_column(tmp_path: Path) -> None:
    outlet(tmp_path)
    said = run(tmp_path, code=0)
    assert "400 rows = 400 used + 0 left out by date + 0 in quarantine" in said
    assert "380 purchase, 20 return" in said
    report = json.loads(run(tmp_path, "--json", code=0))
    columns = {one["column"]: one for one in report["columns"]}
    assert columns["purchased_at"]["range"] == ["2026-01-05", "2026-04-15"]
    assert columns["price"]["range"] == [44.55, 12500.75]
    assert columns["phone"]["range"] is None
    customers = len({sale.customer for sale in SALES})
    assert columns["phone"]["usable"] == [customers, customers]
    assert {column["filled"] for column in columns.values()} == {400}


def test_what_is_allowed_and_looks_like_a_mistake_is_noted(tmp_path: Path) -> None:
    mistakes = ("is it a key of its own for every row", "and left out")
    outlet(tmp_path)
    assert not any(words in run(tmp_path, code=0) for words in mistakes)
    outlet(tmp_path, line_id="Bonnummer")
    assert mistakes[0] in " ".join(run(tmp_path, code=0).split())
    outlet(tmp_path)
    place = tmp_path / "escapement.toml"
    few = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 4, 10)).days  # of January to mid April
    place.write_text(place.read_text().replace("keep_days = 36500", f"keep_days = {few}"))
    assert mistakes[1] in " ".join(run(tmp_path, code=0).split())


def test_a_day_after_today_is_doubted(tmp_path: Path) -> None:
    outlet(tmp_path)
    spoil(tmp_path, (3, "Kaufdatum", "31.12.2099"))
    assert "far-days: [ledger] 1 row is dated after today" in run(tmp_path, code=10)


def test_bad_cells_are_named_with_row_column_reason_and_cell(tmp_path: Path) -> None:
    outlet(tmp_path)
    spoil(
        tmp_path,
        (3, "Kaufdatum", "31.02.2026"),
        (4, "Verkaufspreis", "k.A."),
        (5, "Vorgangsart", "XX"),
        (6, "Kundennummer", ""),
        (7, "Kaufdatum", ""),
        (7, "Verkaufspreis", "5.00"),
    )
    said = run(tmp_path, code=0)
    for line in (
        "verkauf.csv, line 4, Kaufdatum (purchased_at): not readable; expected a date",
        "as %d.%m.%Y: like 99.99.9999",
        "line 5, Verkaufspreis (price): not readable",
        "expected an amount such as 1234,50: like x.x.",
        "verkauf.csv, line 8, Kaufdatum (purchased_at): empty",
        "line 8, Verkaufspreis (price): not readable",
        "expected an amount such as 1234,50: like 9.99",
    ):
        assert line in said
    assert "declined: 'XX'" in said
    assert "400 rows = 395 used + 1 of walk-ins + 0 left out by date + 4 in quarantine" in said


def test_ten_bad_cells_of_a_column_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    outlet(tmp_path, "most_quarantined = 0.5")
    spoil(tmp_path, *((row, "Kaufdatum", "gestern") for row in range(1, 14)))
    said = run(tmp_path, code=0)
    assert said.count("verkauf.csv, line ") == 10
    assert "... and 3 more" in said


def test_records_that_are_no_rows_are_counted_and_named(tmp_path: Path) -> None:
    outlet(tmp_path)
    with (tmp_path / "verkauf.csv").open("ab") as file:
        file.write(b"zu;kurz\r\n\r\n" + b"K0001" + b";" * 20 + b"x\r\n")
    said = run(tmp_path, code=0)
    assert "402 rows = 400 used + 0 left out by date + 2 in quarantine" in said
    assert "verkauf.csv, line 402: got 2 cells" in said


def test_too_many_bad_rows_have_an_exit_code_of_their_own(tmp_path: Path) -> None:
    outlet(tmp_path)
    spoil(tmp_path, *((row, "Kaufdatum", "31.02.2026") for row in range(1, 10)))
    assert "a night would not start" in run(tmp_path, code=8)
    outlet(tmp_path, "most_quarantined = 0.03")
    run(tmp_path, code=0)


def test_rows_older_than_is_kept_are_left_out(tmp_path: Path) -> None:
    german_csv(tmp_path / "verkauf.csv", SALES)
    found = dry_run(outlet(tmp_path), AT)
    assert found.intake.left_out == 0
    some = outlet(tmp_path).model_copy(update={"keep_days": 60})
    found = dry_run(some, AT)
    first = AT.date() - dt.timedelta(days=60)
    assert found.intake.left_out == sum(sale.day < first for sale in SALES) > 0
    assert found.problems == []
    found = dry_run(outlet(tmp_path).model_copy(update={"keep_days": 1}), AT)
    assert found.intake.used == 0
    assert "keep_days = 1" in found.problems[0]


def test_the_later_of_two_rows_of_a_line_stands(tmp_path: Path) -> None:
    settings = outlet(tmp_path, line_id="Bonnummer")
    found = dry_run(settings, AT)
    lines = {sale.number // 2 for sale in SALES}
    assert found.intake.superseded == len(SALES) - len(lines)
    assert found.intake.used == len(lines)


def test_without_settings_it_says_how_to_make_some(tmp_path: Path) -> None:
    assert "escapement-outlet init" in run(tmp_path, code=6)


def test_nothing_is_written(tmp_path: Path) -> None:
    outlet(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run(tmp_path, code=0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (
            {"price": "Preis"},
            (
                "no heading 'Preis' (price): what was paid for the row, net; below zero for a "
                "return; `Verkaufspreis` sounds like it, and its cells look like it"
            ),
        ),
        ({"kind": "Artikelnummer"}, "no row can be used"),
    ],
)
def test_a_mapping_that_does_not_fit_is_a_problem(
    tmp_path: Path, columns: dict[str, str], why: str
) -> None:
    outlet(tmp_path, **columns)
    assert why in run(tmp_path, code=1)


def test_a_ledger_without_phone_and_email_needs_a_client_book(tmp_path: Path) -> None:
    outlet(tmp_path, phone="Telefon")
    text = (tmp_path / "escapement.toml").read_text()
    lines = [line for line in text.split("\n") if not line.startswith(("phone", "email"))]
    (tmp_path / "escapement.toml").write_text("\n".join(lines))
    assert "nobody can be recognised" in run(tmp_path, code=1)


# --- the other tables -----------------------------------------------------------------------------

REFERENCES = "reference,tier\n" + "".join(
    f"{reference},{tier}\n"
    for reference, tier in zip(
        sorted({sale.reference for sale in SALES}),
        ["open", "limited", "allocation"] * 9,
        strict=False,
    )
)


def test_references_in_no_tier_are_named_and_their_rows_quarantined(tmp_path: Path) -> None:
    first, *others = REFERENCES.split("\n")[1:]
    (tmp_path / "r.csv").write_text("\n".join(["reference,tier", *others]))
    settings = outlet(tmp_path, 'references = "r.csv"\nmost_quarantined = 0.9')
    found = dry_run(settings, AT)
    missing = first.split(",")[0]
    rows = sum(sale.reference == missing for sale in SALES)
    assert found.unknown == {missing: rows}
    assert found.intake.quarantined == rows
    assert f"In no tier: '{missing}' ({rows} rows)" in run(tmp_path, code=0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "reference,tier\nA1,golden\n",
            "row 1, column tier: expected one of open",
        ),
        ("reference,tier\nA1,open\nA1,open\n", "row 2, column reference: empty, or named twice"),
        ("reference,step\nA1,open\n", "column tier: missing"),
        ("reference,tier\nA1,open\n,open\n", "row 2, column reference: empty"),
    ],
)
def test_references_that_a_night_would_refuse_are_a_problem(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "r.csv").write_text(text)
    outlet(tmp_path, 'references = "r.csv"\nmost_quarantined = 1')
    assert why in run(tmp_path, code=1)


def test_sightings_of_nobody_are_counted(tmp_path: Path) -> None:
    seen = "serial,seen_at,status\nB10,2026-05-01,confirmed\nnever,2026-05-01,confirmed\n"
    (tmp_path / "s.csv").write_text(seen + "B10,2026-01-01,suspected\n")
    settings = outlet(tmp_path, 'sightings = "s.csv"', serial="Bonnummer")
    found = dry_run(settings, AT)
    assert found.apart is not None
    assert found.apart["never sold here"] == 1
    assert found.apart["seen before its sale"] == 1
    assert "1 never sold here" in run(tmp_path, code=0)
    (tmp_path / "s.csv").write_text("serial,seen_at,status\nB10,1.5.2026,sold\n")
    said = run(tmp_path, code=1)
    assert "sightings: s.csv, row 1, column seen_at: " in said


def test_customers_that_the_client_book_does_not_know_are_counted(tmp_path: Path) -> None:
    known = sorted({sale.customer for sale in SALES})[:-3]
    rows = "".join(f"K{one:04},+4144668{one:04},\n" for one in known)
    (tmp_path / "c.csv").write_text("customer_id,phone,email\n" + rows)
    outlet(tmp_path, 'clients = "c.csv"')
    assert "3 of " in run(tmp_path, code=0)
    (tmp_path / "c.csv").write_text("customer_id,phone,email\n1,+41446680101,\n")
    assert "customers of the ledger are not in it" in run(tmp_path, code=1)


def test_one_table_that_is_missing_does_not_hide_the_others(tmp_path: Path) -> None:
    outlet(tmp_path, 'sightings = "none.csv"\npolicy = "none.toml"')
    said = run(tmp_path, code=1)
    assert "400 rows = 400 used" in said
    assert "sightings: " in said
    assert "policy: " in said


# --- nobody is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("canonical", sorted({*COLUMNS, "serial", "line_id", "outlet_id"}))
@pytest.mark.parametrize("own", ["Name", "Telefon", "E-Mail", "Verkäufer"])
def test_whatever_is_mapped_to_whatever_no_person_is_printed(
    tmp_path: Path, canonical: str, own: str
) -> None:
    outlet(tmp_path, **{canonical: own})
    said = CliRunner().invoke(APP, ["--home", str(tmp_path)], catch_exceptions=False).output
    told = CliRunner().invoke(APP, ["--home", str(tmp_path), "--json"], catch_exceptions=False)
    assert json.loads(told.output)["counts"]["rows"] == len(SALES)
    people = {cell for sale in SALES for cell in (sale.phone, sale.email, sale.name)}
    assert not [cell for cell in {*people, "Jürg", "Zoë", "Müller"} if cell in said + told.output]


def test_a_ledger_without_a_header_is_refused_without_its_first_row(tmp_path: Path) -> None:
    outlet(tmp_path)
    rows = (tmp_path / "verkauf.csv").read_bytes().split(b"\r\n")[1:]
    (tmp_path / "verkauf.csv").write_bytes(b"\r\n".join(rows))
    said = run(tmp_path, code=1)
    assert "the first line is a row" in said
    assert SALES[0].name not in said
    assert SALES[0].email not in said


@pytest.mark.parametrize("cell", ["+41 79 123 45 67", "Mei Lin", "a@b.c", "31.02.2026"])
@pytest.mark.parametrize("column", ["purchased_at", "price", "list_price"])
def test_of_a_day_or_an_amount_its_shape_is_shown(column: str, cell: str) -> None:
    said = shown(Column(column, 1, some_good=True), cell)
    assert said is not None
    assert re.fullmatch(r"like [x9 @./+-]+", said)
    assert len(said) == len("like ") + len(cell)


@given(st.text(), st.sampled_from(["kind", "is_return", "price", "purchased_at", "phone", ""]))
def test_a_cell_that_could_be_a_person_is_never_shown_as_it_is(cell: str, column: str) -> None:
    found = shown(Column(column, 1, some_good=True), f"{cell}@")
    if found is None:
        return
    assert found.startswith("like ")
    assert not any(letter.isalnum() and letter not in "x9" for letter in found[5:])


@pytest.mark.parametrize("column", ["customer_id", "phone", "email", "basket_id", "", "reference"])
def test_of_other_columns_nothing_is_shown(column: str) -> None:
    assert shown(Column(column, 1, some_good=True), "31.02.2026") is None


@pytest.mark.parametrize("cell", ["Umtausch", "XX", "r"])
def test_codes_are_shown(cell: str) -> None:
    assert shown(Column("kind", 3, some_good=True), cell) == repr(cell)


def test_codes_are_not_shown_of_a_column_that_holds_none() -> None:
    assert shown(Column("kind", 3, some_good=False), "Müller") == "like xxxxxx"
    assert shown(Column("kind", 300, some_good=True), "Müller") == "like xxxxxx"


def test_a_reference_is_shown_unless_it_could_be_a_person() -> None:
    for reference in (
        "116610LN", "210.30.42", "210.30.42.20.01.001", "5711/1A-010", "M126610LN-0001",
    ):  # fmt: skip
        assert reference_shown(reference) == f"'{reference}'"
    for person in (
        "Mei Lin", "+65 8123 4567", "81234567", "06.12.34.56.78", "210-30-42", "030/123456",
        "tel 8123 4567", "S1234567D", "mei2@shop.example", "+1.23.45",
    ):  # fmt: skip
        assert (
            reference_shown(person)
            == f"like {re.sub('[a-zA-Z]', 'x', re.sub('[0-9]', '9', person))}"
        )


# --- as a first night counts ----------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", ""]),
        st.sampled_from(["2026-05-01", "2020-05-01", "1.5.2026", ""]),
        st.sampled_from(["5", "-5", "x", "1e12", ""]),
        st.sampled_from(["purchase", "return", "?", ""]),
        st.sampled_from(["l1", "l2", "l3", ""]),
        st.sampled_from(["", ",too many", '"']),
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS, st.booleans())
def test_rows_are_counted_as_a_first_night_counts_them(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    lines: bool,  # noqa: FBT001  (Hypothesis gives arguments by position)
) -> None:
    home = tmp_path_factory.mktemp("night")
    text = "".join(f"{','.join(row[:5])}{row[5]}\n" for row in rows)
    line = "line_id" if lines else "line"
    (home / "l.csv").write_text(f"customer_id,purchased_at,price,kind,{line}\n{text}")
    (home / "escapement.toml").write_text('ledger = "l.csv"\n')
    outlet_file = OutletFile.read(home / "escapement.toml")
    found = dry_run(outlet_file, AT).intake
    assert found == EventStore(home).take_in(outlet_file, AT)
    assert found.rows == found.accounted
