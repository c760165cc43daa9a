"""Who of a client book can be recognised, and every row of which nobody can."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest

from outlet_client.commands.identifier_list import list_identifiers
from outlet_client.errors import NotConfigured
from outlet_client.people.book_reading import (
    CONTESTED,
    CROWD,
    SHARED,
    identifier_tally,
    read_book,
    useless_identifiers,
)
from outlet_client.people.client_book import client_book
from outlet_client.people.identifier_flaws import Flaw
from outlet_client.people.people_store import People
from outlet_client.people.record_linkage import MOST_SHARING, ClientEntry, link_entries
from outlet_client.settings import OutletFile
from outlet_client.sources.customer_keys import SECRET_FILE, ensure_secret, stored_key
from outlet_client.sources.source import Source

EXPORTS = Path(__file__).parent.parent / "exports"


def _source(place: Path, *rows: str, **settings: object) -> Source:
    place.write_text("\n".join(("Kundennr,Handy,Mail", *rows)) + "\n")
    columns = {"customer_id": "Kundennr", "phone": "Handy", "email": "Mail"}
    return Source(source=str(place), columns=columns, **settings)


def _listed(source: Source, region: str | None = "SG", *nobody: str) -> list[tuple[int, str, str]]:
    found = useless_identifiers(source, region, nobody)
    return [(row, column, reason) for _, row, column, reason in found.iter_rows()]


def test_every_unusable_cell_of_an_export_is_listed_by_row_without_being_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = OutletFile(ledger=str(EXPORTS / "small_ph.csv"), region="SG")
    list_identifiers(settings, as_json=False)
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["row"], row["column"]) for row in rows] == [
        ("1", "phone"), ("2", "phone"), ("5", "phone"), ("11", "phone"), ("12", "phone"),
        ("14", "phone"), ("15", "phone"), ("15", "email"), ("16", "phone"), ("16", "email"),
        ("17", "email"),
    ]  # fmt: skip
    assert {row["file"] for row in rows} == {"small_ph.csv"}
    assert rows[0]["reason"] == Flaw.SCIENTIFIC
    for piece in ("8123", "9999", "wife", "none.com", "x.com"):
        assert piece not in text
    list_identifiers(settings, as_json=True)
    as_json = json.loads(capsys.readouterr().out)
    assert [{name: str(cell) for name, cell in row.items()} for row in as_json] == rows


@pytest.mark.parametrize(
    ("file", "delimiter", "columns", "region", "unusable"),
    [
        ("small_defloat.csv", ";", {"customer_id": "Kundennr", "phone": "Telefon",
         "email": "E-Mail"}, "DE", [(1, "E-Mail"), (3, "E-Mail")]),
        ("small_emails.csv", ",", {}, "SG", [(1, "email"), (2, "email"), (3, "email")]),
        ("small_hk.csv", ",", {}, None, [(1, "phone"), (2, "phone"), (3, "phone")]),
        ("small_hk.csv", ",", {}, "HK", []),
    ],
)  # fmt: skip
def test_placeholders_and_phones_without_a_country_of_the_exports_identify_nobody(
    file: str,
    delimiter: str,
    columns: dict[str, str],
    region: str | None,
    unusable: list[tuple[int, str]],
) -> None:
    source = Source(source=str(EXPORTS / file), delimiter=delimiter, columns=columns)
    assert [(row, column) for row, column, _ in _listed(source, region)] == unusable


def test_what_many_customers_share_is_listed_and_counted_by_the_rule_that_contests_it(
    tmp_path: Path,
) -> None:
    few = [f"c{n},8123 4567," for n in range(MOST_SHARING)]
    assert _listed(_source(tmp_path / "few.csv", *few)) == []
    source = _source(tmp_path / "many.csv", *few, "last,+65 81234567,anna@x.com")
    assert _listed(source) == [(row, "Handy", SHARED) for row in range(1, MOST_SHARING + 2)]
    tally = identifier_tally(read_book(source).rows, "phone", "SG", 100)
    assert (tally.shared, tally.sharing, tally.different, tally.usable) == (
        1,
        MOST_SHARING + 1,
        2,
        2,
    )
    two = _source(tmp_path / "two.csv", "a,81234567,a@x.com", "b,81234567,b@x.com")
    assert _listed(two) == [(1, "Handy", CONTESTED), (2, "Handy", CONTESTED)]


def test_a_customer_of_many_phones_is_no_person_and_theirs_are_nobodys(tmp_path: Path) -> None:
    cash = [f"CASH,8123 456{n},{'anna@x.com' if n == 3 else ''}" for n in range(MOST_SHARING + 1)]
    found = link_entries(
        [*(ClientEntry("CASH", str(n), None) for n in range(MOST_SHARING + 1)),
         ClientEntry("anna", "3", "a"), ClientEntry("ben", "4", "b")]
    )  # fmt: skip
    assert not found.persons
    assert found.contested == {str(n) for n in range(MOST_SHARING + 1)}
    source = _source(tmp_path / "cash.csv", *cash, "anna,8123 4563,anna@x.com")
    listed = _listed(source)
    assert {reason for *_, reason in listed} == {CROWD}
    assert [row for row, column, _ in listed if column == "Handy"] == list(range(1, 11))
    assert _listed(source, "SG", "cash") == []


def test_who_stands_for_nobody_is_no_entry_of_the_client_book(tmp_path: Path) -> None:
    _source(tmp_path / "clients.csv", " Cash ,8123 4567,", "a,8123 4567,", "b,8123 4568,")
    columns = {"customer_id": "Kundennr", "phone": "Handy", "email": "Mail"}
    clients = {"source": str(tmp_path / "clients.csv"), "columns": columns}
    ledger = {"source": str(tmp_path / "ledger.csv"), "walk_ins": ["CASH"]}
    people = People("sqlite://", b"s" * 32)
    book = client_book(OutletFile(ledger=ledger, clients=clients, region="SG"), people)
    assert book.customers["customer"].to_list() == ["a", "b"]
    assert people.customers_of(people.local_key("tel:+6581234567")) == ("a",)
    before = client_book(OutletFile(ledger="l.csv", clients=clients, region="SG"), people)
    assert set(before.customers["customer"]) == {"a", "Cash", "b"}


def test_a_mailbox_as_key_is_stored_hashed_and_not_at_all_without_the_outlets_secret(
    tmp_path: Path,
) -> None:
    (tmp_path / "clients.csv").write_text("customer_id,phone\nJane@X.com,+6581234567\n")
    text = 'ledger = "l.csv"\nclients = "clients.csv"\n'
    (tmp_path / "escapement.toml").write_text(text)
    settings = OutletFile.read(tmp_path / "escapement.toml")
    people = People("sqlite://", b"s" * 32)
    with pytest.raises(NotConfigured, match=r"customer-keys\.secret"):
        client_book(settings, people)
    ensure_secret(tmp_path)
    for _ in range(2):
        [customer] = client_book(settings, people).customers["customer"]
        assert customer == stored_key(tmp_path, " jane@x.com")
    (tmp_path / SECRET_FILE).write_text("a5" * 32)
    [customer] = client_book(settings, people).customers["customer"]
    assert customer == stored_key(tmp_path, "jane@x.com")


def test_all_bad_rows_of_a_client_book_are_told_at_once_by_their_headings(tmp_path: Path) -> None:
    source = _source(
        tmp_path / "clients.csv",
        "a,8123 4567,",
        ",8123 4568,",
        "6.58E+09,8123 4569,",
        ",,",
        "b,1,2,3",
    )
    book = read_book(source)
    assert book.rows["customer_id"].to_list() == ["a"]
    assert [(row, column) for _, row, column, _ in book.bad.iter_rows()] == [
        (2, "Kundennr"), (3, "Kundennr"), (5, ""),
    ]  # fmt: skip
    assert not any("8123" in reason for reason in book.bad["reason"])
    assert book.apart == {"blank": 1}
    assert book.missing(pl.Series(["a", "b", "c"])) == 2


def test_a_tally_counts_the_customers_of_each_flaw_and_looks_at_what_many_have_first() -> None:
    cells = pl.DataFrame(
        {
            "customer_id": ["a", "b", "b", "c", "d"],
            "phone": ["00000000", "00000000", "00000000", "8123 4567", "+65 8123 4568"],
        }
    )
    tally = identifier_tally(cells, "phone", None, 100)
    assert tally.flaws == {Flaw.PLACEHOLDER_PHONE: 2, Flaw.NO_COUNTRY: 1}
    assert (tally.placeholders, tally.usable, tally.different) == (2, 1, 3)
    assert identifier_tally(cells, "phone", None, 1).flaws == {Flaw.PLACEHOLDER_PHONE: 2}
