"""One person, several entries of a client book: who is joined, by what, and who decides."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

from features.errors import LedgerError
from outlet_client.database import create_databases
from outlet_client.main import app
from outlet_client.people.client_book import client_book, identifiers_of, refresh_clients
from outlet_client.people.client_entries import note_entries
from outlet_client.people.consents import Recorded
from outlet_client.people.duplicates import DecisionRefused, decide, pairs
from outlet_client.people.people_store import People
from outlet_client.people.record_linkage import (
    MOST_SHARING,
    ClientEntry,
    Pair,
    Shared,
    link_entries,
)
from outlet_client.settings import OutletFile
from privacy.identity import PartyKind
from privacy.keyring import Keyring
from tests.builders import outlet_at
from tests.outlet_client.client_book_outlet import (
    NOON,
    ONE,
    THREE,
    TWO,
    Boutique,
    Row,
    X,
    Y,
    boutique,
)
from tests.outlet_client.consent_imports import import_consents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["boutique"]


def grouped(
    rows: Iterable[Row], **decided: list[tuple[str, str]]
) -> tuple[dict[str, str], set[str]]:
    found = link_entries([ClientEntry(*row) for row in rows], **decided)
    return dict(found.persons), set(found.contested)


def test_entries_that_share_one_identifier_and_contradict_in_none_are_one_person() -> None:
    rows: list[Row] = [
        ("a", "1", "x"),
        ("b", "1", None),
        ("c", "2", "y"),
        ("d", None, "y"),
        ("e", "3", "z"),
    ]
    assert grouped(rows) == ({"a": "a", "b": "a", "c": "c", "d": "c"}, set())


@pytest.mark.parametrize(
    ("rows", "shared", "contested"),
    [
        ([("a", "1", "x"), ("b", "1", "y")], Shared.PHONE, "1"),
        ([("a", "1", "x"), ("b", "2", "x")], Shared.EMAIL, "x"),
    ],
)
def test_entries_that_share_one_identifier_and_differ_in_the_other_are_for_a_person(
    rows: list[Row], shared: Shared, contested: str
) -> None:
    found = link_entries([ClientEntry(*row) for row in rows])
    assert found.pairs == (Pair("a", "b", shared),)
    assert found.contested == {contested}
    assert not found.persons


def test_a_chain_whose_ends_contradict_is_not_joined_anywhere() -> None:
    rows: list[Row] = [("a", "1", "x"), ("b", "1", None), ("c", "1", "y")]
    found = link_entries([ClientEntry(*row) for row in rows])
    assert not found.persons
    assert found.contested == {"1"}
    assert {(p.one, p.other): p.shared for p in found.pairs} == {
        ("a", "c"): Shared.PHONE, ("a", "b"): Shared.CHAIN, ("b", "c"): Shared.CHAIN,
    }  # fmt: skip
    long: list[Row] = [("a", "1", None), ("b", "1", "x"), ("c", None, "x"), ("d", "2", "x")]
    assert grouped(long) == ({}, {"1", "x"})


def test_entries_alike_in_both_stay_one_person_whoever_else_has_their_phone() -> None:
    rows: list[Row] = [("a", "1", "x"), ("b", "1", "x"), ("c", "1", "y")]
    assert grouped(rows) == ({"a": "a", "b": "a"}, {"1"})


def test_what_too_many_share_is_nobodys() -> None:
    few: list[Row] = [(f"c{n}", "1", None) for n in range(MOST_SHARING)]
    assert set(grouped(few)[0].values()) == {"c0"}
    many: list[Row] = [*few, ("last", "1", None)]
    assert grouped(many) == ({}, {"1"})
    twins: list[Row] = [(f"c{n}", "1", "none@x") for n in range(MOST_SHARING + 1)]
    assert grouped(twins) == ({}, {"1", "none@x"})


def test_a_decision_joins_or_parts_and_what_is_shared_by_the_parted_is_nobodys() -> None:
    rows: list[Row] = [("a", "1", "x"), ("b", "1", "y"), ("c", "2", "y")]
    same = link_entries([ClientEntry(*row) for row in rows], same=[("a", "b")])
    assert dict(same.persons) == {"a": "a", "b": "a", "c": "a"} or same.contested == {"y"}
    parted = link_entries([ClientEntry(*row) for row in rows], different=[("a", "b"), ("b", "c")])
    assert not parted.persons
    assert not parted.pairs
    assert parted.contested == {"1", "y"}
    agreeing: list[Row] = [("a", "1", None), ("b", "1", None), ("c", "1", None)]
    assert grouped(agreeing, different=[("a", "b")]) == ({}, {"1"})


def test_those_who_share_only_what_is_contested_are_not_joined_by_decisions_on_others() -> None:
    rows: list[Row] = [("a", "1", None), ("b", "1", None), ("c", "1", None)]
    found = link_entries([ClientEntry(*row) for row in rows], different=[("a", "b"), ("b", "c")])
    assert not found.persons
    assert found.pairs == (Pair("a", "c", Shared.CHAIN),)


def test_a_customer_keeps_the_identifier_that_is_not_contested(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y), ("c", ONE, None), ("d", "12", ""))
    book = boutique.book()
    assert dict(book.customers.iter_rows()) == {"a": boutique.key(X), "b": boutique.key(Y)}
    assert (book.left_out, book.ambiguous) == (2, 3)
    assert boutique.people.keys_of(boutique.key(ONE)) == (boutique.key(ONE),)
    assert boutique.people.customers_of(boutique.key(ONE)) == ()
    assert boutique.people.keys_of(boutique.key(X)) == (boutique.key(X),)


def test_a_person_is_found_by_any_of_their_keys_and_counts_under_the_one_that_stands(
    boutique: Boutique,
) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, None))
    assert boutique.keys() == dict.fromkeys("ab", boutique.key(ONE))
    assert boutique.people.keys_of(boutique.key(X)) == (boutique.key(ONE), boutique.key(X))
    assert boutique.people.customers_of(boutique.key(X)) == ("a", "b")
    assert not boutique.stands(ONE)
    boutique.consents(X)
    assert boutique.keys() == dict.fromkeys("ab", boutique.key(X))
    assert boutique.stands(ONE)


def test_a_consent_goes_to_the_key_that_stands_already_and_comes_first(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    assert boutique.consents(X) is Recorded.NEW
    assert boutique.people.consents()["key"].unique().to_list() == [boutique.key(ONE)]
    assert sum(boutique.people.counts().values()) == 1


def test_a_consent_with_both_identifiers_counts_for_the_one_that_is_not_contested(
    boutique: Boutique, tmp_path: Path
) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y))
    file = tmp_path / "consents.csv"
    file.write_text(
        f"phone,email,notice,recorded_at,recorded_by\n{ONE},{X},2026-03,2026-02-01,mei\n"
    )
    for expected in (Recorded.NEW, Recorded.ALREADY):
        assert import_consents(file, boutique.people, "SG", NOON)[expected] == 1
    assert boutique.people.without_token() == [boutique.key(X)]
    assert boutique.stands(X)
    assert not boutique.stands(Y)


def test_nobody_is_introduced_under_a_phone_that_became_contested(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X))
    boutique.consents(ONE)
    assert boutique.people.without_token() == [boutique.key(ONE)]
    boutique.has(("a", ONE, X), ("b", ONE, Y))
    assert boutique.people.without_token() == []
    assert boutique.keys() == {"a": boutique.key(X), "b": boutique.key(Y)}


def test_decisions_are_kept_with_a_name_and_hold_at_once(boutique: Boutique) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y), ("c", ONE, None))
    assert len(pairs(boutique.people)) == 3
    decide(boutique.people, "a", "b", same=False, by="Mei Lin")
    assert len(pairs(boutique.people)) == 2
    decide(boutique.people, "b", "c", same=True, by="Mei Lin")
    assert boutique.joined("b", "c")
    assert not boutique.joined("a", "b")
    assert len(pairs(boutique.people)) == 0
    assert boutique.people.customers_of(boutique.key(ONE)) == ()
    with pytest.raises(DecisionRefused, match="would make a and b one person"):
        decide(boutique.people, "a", "c", same=True, by="Mei Lin")
    decide(boutique.people, "a", "b", same=True, by="Mei Lin")
    decide(boutique.people, "a", "c", same=True, by="Mei Lin")
    assert boutique.joined("a", "c")
    assert boutique.people.customers_of(boutique.key(ONE)) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("one", "other", "by", "why"),
    [
        ("a", "b", " ", "got no name"),
        ("a", "a", "Mei", "two customers"),
        ("a", "who", "Mei", "customer who: not in the client book"),
    ],
)
def test_a_decision_without_a_name_or_about_nobody_is_refused(
    boutique: Boutique, one: str, other: str, by: str, why: str
) -> None:
    boutique.has(("a", ONE, X), ("b", ONE, Y))
    with pytest.raises(DecisionRefused, match=why):
        decide(boutique.people, one, other, same=True, by=by)


def test_nothing_that_was_typed_is_stored(tmp_path: Path) -> None:
    boutique = Boutique(outlet_at(tmp_path))
    boutique.has(("a", "8111 0001", X), ("b", "+65 8111 0001", None))
    boutique.consents(ONE, X)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert boutique.key(ONE).encode() in stored
    for typed in (b"8111", b" 0001", b"10001", b"example.com"):
        assert typed not in stored


class Files:
    """An outlet whose client book is a file."""

    def __init__(self, folder: Path) -> None:
        self.people = People("sqlite://", b"s" * 32)
        self.file = folder / "clients.csv"
        ledger, book = str(folder / "none.csv"), str(self.file)
        self.settings = OutletFile(region="SG", ledger=ledger, clients=book)
        self.versions = 0

    def writes(self, text: str) -> None:
        self.file.write_text(text)
        self.versions += 1
        os.utime(self.file, (self.versions, self.versions))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_client_book_is_read_again_only_if_its_file_changed(files: Files) -> None:
    files.writes("customer_id,phone,email\na,81110001,\nb,,x@example.com\n")
    assert refresh_clients(files.settings, files.people) == 2
    stat = files.file.stat()
    files.file.write_text("customer_id,phone,email\na,81110009,\nb,,x@example.com\n")
    os.utime(files.file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size, too
    assert refresh_clients(files.settings, files.people) == 0
    files.writes("customer_id,phone,email\na,81110001,\nc,81110001,\n")
    assert refresh_clients(files.settings, files.people) == 1
    book = client_book(files.settings, files.people)
    key = files.people.local_key(f"tel:{ONE}")
    assert dict(book.customers.iter_rows()) == {"a": key, "c": key}
    assert refresh_clients(files.settings.model_copy(update={"region": "US"}), files.people) == 2


def test_identifiers_are_found_for_the_keys_that_need_them_and_no_others(files: Files) -> None:
    files.writes("customer_id,phone,email\na,8111 0001,X@example.com\nb,81110002,\nb,81110003,\n")
    client_book(files.settings, files.people)
    keys = {who: files.people.local_key(who) for who in (f"tel:{THREE}", f"mailto:{X}", "tel:+1")}
    found = identifiers_of(files.settings, files.people, list(keys.values()))
    assert found == {keys[who]: who for who in (f"tel:{THREE}", f"mailto:{X}")}
    files.file.unlink()
    assert identifiers_of(files.settings, files.people, []) == {}


def test_a_client_book_without_a_customer_or_any_identifier_column_is_named(files: Files) -> None:
    files.writes("customer,phone\na,81110001\n")
    with pytest.raises(LedgerError, match="customer_id: missing"):
        client_book(files.settings, files.people)
    files.writes("customer_id,name\na,b\n")
    with pytest.raises(LedgerError, match="phone: missing, and email too"):
        client_book(files.settings, files.people)
    files.writes("customer_id,email\na,x@example.com\n")
    assert len(client_book(files.settings, files.people).customers) == 1


def test_a_record_that_is_no_row_is_left_out_and_said_without_its_cells(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.writes("customer_id,phone,email\na,81110001,\nb,81110002,b,who,what\n")
    assert len(client_book(files.settings, files.people).customers) == 1
    assert "since they are no rows: 1; the first is row 2: got 5 cells" in caplog.text
    assert "8111" not in caplog.text


def test_a_client_book_takes_the_ledgers_place_and_gives_it_back(files: Files) -> None:
    frame = pl.DataFrame({"customer_id": ["l"], "phone": [TWO]})
    with files.people.transaction() as connection:
        note_entries(connection, frame, files.people.local_key, "SG")
    files.writes("customer_id,phone\na,81110001\n")
    ledger = files.settings.model_copy(update={"clients": None})
    for _ in range(2):
        assert client_book(files.settings, files.people).customers["customer"].to_list() == ["a"]
        assert client_book(ledger, files.people).customers["customer"].to_list() == ["l"]


def test_a_ledger_of_which_nothing_was_noted_is_no_client_book(files: Files) -> None:
    ledger = files.settings.model_copy(update={"clients": None})
    with pytest.raises(LedgerError, match=r"phone: missing, and email too"):
        client_book(ledger, files.people)


def test_the_command_lists_pairs_by_customer_id_and_keeps_a_decision(tmp_path: Path) -> None:
    Keyring(tmp_path, PartyKind.OUTLET).create("boutique", "", NOON)
    create_databases(tmp_path)
    (tmp_path / "clients.csv").write_text(
        "customer_id,phone,email\nA[1],81110001,x@example.com\nB2,81110001,y@example.com\n"
    )
    (tmp_path / "escapement.toml").write_text(
        'region = "SG"\nledger = "none.csv"\nclients = "clients.csv"\n'
    )
    home = ["--home", str(tmp_path)]
    runner = CliRunner()
    listed = runner.invoke(app, ["duplicates", *home], terminal_width=200)
    assert "A[1]  B2  share a phone, their e-mails differ" in listed.output
    assert "8111" not in listed.output
    assert "example.com" not in listed.output
    as_json = json.loads(runner.invoke(app, ["duplicates", "--json", *home]).output)
    assert as_json == {"ambiguous": 1, "pairs": [{"one": "A[1]", "other": "B2", "share": "phone"}]}
    nameless = runner.invoke(app, ["duplicates-decide", "A[1]", "B2", "--same", "--by", "", *home])
    assert nameless.exit_code == 1
    decision = ["duplicates-decide", "A[1]", "B2", "--same", "--by", "Mei Lin", *home]
    assert runner.invoke(app, decision).exit_code == 0
    assert "No pairs wait" in runner.invoke(app, ["duplicates", *home]).output
