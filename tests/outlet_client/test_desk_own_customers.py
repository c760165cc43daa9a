"""The outlet's own customers at the desk: found by name, what they bought here, and who sees it."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING

import pytest

from outlet_client.desk import csv_lists
from outlet_client.desk.csv_lists import csv_file
from outlet_client.people.client_names import MOST_HITS, NameTooShort, names_of, search_names
from outlet_client.records.access_log import LogAct
from outlet_client.settings import OutletFile
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    EMIL,
    MEI,
    OKAFOR,
    RAFAEL,
    desk,
    home,
    open_desk,
    opened,
    outlet,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.outlet_client.desk_site import Desk

__all__ = ["desk", "home", "open_desk", "outlet"]

BOOK = f"""\
customer_id,phone,email,name,given_name
anna,{ANNA},,Müller-Ødegård,Anna Lucía
ben,{BEN},,O'Brien,Ben
emil,{EMIL},,王伟,
"""
SURE_OF_NOTHING = ("priority", "Priority", "Eligib", "Low", "elevated", "resale", "suspected")


@pytest.fixture
def named(home: Path) -> Iterator[Desk]:
    """A desk whose client book has names, and whose till has a day on which two came."""
    (home / "clients.csv").write_text(BOOK)
    with opened(home) as made:
        yield made


def settings_of(home: Path) -> OutletFile:
    return OutletFile.read(home / "escapement.toml")


def everything_stored(home: Path) -> bytes:
    """All files of the outlet but what its till wrote."""
    own = ("clients.csv",)
    files = (one for one in home.rglob("*") if one.is_file() and one.name not in own)
    return b"\0".join(one.read_bytes() for one in files)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("mull", ["anna"]), ("LUCIA ødeg", ["anna"]), ("o'bri", ["ben"]), ("rien", []),
        ("brien ben", ["ben"]), ("王伟", ["emil"]), ("ucia", []), ("ben anna", []),
    ],
)  # fmt: skip
def test_a_name_is_found_by_the_beginnings_of_its_words(
    home: Path, typed: str, found: list[str]
) -> None:
    (home / "clients.csv").write_text(BOOK)
    hits = search_names(settings_of(home), typed)
    assert [one.customer for one in hits.customers] == found


@pytest.mark.parametrize("typed", ["", "an", "a n n a", "..."])
def test_less_than_three_letters_find_nobody(home: Path, typed: str) -> None:
    (home / "clients.csv").write_text(BOOK)
    with pytest.raises(NameTooShort):
        search_names(settings_of(home), typed)


def test_a_search_shows_twenty_at_most_and_says_that_there_are_others(named: Desk) -> None:
    rows = "".join(f"k{number:02d},,,Muster,Anna {number}\n" for number in range(MOST_HITS + 1))
    (named.home / "clients.csv").write_text(BOOK + rows)
    shown = named.signed_in(MEI).fill("/customers", {"name": "muster"}).text
    assert shown.count('name="customer"') == MOST_HITS
    assert "20 of more found" in shown
    assert [one.outcome for one in named.log(LogAct.SEARCH)] == ["20 or more found"]


def test_a_name_is_in_the_answer_and_in_no_address_log_or_store(
    named: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    browser = named.signed_in(MEI)
    sent = browser.post(
        "/customers",
        data={
            "once": browser.key("/customers"),
            "csrf": browser.token("/account"),
            "name": "brien",
        },
    )
    assert "brien" not in str(sent.headers).lower()
    shown = browser.answered(sent)
    assert "O&#39;Brien" in shown.text
    assert not any(word in shown.text for word in SURE_OF_NOTHING)
    (entry,) = named.log(LogAct.SEARCH)
    assert (entry.by, entry.about, entry.outcome, entry.key) == (MEI, "", "1 found", "")
    stored = everything_stored(named.home)
    assert not any(one in stored for one in (b"Brien", b"brien", "Müller".encode()))
    assert "brien" not in caplog.text.lower()


def test_a_book_without_names_says_what_to_set(desk: Desk) -> None:
    (desk.home / "clients.csv").write_text(f"customer_id,phone\nanna,{ANNA}\n")
    shown = said(desk.signed_in(MEI).fill("/customers", {"name": "anna"}))
    assert "columns.name" in shown
    assert desk.log(LogAct.SEARCH) == []
    assert names_of(settings_of(desk.home), []) == {}


def test_what_a_customer_bought_here_is_shown_and_logged_as_a_look_up(named: Desk) -> None:
    browser = named.signed_in(MEI)
    shown = browser.fill("/customers/purchases", {"customer": "anna", "purpose": "service"})
    assert shown.status_code == 200
    text = html.unescape(shown.text)
    assert all(one in text for one in ("Anna Lucía Müller-Ødegård", "SN-0", "Diver-40", "9,500.00"))
    assert "SN-1" not in text
    assert not any(word in text for word in SURE_OF_NOTHING)  # a sighting of hers is in the table
    (entry,) = named.log(LogAct.LOOK_UP)
    assert (entry.by, entry.purpose, entry.outcome) == (MEI, "service", "own purchases")
    assert entry.key == named.site.access.people.local_key(f"tel:{ANNA}")
    by_phone = browser.fill("/customers/purchases", {"phone": BEN, "purpose": "sale"})
    assert "SN-1" in by_phone.text
    nobody = said(browser.fill("/customers/purchases", {"customer": "nobody", "purpose": "sale"}))
    assert "Nothing in our own ledger." in nobody


def test_purchases_spend_the_quota_of_look_ups_and_searches_have_one_of_their_own(
    home: Path,
) -> None:
    (home / "clients.csv").write_text(BOOK)
    file = home / "escapement.toml"
    file.write_text(file.read_text().replace("[desk]\n", "[desk]\nlookups_a_day = 2\n"))
    with opened(home) as desk:
        browser = desk.signed_in(MEI)
        asked = {"customer": "anna", "purpose": "sale"}
        browser.look_up(ANNA)
        assert browser.fill("/customers/purchases", asked).status_code == 200
        over = browser.fill("/customers/purchases", {**asked, "customer": "ben"})
        assert over.status_code == 429
        assert "SN-1" not in over.text
        assert browser.look_up(BEN).status_code == 429
        assert [browser.fill("/customers", {"name": one}).status_code for one in
                ("mull", "brien", "lucia")] == [200, 200, 429]  # fmt: skip
        assert len(desk.log(LogAct.LOOK_UP)) == len(desk.log(LogAct.SEARCH)) == 2
        log = said(desk.signed_in(OKAFOR).get("/log"))
        assert "many searches by name (2)" in log


def test_nothing_is_shown_without_a_purpose(named: Desk) -> None:
    shown = named.signed_in(MEI).fill("/customers/purchases", {"customer": "anna"})
    assert shown.status_code == 400
    assert "SN-0" not in shown.text
    assert named.log(LogAct.LOOK_UP) == []


def test_sales_staff_see_purchases_and_the_privacy_officer_does_not(named: Desk) -> None:
    asked = {"customer": "anna", "purpose": "sale"}
    assert named.signed_in(RAFAEL).fill("/customers/purchases", asked).status_code == 200
    officer = named.signed_in(OKAFOR)
    assert officer.fill("/customers/purchases", asked).status_code == 403
    assert officer.get("/customers").status_code == 403


PAIRS = f"""\
customer_id,phone,email,name
anna,{ANNA},a@x.example,Anna Muster
double,{ANNA},b@x.example,A. Muster
ben,{BEN},,Ben
"""


@pytest.mark.parametrize(("who", "decision"), [(RAFAEL, "same"), (OKAFOR, "different")])
def test_two_entries_are_decided_to_be_one_customer_or_two(
    home: Path, who: str, decision: str
) -> None:
    (home / "clients.csv").write_text(PAIRS)
    with opened(home) as desk:
        browser = desk.signed_in(who)
        shown = said(browser.get("/duplicates"))
        assert "anna: Anna Muster double: A. Muster They share a phone" in shown
        assert ANNA not in shown
        assert "x.example" not in shown
        fields = {"one": "anna", "other": "double", "decision": decision}
        done = browser.fill("/duplicates", fields)
        assert done.headers["location"] == "/duplicates"
        assert "No pairs wait" in said(browser.get("/duplicates"))
        outcome = "one person" if decision == "same" else "two people"
        assert [(one.by, one.outcome) for one in desk.log(LogAct.DUPLICATE)] == [(who, outcome)] * 2
        asked = {"customer": "double", "purpose": "sale"}
        theirs = desk.signed_in(MEI).fill("/customers/purchases", asked).text
        assert ("SN-0" in theirs) == (decision == "same")


def test_a_decision_that_cannot_be_kept_is_refused_and_not_logged(named: Desk) -> None:
    browser = named.signed_in(RAFAEL)
    fields = {"one": "anna", "other": "nobody", "decision": "same"}
    refused = browser.fill("/duplicates", fields)
    assert refused.status_code == 409
    assert "customer nobody: not in the client book" in said(refused)
    assert named.log(LogAct.DUPLICATE) == []
    assert named.signed_in(MEI).get("/duplicates").status_code == 403


def event_of(page: str) -> str:
    found = re.search(r'name="event" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_the_privacy_officer_corrects_an_event_and_strikes_one(desk: Desk) -> None:
    officer = desk.signed_in(OKAFOR)
    officer.fill("/customer", {"phone": ANNA, "kind": "correction", "about": "The price."})
    shown = officer.fill("/customer", {"phone": ANNA, "do": "correct"})
    assert "9,500.00" in shown.text
    assert [one.outcome for one in desk.log(LogAct.LOOK_UP)] == ["events, to be corrected"]
    wanted = {"phone": ANNA, "event": event_of(shown.text), "do": "correct", "price": "950"}
    done = officer.fill("/customer/correct", wanted)
    assert "was corrected: amount" in said(done)
    assert "Request 1 is answered" in said(done)
    asked = {"customer": "anna", "purpose": "sale"}
    assert "950.00" in desk.signed_in(MEI).fill("/customers/purchases", asked).text
    struck = {"phone": BEN, "do": "correct"}
    event = event_of(officer.fill("/customer", struck).text)
    officer.fill("/customer/correct", {"phone": BEN, "event": event, "do": "strike"})
    assert "SN-1" not in desk.signed_in(MEI).fill(
        "/customers/purchases", {**asked, "customer": "ben"}
    ).text  # fmt: skip
    acts = [(one.by, one.about, one.outcome) for one in desk.log(LogAct.CORRECTION)]
    assert acts == [(OKAFOR, f"event {wanted['event']}", "corrected"),
                    (OKAFOR, f"event {event}", "struck")]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"price": "much"}, "Not readable; expected an amount"), ({}, "Fill in what is to be"),
        ({"date": "2026-12-24"}, "In the future"),
        ({"reference": "Nothing"}, "in no tier"),
        ({"event": "x-1", "price": "1"}, "none of this id"),
    ],
)  # fmt: skip
def test_a_correction_that_cannot_be_made_changes_nothing_and_keeps_what_was_typed(
    desk: Desk, cells: dict[str, str], words: str
) -> None:
    officer = desk.signed_in(OKAFOR)
    event = event_of(officer.fill("/customer", {"phone": ANNA, "do": "correct"}).text)
    wanted = {"phone": ANNA, "event": event, "do": "correct", **cells}
    refused = officer.fill("/customer/correct", wanted)
    assert refused.status_code == 409
    assert words in said(refused)
    assert all(f'value="{one}"' in refused.text for one in cells.values() if one != "x-1")
    assert desk.log(LogAct.CORRECTION) == []


def test_who_corrects_without_having_seen_the_events_is_in_the_log_before_they_are_shown(
    desk: Desk,
) -> None:
    officer = desk.signed_in(OKAFOR)
    for _ in range(2):
        blind = {"phone": ANNA, "event": "x-1", "do": "strike"}
        refused = officer.fill("/customer/correct", blind)
        assert refused.status_code == 409
        assert "9,500.00" in refused.text
        assert [one.outcome for one in desk.log(LogAct.LOOK_UP)] == ["events, to be corrected"]


def test_sales_staff_correct_nothing(desk: Desk) -> None:
    wanted = {"phone": ANNA, "event": "x-1", "do": "strike"}
    for name in (MEI, RAFAEL):
        assert desk.signed_in(name).fill("/customer/correct", wanted).status_code == 403


def cells(answer: httpx.Response) -> list[list[str]]:
    """The rows of a CSV file that was handed over."""
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(answer.content.decode("utf-8-sig").splitlines()))


def test_a_manager_takes_waitlist_and_sightings_and_the_log_says_so(desk: Desk) -> None:
    manager = desk.signed_in(RAFAEL)
    rows = cells(manager.fill("/lists", {"do": "waitlist", "reference": "gmt ii"}))
    assert [row[:2] for row in rows[1:]] == [["GMT-II", one] for one in ("anna", "ben", "emil")]
    rows = cells(manager.fill("/lists", {"do": "sightings"}))
    assert dict(zip(*rows, strict=True))["serial"] == "SN-0"
    acts = [(one.by, one.about, one.outcome) for one in desk.log(LogAct.EXPORT)]
    assert acts == [(RAFAEL, f"list: {one}", "file") for one in ("waitlist", "sightings")]


def test_the_privacy_officer_takes_requests_and_the_log(desk: Desk) -> None:
    officer = desk.signed_in(OKAFOR)
    officer.fill("/customer", {"phone": ANNA, "kind": "dispute", "about": "=1+1, says Anna"})
    desk.signed_in(MEI).look_up(BEN)
    request = dict(zip(*cells(officer.fill("/lists", {"do": "requests"})), strict=True))
    assert (request["kind"], request["customers"]) == ("dispute", "anna")
    assert request["they say"] == "'=1+1, says Anna"
    rows = cells(officer.fill("/lists", {"do": "log", "days": "30"}))
    assert {"look-up", "request", "export"} <= {row[3] for row in rows[1:]}
    assert not any(one in str(rows) for one in (ANNA, BEN))
    assert max(len(row[6]) for row in rows[1:]) == 8


@pytest.mark.parametrize(
    ("who", "fields"),
    [
        (RAFAEL, {"do": "log"}), (RAFAEL, {"do": "requests"}), (OKAFOR, {"do": "sightings"}),
        (OKAFOR, {"do": "waitlist", "reference": "GMT-II"}), (RAFAEL, {"do": "passwords"}),
        (MEI, {"do": "waitlist", "reference": "GMT-II"}),
    ],
)  # fmt: skip
def test_nobody_takes_a_list_whose_page_they_may_not_see(
    open_desk: Desk, who: str, fields: dict[str, str]
) -> None:
    assert open_desk.signed_in(who).fill("/lists", fields).status_code == 403
    assert open_desk.log(LogAct.EXPORT) == []


@pytest.mark.parametrize("cell", ["=1+1", "+41", "-1", "@x", " =1", "\t=1", "\r=1"])
def test_a_spreadsheet_computes_no_cell(cell: str) -> None:
    made = csv_file(["head"], [[cell], ["SN-1"], [None]]).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(made, newline="")))
    assert rows == [["head"], [f"'{cell}"], ["SN-1"], [""]]


def test_a_log_that_is_too_long_for_a_file_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_lists, "MOST_ROWS", 2)
    officer = desk.signed_in(OKAFOR)
    for _ in "abc":
        desk.signed_in(MEI).look_up(ANNA)
    refused = officer.fill("/lists", {"do": "log", "days": "7"})
    assert refused.status_code == 409
    assert "choose a shorter time" in said(refused)
    assert desk.log(LogAct.EXPORT) == []
