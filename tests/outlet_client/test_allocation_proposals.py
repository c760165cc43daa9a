"""Proposals of an outlet: bands that they read, what they say, and reruns of what was kept."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from outlet_client.allocation.waitlist import NO_BOOK_YET
from outlet_client.bands.lookup import MANY_OUTLETS, NO_BANDS_YET
from outlet_client.people.directory_files import keep_directory
from tests.outlet_client.waiting_customers import (
    AS_OF,
    LOOK,
    PHONES,
    SETTINGS,
    Boutique,
    allowed,
    boutique,
    order_of,
    proposed,
)
from tests.shelves import make_directory

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["boutique"]


def test_the_pieces_are_proposed_from_the_local_book_and_newcomers_are_never_refused(
    boutique: Boutique,
) -> None:
    found = boutique.allocate()
    assert order_of(found) == "cbedfghia"
    assert proposed(found) == "cb"
    lines = {line["customer"]: line for line in found["lines"]}
    assert lines["c"]["eligibility"] == "priority"
    assert lines["a"]["decision"] == "not yet"
    without = {
        "g": "consent needed",
        "h": "not in the network",
        "i": "no usable phone or e-mail in the client book",
    }
    for name, why in without.items():
        assert lines[name]["no_band"] == why
        assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
        assert lines[name]["decision"] == lines["f"]["decision"] == "manager decides"
    assert (found["book_version"], found["book_as_of"]) == (7, AS_OF)
    assert "may reflect the whole network" in found["note"]
    for tier_reference in ("R1", "R2", "R3"):
        boutique.wait("abcdefghi", tier_reference)
        for line in boutique.allocate(reference=tier_reference)["lines"]:
            assert line["eligibility"] != "new" or line["decision"] != "not yet"


def test_the_table_says_bands_reasons_and_what_to_say(boutique: Boutique) -> None:
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "4")
    assert code == 0
    for part in (
        "Allocation 1: 4 of R1 (allocation)",
        "To say to 1 to 3: “We would be glad to offer you this piece.",
        "To say to 9: “Thank you for your interest. More people ask for this piece",
        "Pieces that are proposed to nobody: 1.",
        "Equals by waiting time",
        "drawn for this proposal",
        f"band book version 7, as of {AS_OF}",
        "A band may reflect the whole network",
        "escapement-outlet allocation accept 1 --by NAME",
    ):
        assert part in said
    assert stat.S_IMODE((boutique.home / "outlet.db").stat().st_mode) & 0o077 == 0
    assert (
        "Proposed before for this reference: 1;"
        in boutique.run("allocate", "--reference", "R1", "--pieces", "1")[1]
    )


@pytest.mark.parametrize("days_old", [None, 31])
def test_without_a_fresh_book_everybody_is_decided_as_without_a_band(
    tmp_path: Path, days_old: int | None
) -> None:
    boutique = Boutique(tmp_path)
    if days_old is not None:
        boutique.book(days_old)
    found = boutique.allocate()
    assert order_of(found) == "abcdefghi"
    assert {line["decision"] for line in found["lines"]} == {"manager decides"}
    assert proposed(found) == ""
    assert "band book: " in found["no_book"]
    assert found["book_version"] is None
    said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")[1]
    assert "No bands: band book: " in said
    assert "band book none" in said


def test_before_the_first_book_everybody_who_is_listed_is_decided_as_a_newcomer(
    tmp_path: Path,
) -> None:
    boutique = Boutique(tmp_path)
    directory = make_directory(boutique.tokens.values())
    keep_directory(boutique.home, boutique.press.directory(directory))
    for reference, decision in (("R1", "manager decides"), ("R3", "offer")):
        boutique.wait("abcdefghi", reference)
        found = boutique.allocate(reference=reference)
        lines = {line["customer"]: line for line in found["lines"]}
        for name in "abcdef":
            assert (lines[name]["no_band"], lines[name]["decision"]) == ("", decision)
            assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
            assert allowed(boutique, name, reference)[0] == decision
        assert lines["g"]["no_band"] == "consent needed"
        assert (found["book_version"], found["book_as_of"]) == (None, "")
        assert found["no_book"] == NO_BOOK_YET
    said = boutique.run("allocate", "--reference", "R3", "--pieces", "1")[1]
    assert f"No bands: {NO_BOOK_YET}." in said
    code, said = boutique.run(*LOOK, "--phone", PHONES["c"], "--json")
    found = json.loads(said)
    assert (code, found["status"], found["as_of"], found["note"]) == (0, "known", "", NO_BANDS_YET)
    assert [band["band"] for band in found["bands"]] == ["new", "new"]
    assert NO_BANDS_YET in boutique.run(*LOOK, "--phone", PHONES["c"])[1]
    boutique.book()
    assert json.loads(boutique.run(*LOOK, "--phone", PHONES["c"], "--json")[1])["note"] == ""
    assert NO_BANDS_YET not in boutique.run(*LOOK, "--phone", PHONES["c"])[1]


def test_a_damaged_book_is_an_error_and_no_proposal(boutique: Boutique) -> None:
    place = boutique.home / "book.bin"
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    assert "not signed" in allocate_refused(boutique, "--reference", "R1", "--pieces", "1")


@pytest.mark.parametrize("reference", ["R1", "R2", "R3"])
def test_who_is_known_at_too_many_outlets_goes_to_a_person_whatever_the_tier(
    tmp_path: Path, reference: str
) -> None:
    """A newcomer is offered what is open; here a person looks first, as at "review"."""
    boutique = Boutique(tmp_path)
    boutique.book(at_many="cf")
    boutique.wait("abcdef", reference)
    found = boutique.allocate(reference=reference, pieces=6)
    lines = {line["customer"]: line for line in found["lines"]}
    for name in "cf":
        assert lines[name]["no_band"] == MANY_OUTLETS
        assert (lines[name]["eligibility"], lines[name]["flipper_risk"]) == ("new", "new")
        assert lines[name]["decision"] == lines["d"]["decision"] == "manager decides"
        assert allowed(boutique, name, reference)[0] == "manager decides"
    assert proposed(found) == ("bea" if reference == "R3" else "be")
    code, said = boutique.run("allocation", "show", "1")
    assert (code, "no band" in said) == (0, False)
    assert said.count("looks") == 2
    assert boutique.run("allocation", "rerun", "1")[0] == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE allocation_lines SET proposed = 1 WHERE rank = 9",
        "UPDATE allocation_lines SET since = '2020-01-01' WHERE rank = 3",
        "UPDATE allocation_proposals SET pieces = 3",
    ],
)
def test_a_rerun_notices_what_was_altered(boutique: Boutique, tampering: str) -> None:
    boutique.allocate()
    with closing(sqlite3.connect(boutique.home / "outlet.db")) as connection:
        connection.execute(tampering)
        connection.commit()
    code, said = boutique.run("allocation", "rerun", "1")
    assert code == 1
    assert "allocation 1: got another order from rank" in said


def test_a_rerun_uses_the_rules_of_the_day_and_not_those_of_now(boutique: Boutique) -> None:
    boutique.allocate()
    boutique.write("escapement.toml", SETTINGS + 'policy = "policy.toml"\n')
    boutique.write(
        "policy.toml", '[[rule]]\ndecision = "manager decides"\nsay = "We will call you."\n'
    )
    assert boutique.run("allocation", "rerun", "1")[0] == 0
    after = boutique.allocate()
    assert proposed(after) == ""
    assert after["policy_source"] == "policy.toml"
    assert after["policy_digest"] != boutique.shown(1)["policy_digest"]
    boutique.write("policy.toml", '[[rule]]\ndecision = "offer"\nsay = "Yes."\n')
    code, said = boutique.run("allocate", "--reference", "R1", "--pieces", "1")
    assert code == 1
    assert "policy.toml, rule 1: decides 'offer' for" in said


def allocate_refused(boutique: Boutique, *words: str) -> str:
    code, said = boutique.run("allocate", *words)
    assert code in (1, 6)
    assert "No proposals yet" in boutique.run("allocation", "show")[1]
    return said


def test_what_cannot_be_proposed_is_said_clearly_and_nothing_is_kept(boutique: Boutique) -> None:
    asked = ("--reference", "R1", "--pieces")
    assert "pieces: got 0, expected 1 or more" in allocate_refused(boutique, *asked, "0")
    said = allocate_refused(boutique, *asked, "1", "--seed", "12")
    assert "seed: expected 32 hex digits" in said
    said = allocate_refused(boutique, "--reference", "R9", "--pieces", "1")
    assert "reference R9: in no tier of references.csv; add a row" in said
    said = allocate_refused(boutique, "--reference", "R2", "--pieces", "1")
    assert "reference R2: no open interest in interests.csv" in said
    boutique.write("interests.csv", "customer_id,reference,since\na,R1,yesterday\n")
    said = allocate_refused(boutique, *asked, "1")
    assert "interests.csv, row 1, column since: not readable" in said
    boutique.write("interests.csv", "customer_id,reference,since\na,R1,2026-01-01\n,R1,\n")
    said = allocate_refused(boutique, *asked, "1")
    assert "interests.csv, row 2, column customer_id: empty" in said
    boutique.write("escapement.toml", SETTINGS + 'policy = "none.toml"\n')
    assert "none.toml cannot be read" in allocate_refused(boutique, *asked, "1")
    boutique.write("escapement.toml", 'ledger = "ledger.csv"\n')
    assert "references: not set" in allocate_refused(boutique, *asked, "1")
