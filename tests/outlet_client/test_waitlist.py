"""Wishes told at the desk: whose they are, how they enter proposals, and when they are gone."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from features.ledger import Tier
from outlet_client.allocation.lottery import AllocationRefused
from outlet_client.allocation.reference_names import ReferenceList, folded
from outlet_client.allocation.wish_store import NewWish, WishRefused, add_wishes, wishes_in
from outlet_client.allocation.wish_taking import end_wish, erase_withdrawn, take_wish_down
from outlet_client.customer_access import open_customer_access
from outlet_client.log_tables.rights_store import WISHES, rights_of
from outlet_client.night.retention import purge
from outlet_client.records.access_log import LogAct, recent_entries
from outlet_client.settings import OutletFile
from outlet_client.sources.customer_keys import stored_key
from tests.outlet_client.waiting_customers import (
    EMAIL,
    NOW,
    PHONES,
    SETTINGS,
    Boutique,
    boutique,
    disputed,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["boutique"]

STRANGER = "+6581239999"
"""In nobody's client book."""

LISTED = {"126610LN": Tier.ALLOCATION, "M-1.2": Tier.LIMITED, "m12": Tier.OPEN, "GMT-II": Tier.OPEN}


def wish(
    boutique: Boutique, phone: str, reference: str = "R1", at: dt.datetime = NOW
) -> tuple[int, str]:
    email = phone if "@" in phone else None
    with open_customer_access(boutique.home) as access:
        return take_wish_down(access, (None if email else phone, email), reference, "Mei", at)


def lines_of(boutique: Boutique, reference: str = "R1") -> dict[str, dict[str, Any]]:
    return {line["customer"]: line for line in boutique.allocate(reference=reference)["lines"]}


def ask(boutique: Boutique, *words: str, code: int = 0) -> Any:
    done, said = boutique.run("waitlist", *words, "--json")
    assert done == code, said
    return json.loads(said)


# --- references -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["126610LN", "126610ln", " 126610 LN", "126.610-ln", "\uff11\uff126610\uff2cN"]
)
def test_a_reference_is_the_lists_however_case_spaces_dots_and_hyphens_are_typed(
    typed: str,
) -> None:
    assert ReferenceList(LISTED, "r.csv").named(typed) == ("126610LN", Tier.ALLOCATION)


def test_two_references_that_are_written_alike_are_told_apart_by_their_very_spelling() -> None:
    listed = ReferenceList(LISTED, "r.csv")
    assert listed.named("m12") == ("m12", Tier.OPEN)
    assert listed.named("M-1.2") == ("M-1.2", Tier.LIMITED)
    with pytest.raises(AllocationRefused, match=r"M-1.2 and m12 in r.csv are written like it"):
        listed.named("M12")
    with pytest.raises(AllocationRefused, match=r"in no tier of r.csv; .*: GMT-II is there"):
        listed.named("gmt i")
    with pytest.raises(AllocationRefused, match=r"in no tier of r.csv; .*: GMT-II is there"):
        listed.named("gmt")  # a part of one name says which may be meant, and is not taken for it
    for nothing in ("", " - ", "+6581234500", "81234500", "me@firm.com"):
        with pytest.raises(AllocationRefused, match="in no tier") as caught:
            listed.named(nothing)
        assert not nothing.strip(" -") or nothing not in str(caught.value)  # it may be a phone


@given(st.text("aBz09 .-\u2013_", max_size=8), st.text("aBz09 .-\u2013_", max_size=8))
def test_folding_is_idempotent_and_two_parts_fold_as_one(one: str, other: str) -> None:
    assert folded(folded(one)) == folded(one)
    assert folded(one + other) == folded(one) + folded(other)


def test_a_list_is_read_anew_when_its_file_changes(boutique: Boutique) -> None:
    settings = OutletFile.read(boutique.home / "escapement.toml")
    with open_customer_access(boutique.home) as access:
        assert settings.references == access.settings.references
    assert wish(boutique, PHONES["a"], "r-3") == (1, "R3")
    boutique.write("references.csv", "reference,tier\nR1,allocation\nR.3,open\n")
    assert wish(boutique, PHONES["b"], "r-3") == (2, "R.3")


def test_a_corrected_reference_is_kept_by_the_lists_name(boutique: Boutique) -> None:
    boutique.write(
        "ledger.csv", "customer_id,purchased_at,price,is_return,reference\na,2026-01-01,9,0,R1\n"
    )
    show = ("customer", "show", "--phone", PHONES["a"], "--by", "mei", "--json")
    [event] = json.loads(boutique.run(*show)[1])["events"]
    words = ("--phone", PHONES["a"], "--set", "reference=r 3", "--by", "mei")
    assert boutique.run("customer", "correct", event["id"], *words)[0] == 0
    [event] = json.loads(boutique.run(*show)[1])["events"]
    assert event["correction"]["changes"] == {"reference": "R3"}


# --- proposals ------------------------------------------------------------------------------------


def test_a_wish_enters_the_proposal_as_its_customer_of_the_client_book_and_counts_once(
    boutique: Boutique,
) -> None:
    boutique.wait("ab")  # since January
    wish(boutique, PHONES["c"][3:])  # as typed here, without the country
    wish(boutique, EMAIL, " r.1 ")
    wish(boutique, PHONES["b"])
    found = lines_of(boutique)
    assert set(found) == set("abce")
    assert found["b"]["since"] == "2026-01-02"
    assert found["c"]["since"] == NOW.astimezone().date().isoformat()
    assert (found["c"]["eligibility"], found["e"]["eligibility"]) == ("priority", "eligible")
    assert boutique.run("allocation", "rerun", "1")[0] == 0


def test_a_list_that_writes_a_reference_otherwise_is_the_same_list(boutique: Boutique) -> None:
    boutique.write(
        "interests.csv", "customer_id,reference,since\na,r-1,2026-01-01\nb,R 1,2026-01-02\n"
    )
    assert set(lines_of(boutique)) == {"a", "b"}


def test_who_is_in_no_client_book_waits_under_the_wishs_name_and_is_decided_as_new(
    boutique: Boutique,
) -> None:
    boutique.wait("a")
    wish(boutique, STRANGER)
    [line] = [one for name, one in lines_of(boutique).items() if name == "desk wish 1"]
    assert (line["no_band"], line["eligibility"]) == ("consent needed", "new")
    assert line["decision"] == "manager decides"
    boutique.write("clients.csv", f"customer_id,phone,email\na,{PHONES['a']},\nnew,{STRANGER},\n")
    assert set(lines_of(boutique)) == {"a", "new"}


def test_a_band_that_is_known_by_the_phone_alone_is_read_and_hidden_by_a_dispute(
    boutique: Boutique,
) -> None:
    rows = "".join(f"{name},{PHONES[name]},\n" for name in "abd")
    boutique.write("clients.csv", f"customer_id,phone,email\n{rows}")
    boutique.wait("ab")
    wish(boutique, PHONES["c"])
    assert lines_of(boutique)["desk wish 1"]["eligibility"] == "priority"
    number = disputed(boutique, "c")
    [line] = [one for one in boutique.shown()["lines"] if one["customer"] == "desk wish 1"]
    assert (line["no_band"], line["eligibility"]) == ("under review", "new")
    said = boutique.run("allocation", "accept", "1", "--by", "Mei")[1]
    assert f"escapement-outlet customer decide {number}" in said


def test_a_piece_given_to_a_wish_is_remembered_when_its_customer_comes_into_the_book(
    boutique: Boutique,
) -> None:
    boutique.write("clients.csv", f"customer_id,phone,email\na,{PHONES['a']},\n")
    boutique.wait("a", "R3")
    wish(boutique, "z@example.com", "R3")
    boutique.allocate(reference="R3", pieces=2)
    assert boutique.run("allocation", "accept", "1", "--by", "Mei")[0] == 0
    rows = f"a,{PHONES['a']},\nnew,{PHONES['f']},z@example.com\n"  # known by the phone, too
    boutique.write("clients.csv", f"customer_id,phone,email\n{rows}")
    assert "was given this piece" in lines_of(boutique, "R3")["new"]["rests"]


def test_a_waitlist_may_be_kept_at_the_desk_alone(boutique: Boutique) -> None:
    boutique.write("escapement.toml", SETTINGS.replace('interests = "interests.csv"\n', ""))
    boutique.write(
        "ledger.csv", "customer_id,reference,purchased_at,price,is_return\na,R1,2026-01-01,9,0\n"
    )
    wish(boutique, PHONES["c"])
    assert set(lines_of(boutique)) == {"c"}


def test_nobody_waits_twice_and_a_closed_wish_waits_no_more(boutique: Boutique) -> None:
    boutique.write(
        "clients.csv", f"customer_id,phone,email\nc,{PHONES['c']},{EMAIL}\na,{PHONES['a']},\n"
    )
    assert wish(boutique, PHONES["c"]) == (1, "R1")
    with pytest.raises(WishRefused, match=r"on its waitlist since .* as wish 1"):
        wish(boutique, EMAIL, "r1")
    assert wish(boutique, EMAIL, "R2") == (2, "R2")
    assert "c" in lines_of(boutique)
    boutique.wait("a")
    said = ("waitlist", "close", "1", "--by", "Rafael", "--reason", "The piece was handed over.")
    assert boutique.run(*said)[0] == 0
    assert set(lines_of(boutique)) == {"a"}
    code, refused = boutique.run(*said)
    assert (code, "by Rafael, and that stays" in refused) == (1, True)
    assert wish(boutique, PHONES["c"]) == (3, "R1")


# --- erased, and shown to its customer ------------------------------------------------------------


def test_a_withdrawal_erases_wishes_under_every_key_and_a_later_wish_stays(
    boutique: Boutique,
) -> None:
    rows = f"c,{PHONES['c']},{EMAIL}\na,{PHONES['a']},\n"
    boutique.write("clients.csv", f"customer_id,phone,email\n{rows}")
    boutique.allocate()
    wish(boutique, EMAIL)
    wish(boutique, PHONES["a"])
    with rights_of(boutique.home) as connection:
        add_wishes(connection, [NewWish("R2", NOW.date(), customer="c")], "Mei", NOW)
    assert boutique.run("withdraw", "--phone", PHONES["c"], "--by", "Okafor")[0] == 0
    assert [one.number for one in wishes_in(boutique.home)] == [2]
    wish(boutique, PHONES["c"], at=dt.datetime.now(dt.UTC))
    with rights_of(boutique.home) as connection:
        said = recent_entries(connection, NOW - dt.timedelta(days=1))
    erased = [one for one in said if one.act is LogAct.WISH and "erased" in one.outcome]
    assert [(one.by, one.about, one.outcome) for one in erased] == [
        ("Okafor", "the waitlist", "2 erased")
    ]
    assert erase_withdrawn(boutique.home, boutique.people, "night", NOW) == 0
    assert len(wishes_in(boutique.home)) == 2


def test_a_withdrawal_that_was_interrupted_is_made_good_by_the_night(boutique: Boutique) -> None:
    wish(boutique, PHONES["c"])
    wish(boutique, PHONES["a"])
    boutique.people.withdraw(boutique.key("c"))
    assert erase_withdrawn(boutique.home, boutique.people, "night", NOW) == 1
    assert [one.number for one in wishes_in(boutique.home)] == [2]


def test_closed_wishes_go_after_a_year_and_open_ones_with_the_ledgers_rows(
    boutique: Boutique,
) -> None:
    settings = OutletFile.read(boutique.home / "escapement.toml")
    for days in (settings.keep_days + 2, settings.keep_days - 2):
        wish(boutique, PHONES["a"], "R1", NOW - dt.timedelta(days=days))
        with rights_of(boutique.home) as connection:
            connection.execute(sa.update(WISHES).values(reference=f"before {days}"))
    for days in (370, 360):
        number, _ = wish(boutique, PHONES["b"], "R2", NOW - dt.timedelta(days=400))
        end_wish(boutique.home, number, "Mei", "Done.", NOW - dt.timedelta(days=days))
    purge(boutique.home, settings, NOW, joined=True)
    assert [one.number for one in wishes_in(boutique.home)] == [2, 4]


def test_a_customer_reads_their_wishes_and_nobody_elses(boutique: Boutique, tmp_path: Path) -> None:
    wish(boutique, PHONES["a"])
    wish(boutique, STRANGER)
    end_wish(boutique.home, 1, "Rafael", "The customer wishes it no more.", NOW)
    boutique.write("ledger.csv", "customer_id,purchased_at,price,is_return\na,2026-01-01,9,0\n")
    boutique.wait("b")
    boutique.allocate()
    for phone, number in ((PHONES["a"], 1), (STRANGER, 2)):
        code, said = boutique.run("customer", "show", "--phone", phone, "--by", "mei", "--json")
        assert code == 0, said
        found = json.loads(said)
        [told] = found["wishes"]
        assert (told["number"], told["reference"], told["by"]) == (number, "R1", "Mei")
        assert "key" not in told
        page = tmp_path / "page.html"
        assert boutique.run("customer", "show", "--phone", phone, "--html", str(page))[0] == 0
        assert ("wishes it no more" in page.read_text()) is (number == 1)
        assert "What you asked for at our desk" in page.read_text()
        assert found["customers"] == (["a"] if number == 1 else [])
        assert [one["reference"] for one in found["allocations"]] == ["R1"] * (number - 1)
    assert ask(boutique, "erase", "--phone", STRANGER, "--by", "Okafor") == {"erased": 1}
    assert [one.number for one in wishes_in(boutique.home)] == [1]


# --- commands -------------------------------------------------------------------------------------


def test_all_bad_rows_of_a_file_are_named_at_once_without_a_cell_and_nothing_is_added(
    boutique: Boutique,
) -> None:
    file = boutique.home / "list.csv"
    file.write_text(
        "Client No,Mobile,Mail,Model,Date\n"
        f",{PHONES['c']},,r-1,2026-02-03\n"
        ",12,,R1,2026-02-03\n"
        "a,,,Nautilus,03/02/2026\n"
        ",,,R1,2026-02-03\n"
        ",,,,\n"
        "b,,,R2,2029-01-01\n"
    )
    code, said = boutique.run("waitlist", "import", str(file), "--by", "Mei")
    assert code == 1
    for place in (
        "line 3, Mobile: more or fewer digits", "line 4, Model: in no tier",
        "line 4, Date: ambiguous", "line 5, Client No: empty", "line 7, Date: in the future",
    ):  # fmt: skip
        assert place in said, said
    assert "Nautilus" not in said
    assert wishes_in(boutique.home) == []
    found = ask(boutique, "import", str(file), code=1)
    assert [one["row"] for one in found["bad"]] == [2, 3, 3, 4, 6]
    assert (found["added"], found["blank"]) == (0, 1)
    assert found["columns"] == {
        "customer_id": "Client No", "phone": "Mobile", "email": "Mail", "reference": "Model",
        "since": "Date",
    }  # fmt: skip


def test_a_file_is_added_whole_and_who_waits_already_is_not_added_again(
    boutique: Boutique,
) -> None:
    wish(boutique, PHONES["c"])
    file = boutique.home / "list.csv"
    file.write_text(
        "customer_id,phone,reference,since\n"
        "c,,R1,2026-02-01\n"
        f"a,,R1,2026-02-02\n,{PHONES['a']},r 1,2026-02-09\n"
        f",{STRANGER},R1,2026-02-03\n"
        "who@mail.example,,R1,2026-02-04\n"
    )
    checked = ask(boutique, "import", str(file), "--check")
    assert (checked["added"], checked["wishes"], checked["there"]) == (0, 3, 2)
    assert len(wishes_in(boutique.home)) == 1
    found = ask(boutique, "import", str(file), "--by", "Rafael")
    assert (found["added"], found["there"], found["unknown"]) == (3, 2, 2)
    again = ask(boutique, "import", str(file), "--by", "Rafael")
    assert (again["added"], again["there"]) == (0, 5)
    boutique.wait("b")
    [listed] = ask(boutique, "list", "--reference", "r.1")
    entries = [(one["customer"], one["since"]) for one in listed["entries"]]
    assert entries[:2] == [("b", "2026-01-01"), ("a", "2026-02-02")]
    assert entries[2] == ("desk wish 3", "2026-02-03")
    assert entries[3][0] == stored_key(boutique.home, "who@mail.example")
    data = b"".join(one.read_bytes() for one in boutique.home.glob("rights.db*"))
    assert b"who@mail" not in data
    assert STRANGER[1:].encode() not in data
    assert "1. b, since 2026-01-01" in boutique.run("waitlist", "list")[1]


def test_what_is_closed_is_listed_with_who_and_why(boutique: Boutique) -> None:
    number, _ = wish(boutique, PHONES["c"])
    words = ("close", str(number), "--by", "Rafael", "--reason", "Taken down by mistake.")
    assert ask(boutique, *words)["closed_by"] == "Rafael"
    [told] = ask(boutique, "list", "--closed")
    assert (told["number"], told["reason"]) == (1, "Taken down by mistake.")
    with rights_of(boutique.home) as connection:
        acts = recent_entries(connection, NOW - dt.timedelta(days=1))
    log = [(one.about, one.outcome, one.key != "") for one in acts if one.act is LogAct.WISH]
    assert log == [("wish 1", "closed", True), ("wish 1", "added", True)]
    assert boutique.run("waitlist", "close", "9", "--by", "Rafael", "--reason", "Why")[0] == 1
