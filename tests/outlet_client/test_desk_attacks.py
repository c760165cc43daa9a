"""Attacks on the desk: what is told, kept or logged although it should not be, or the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outlet_client.allocation.allocation_decisions import accept, propose
from outlet_client.allocation.lottery import AllocationRefused, TieBreak
from outlet_client.allocation.proposal_store import AllocationStore
from outlet_client.allocation.wish_store import wishes_in
from outlet_client.desk.csv_lists import csv_file
from outlet_client.people.client_names import NameTooShort, search_names
from outlet_client.records.access_log import LogAct
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.settings import OutletFile
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    MEI,
    NOON,
    OKAFOR,
    RAFAEL,
    Desk,
    Parties,
    desk,
    home,
    opened,
    outlet,
    said,
)
from tests.outlet_client.test_adverse_letter import LETTER, decide, letter, rank

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["desk", "home", "outlet"]

WITHDRAWS = {"phone": BEN, "do": "withdraw", "sure": "yes"}


@pytest.mark.parametrize("reference", ["GMT-II", "nope", ""])
def test_a_wish_tells_and_adds_nothing_of_who_was_not_looked_up(desk: Desk, reference: str) -> None:
    own = desk.home / "interests.csv"
    own.write_text("customer_id,reference,since\nanna,Diver-40,2025-11-01\n")
    form = {"phone": ANNA, "email": "", "reference": reference}
    desk.signed_in(RAFAEL).look_up(ANNA)  # somebody else did
    mei = desk.signed_in(MEI)
    answer = mei.answered(mei.fill("/look-up/wish", form))
    assert answer.status_code == 409
    assert "look the customer up first" in said(answer)
    assert not any(word in said(answer) for word in ("by our own list", "wishes for", "Read as"))
    assert wishes_in(desk.home) == []
    mei.look_up(ANNA)
    assert "look the customer up" not in said(mei.answered(mei.fill("/look-up/wish", form)))


def test_a_letter_after_a_withdrawal_speaks_of_no_dispute(desk: Desk) -> None:
    rafael = decide(desk)
    desk.signed_in(OKAFOR).fill("/customer", WITHDRAWS)
    text = said(letter(rafael, "ben"))
    assert "It was decided before your consent ended" in text
    assert "before you disputed" not in text
    assert "a person looks before" not in text


def test_a_letter_after_a_withdrawal_says_nothing_of_many_outlets(outlet: Path, home: Path) -> None:
    Parties.of(outlet.parent).shelve(home, NOON, version=2, at_many="ben")
    with opened(home) as made:
        rafael = decide(made)
        once, ben = rafael.key(LETTER), rank(rafael, "ben")
        form = {"csrf": rafael.token("/account"), "once": once, "rank": ben}
        kept = rafael.post(LETTER, data=form).headers["location"]
        assert "so many outlets" in rafael.get(kept).text
        made.signed_in(OKAFOR).fill("/customer", WITHDRAWS)
        assert "so many outlets" not in letter(rafael, "ben").text
        assert "so many outlets" not in rafael.get(kept).text


def named(home: Path, *names: str) -> OutletFile:
    rows = [f"c{number},,,{name}" for number, name in enumerate(names)]
    (home / "clients.csv").write_text("\n".join(["customer_id,phone,email,name", *rows, ""]))
    return OutletFile.read(home / "escapement.toml")


@pytest.mark.parametrize("typed", ["김", "가", "אב", "สม", "मु", "王", "ᄀ", "aª"])
def test_one_sign_or_two_letters_of_any_script_find_nobody(home: Path, typed: str) -> None:
    settings = named(home, "김민준", "אבי כהן", "สมชาย", "मुकेश", "王伟", "강", "가나", "aªron")
    with pytest.raises(NameTooShort):
        search_names(settings, typed)


@pytest.mark.parametrize("typed", ["김민", "אבי", "สมช", "मुके", "王伟", "राम"])
def test_names_of_other_scripts_are_found_by_enough_of_them(home: Path, typed: str) -> None:
    settings = named(home, "김민준", "אבי כהן", "สมชาย", "मुकेश", "王伟", "राम")
    assert len(search_names(settings, typed).customers) == 1


@pytest.mark.parametrize("sign", ["\uff1d", "\uff0b", "\uff0d", "\uff20", " \uff1d"])
def test_a_wide_sign_begins_no_formula_either(sign: str) -> None:
    assert f"'{sign}1" in csv_file(("said",), [(f"{sign}1",)]).decode("utf-8-sig")


def test_the_log_says_whose_decision_was_refused_as_another_came_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, asked = desk.site.access, Actor(RAFAEL, LookupPurpose.ALLOCATION)
    number = propose(access, "GMT-II", 1, TieBreak.WAITING, None, asked, NOON).proposal.id
    undecided = AllocationStore.read(AllocationStore.open(desk.home), number)
    accept(access, number, RAFAEL, NOON)
    monkeypatch.setattr(AllocationStore, "undecided", lambda *_: undecided)  # read just before
    with pytest.raises(AllocationRefused, match="decided already"):
        accept(access, number, "Jo Park", NOON)
    assert [(one.by, one.outcome) for one in desk.log(LogAct.DECISION)] == [
        (RAFAEL, "accepted"),
        ("Jo Park", "accepted"),
        ("Jo Park", "accepted: refused, decided before"),
    ]
