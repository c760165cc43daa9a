"""`escapement-outlet customer`: what customers are shown of themselves, and what they ask for."""

from __future__ import annotations

import datetime as dt
import json
import re
import stat
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from features.bands import SCHEMES
from outlet_client.bands.lookup import A_PERSON_LOOKS, NO_BANDS_YET
from outlet_client.commands.customer import customer_app
from outlet_client.ledger.event_reader import read_events
from outlet_client.ledger.event_store import EventStore
from outlet_client.log_tables.rights_store import RIGHTS_FILE, rights_of
from outlet_client.main import app
from outlet_client.records.access_log import LogAct, recent_entries
from outlet_client.records.customer_requests import open_requests, overdue_requests
from outlet_client.records.log_audit import audit_log
from outlet_client.rights.rights_text import NOTHING_LEFT
from outlet_client.settings import OutletFile
from privacy.envelopes import SigningKey
from tests.outlet_client.test_reasons import (
    ANNA,
    BEN,
    NOW,
    STRANGER,
    Boutique,
    boutique,
    store_bands,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["boutique"]

TODAY = dt.datetime.now(dt.UTC).date()


class Counter:
    """The customer commands in an outlet's folder."""

    def __init__(self, boutique: Boutique) -> None:
        self.boutique, self.home = boutique, boutique.home
        boutique.enrol()

    def run(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(customer_app, [*words, "--home", str(self.home)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        assert not any(one in done.output for one in (ANNA, BEN, STRANGER))
        return " ".join(done.output.split())

    def shown(self, phone: str = ANNA, *words: str) -> dict[str, Any]:
        said = self.run("show", "--phone", phone, "--by", "mei", "--json", *words)
        found: dict[str, Any] = json.loads(said)
        return found

    def requests(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("requests", "--json", *words))
        return found

    def event(self, **cells: object) -> str:
        """The id of Anna's event with these cells."""
        [found] = [one["id"] for one in self.shown()["events"] if cells.items() <= one.items()]
        return str(found)

    def prices(self, customer: str) -> list[float]:
        """What a night reads of a customer."""
        settings = OutletFile.read(self.home / "escapement.toml")
        events = read_events(self.home, settings, NOW).attached.events
        return events.filter(customer=customer, kind="purchase").sort("date")["price"].to_list()


@pytest.fixture
def counter(boutique: Boutique) -> Counter:
    return Counter(boutique)


# --- show and export ------------------------------------------------------------------------------


def test_a_customer_sees_everything_that_is_held_of_them_and_nothing_of_anybody_else(
    counter: Counter,
) -> None:
    store_bands(counter.boutique, 3, 1)
    found = counter.shown()
    assert found["customers"] == ["a1", "a2"]
    assert [event["date"] for event in found["events"]] == [
        "2024-03-05", "2025-05-02", "2025-06-01", "2025-06-20", "2025-08-01"
    ]  # fmt: skip
    assert {event["customer"] for event in found["events"]} == {"a1", "a2"}
    assert found["sightings"] == [
        {"date": "2025-07-05", "serial": "s3", "kind": "confirmed", "alone": False}
    ]
    [consent] = found["consents"]
    assert (consent["notice"], consent["recorded_by"], consent["withdrawn_at"]) == (
        "n",
        "mei",
        None,
    )
    assert found["band"]["status"] == "known"
    assert len(found["band"]["bands"]) == len(SCHEMES)
    assert found["reasons"]["as_of"] == "2026-01-10"
    parts = counter.boutique.told()["parts"]
    assert {
        name: sum(one["points"] for one in reasons)
        for name, reasons in found["reasons"]["scores"].items()
    } == parts
    for reasons in found["reasons"]["scores"].values():
        assert any("piece" in one["text"] or "purchase" in one["text"] for one in reasons)
        assert [one["text"] for one in reasons][4:] == ["number of events here (4)"]
    text = json.dumps(found)
    assert "s6" not in text
    assert "R3" not in text


def test_looking_at_ones_own_file_is_a_look_up_and_is_in_it(counter: Counter) -> None:
    counter.shown()
    [first, second] = counter.shown()["look_ups"]
    assert (first["by"], first["purpose"]) == ("mei", "customer")
    assert second["at"] >= first["at"]
    assert counter.shown(BEN)["look_ups"][0]["purpose"] == "customer"


def test_a_customer_who_is_known_at_too_many_outlets_is_told_that_a_person_looks(
    counter: Counter, tmp_path: Path
) -> None:
    store_bands(counter.boutique, 3, 3, many_outlets=True)
    told = {(band["band"], band["allows"]) for band in counter.shown()["band"]["bands"]}
    assert told == {("new", A_PERSON_LOOKS)}
    page = tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA, "--by", "mei")
    assert page.read_text().count(A_PERSON_LOOKS) == 2


def test_the_json_the_export_and_the_page_hold_the_same(counter: Counter, tmp_path: Path) -> None:
    store_bands(counter.boutique, 3, 1)
    shown = counter.shown()
    export, page = tmp_path / "anna.json", tmp_path / "anna.html"
    counter.run("export", str(export), "--phone", ANNA, "--by", "mei")
    counter.run("show", "--html", str(page), "--phone", ANNA, "--by", "mei")
    for file in (export, page):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = json.loads(export.read_text())
    assert written.keys() == shown.keys()
    for name in shown.keys() - {"made_at", "look_ups"}:
        assert written[name] == shown[name]
    more = written["look_ups"][len(shown["look_ups"]) :]
    assert [(one["act"], one["outcome"]) for one in more] == [
        ("look-up", "known"), ("export", "file")
    ]  # fmt: skip
    text = words_of(page)
    for event in shown["events"]:
        assert event["id"] in text
    for band in shown["band"]["bands"]:
        assert band["allows"] in text
    for sentence in shown["elsewhere"]:
        assert sentence in text


def test_the_terminal_says_what_the_json_holds(counter: Counter) -> None:
    store_bands(counter.boutique, 3, 1)
    found = counter.shown()
    said = counter.run("show", "--phone", ANNA, "--by", "mei")
    for event in found["events"]:
        assert event["id"] in said
    for part in ("Eligibility: priority.", "2025-07-05, s3, confirmed", "n, ", *found["elsewhere"]):
        assert part in said


class Text(HTMLParser):
    """The text of a page, and what it would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "style")]

    @override
    def handle_data(self, data: str) -> None:
        self.text.append(data)


def words_of(page: Path) -> str:
    parser = Text()
    parser.feed(page.read_text())
    assert parser.links == []
    assert not parser.tags & {"script", "link", "img", "iframe", "form", "object"}
    assert "url(" not in page.read_text()
    return " ".join(" ".join(parser.text).split())


def test_what_stands_in_a_ledger_or_a_note_is_text_on_the_page_and_no_markup(
    counter: Counter, tmp_path: Path
) -> None:
    evil = "<script>alert(1)</script>"
    ledger = (counter.home / "ledger.csv").read_text()
    counter.boutique.write("ledger.csv", ledger.replace(",s1,", f",{evil},"))
    counter.run("dispute", "--phone", ANNA, "--about", f"{evil} [bold]not[/] me", "--by", "mei")
    page = tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA)
    assert words_of(page).count(evil) == 2
    assert "[bold]not[/] me" in words_of(page)
    assert evil in counter.run("show", "--phone", ANNA)


def test_the_page_tells_light_from_dark_and_paper(counter: Counter, tmp_path: Path) -> None:
    page = tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA)
    for rule in ("prefers-color-scheme: dark", "@media print", "default-src 'none'"):
        assert rule in page.read_text()


def test_who_never_agreed_sees_the_ledger_and_that_nothing_left(counter: Counter) -> None:
    clients = (counter.home / "clients.csv").read_text()
    counter.boutique.write("clients.csv", f"{clients}c,{STRANGER},\n")
    ledger = (counter.home / "ledger.csv").read_text()
    counter.boutique.write("ledger.csv", f"{ledger}c,O1,2026-01-09,purchase,70,70,b9,,\n")
    found = counter.shown(STRANGER)
    assert found["customers"] == ["c"]
    assert [event["price"] for event in found["events"]] == [70.0]
    assert found["band"]["status"] == "consent needed"
    assert found["reasons"]["scores"] == {}
    assert found["consents"] == []
    assert found["elsewhere"] == [NOTHING_LEFT]


def test_of_whom_nobody_knows_nothing_is_held_but_that_they_asked(counter: Counter) -> None:
    found = counter.shown(STRANGER)
    assert found["customers"] == found["events"] == found["requests"] == []
    assert len(found["look_ups"]) == 1
    assert "no usable phone or e-mail" in counter.run("show", "--phone", "12", code=1)


def test_a_stranger_s_phone_beside_a_known_mail_shows_the_known_one_and_never_two_people(
    counter: Counter,
) -> None:
    clients = (counter.home / "clients.csv").read_text()
    counter.boutique.write("clients.csv", f"{clients}c,,cleo@x.example\n")
    mail = ("--email", "cleo@x.example", "--by", "mei", "--json")
    assert json.loads(counter.run("show", "--phone", STRANGER, *mail))["customers"] == ["c"]
    assert json.loads(counter.run("show", "--phone", BEN, *mail))["customers"] == ["b"]


def test_without_a_book_or_scorecards_the_rest_is_shown_with_the_reason(
    counter: Counter, boutique: Boutique
) -> None:
    found = counter.shown()
    assert found["band"]["bands"] == []
    assert found["band"]["status"] in {"no band", "not in the network"}
    assert found["band"]["why"]
    assert len(found["events"]) == 5


def test_before_the_first_book_a_customer_is_told_that_there_are_no_bands_yet(
    counter: Counter, tmp_path: Path
) -> None:
    store_bands(counter.boutique, 3, 1)
    (counter.home / "book.bin").unlink()
    band = counter.shown()["band"]
    assert (band["status"], band["as_of"], band["why"]) == ("known", "", NO_BANDS_YET)
    assert [one["band"] for one in band["bands"]] == ["new", "new"]
    page = tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA, "--by", "mei")
    for text in (words_of(page), counter.run("show", "--phone", ANNA, "--by", "mei")):
        assert NO_BANDS_YET in text
        assert "As of ," not in text


def test_an_allocation_in_which_the_customer_was_and_a_waitlist_are_shown(
    counter: Counter,
) -> None:
    propose(counter)
    found = counter.shown()
    assert found["waitlist"] == [{"reference": "R1", "since": "2026-01-02"}]
    [line] = found["allocations"]
    assert (line["reference"], line["decision"]) == ("R1", "not decided")
    looked = [(one["by"], one["purpose"]) for one in found["look_ups"]]
    assert looked == [("noor", "allocation"), ("mei", "customer")]
    assert [one["purpose"] for one in counter.shown(BEN)["look_ups"]] == ["allocation", "customer"]


# --- correct --------------------------------------------------------------------------------------


def test_a_correction_reaches_the_next_night_and_the_page(counter: Counter, tmp_path: Path) -> None:
    assert counter.prices("a2") == [9000.0]
    event = counter.event(serial="s3", kind="purchase")
    said = counter.run("correct", event, "--phone", ANNA, "--set", "price=900", "--by", "noor")
    assert "price=900.0" in said
    assert "next night" in said
    assert counter.prices("a2") == [900.0]
    assert counter.prices("b") == [5000.0]
    [told] = [one["correction"] for one in counter.shown()["events"] if one["id"] == event]
    assert (told["changes"], told["by"], told["struck"]) == ({"price": 900.0}, "noor", False)
    page = tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA)
    assert re.search(
        r"Corrected: price 900\.00\. By noor, .{20}; it holds from the night after", words_of(page)
    )
    [request] = counter.requests("--all")
    assert request["kind"] == "correction"
    assert request["standing"].startswith("answered")


def test_an_event_that_is_struck_counts_no_more_and_the_ledger_stays(counter: Counter) -> None:
    ledger = (counter.home / "ledger.csv").read_bytes()
    event = counter.event(date="2025-08-01")
    assert "struck" in counter.run("correct", event, "--phone", ANNA, "--strike")
    assert counter.prices("a1") == [8000.0]
    assert (counter.home / "ledger.csv").read_bytes() == ledger
    assert len(EventStore(counter.home).rows().filter(customer="a1")) == 3
    found = counter.shown()
    assert len(found["events"]) == 5
    assert found["corrections"] == []


def test_what_the_outlet_mended_itself_is_said_to_be_so(counter: Counter) -> None:
    event = counter.event(date="2025-08-01")
    counter.run("correct", event, "--phone", ANNA, "--strike")
    ledger = (counter.home / "ledger.csv").read_text()
    counter.boutique.write("ledger.csv", ledger.replace(",200,250,", ",210,250,"))
    assert counter.shown()["corrections"] == [event]
    assert counter.prices("a1") == [8000.0, 210.0]


def test_nobody_corrects_another_customers_event(counter: Counter) -> None:
    event = counter.event(date="2025-08-01")
    said = counter.run("correct", event, "--phone", BEN, "--strike", code=1)
    assert "this customer has none of this id" in said
    for words in ((), ("--strike", "--set", "price=1")):
        said = counter.run("correct", event, "--phone", ANNA, *words, code=1)
        assert "expected --set, at least once, or --strike" in said
    assert "COLUMN=VALUE" in counter.run("correct", event, "--phone", ANNA, "--set", "1", code=1)
    assert counter.prices("a1") == [8000.0, 200.0]
    assert counter.requests("--all") == []


# --- disputes and requests ------------------------------------------------------------------------


def test_a_dispute_hides_the_band_until_a_named_person_decides(counter: Counter) -> None:
    store_bands(counter.boutique, 3, 1)
    known = counter.shown()["band"]
    assert known["status"] == "known"
    about = ("--about", "I never resold it")
    said = counter.run("dispute", "--phone", ANNA, *about, "--by", "mei")
    assert "Request 1 (dispute), to be answered by" in said
    found = counter.shown()
    assert found["band"] == {
        "status": "under review",
        "as_of": "",
        "why": "You dispute it. It is not shown until a named person has decided.",
        "bands": [],
    }
    again = counter.run("dispute", "--phone", ANNA, *about, code=1)
    assert "under review already" in again
    assert counter.run("decide", "1", "--note", "x", code=2)
    assert "expected the name" in counter.run("decide", "1", "--by", " ", "--note", "x", code=1)
    assert "expected a sentence" in counter.run("decide", "1", "--by", "N", "--note", " ", code=1)
    assert counter.shown()["band"]["status"] == "under review"
    said = counter.run("decide", "1", "--by", "Noor", "--note", "It was another piece.")
    assert "The band is shown again" in said
    found = counter.shown()
    assert found["band"] == known
    [request] = found["requests"]
    assert request["about"] == "I never resold it"
    assert request["answer"] == "It was another piece."
    assert request["standing"] == f"answered {TODAY} by Noor"
    assert "an answer stays" in counter.run("decide", "1", "--by", "N", "--note", "x", code=1)
    assert "there is none of this number" in counter.run(
        "decide", "9", "--by", "N", "--note", "x", code=1
    )


def test_a_request_is_due_in_thirty_days_and_marked_when_it_is_overdue(counter: Counter) -> None:
    assert counter.run("requests") == "No open requests."
    counter.shown()  # as a night does, it reads who is who in the client book
    long_ago = TODAY - dt.timedelta(days=31)
    words = ("--phone", ANNA, "--received", long_ago.isoformat(), "--by", "mei")
    counter.run("receive", "access", *words)
    counter.run("receive", "export", "--phone", BEN)
    counter.run("receive", "access", "--phone", STRANGER)
    at = dt.datetime.now(dt.UTC)
    assert overdue_requests(counter.home, at) == 1
    assert overdue_requests(counter.home, at - dt.timedelta(days=1)) == 0
    assert [one.number for one in open_requests(counter.home)] == [1, 2, 3]
    first, second, third = counter.requests()
    assert first["overdue"]
    assert first["customers"] == ["a1", "a2"]
    assert second["due"] == (TODAY + dt.timedelta(days=30)).isoformat()
    assert not second["overdue"]
    assert third["customers"] == []
    said = counter.run("requests")
    assert "a1, a2" in said
    assert f"OVERDUE since {TODAY - dt.timedelta(days=1)}" in said
    assert "nobody in the client book" in said
    counter.run("decide", "1", "--by", "Noor", "--note", "Handed over.")
    assert overdue_requests(counter.home, at) == 0
    assert len(counter.requests()) == 2
    assert len(counter.requests("--all")) == 3


@pytest.mark.parametrize(
    ("received", "said"), [("soon", "expected a date"), ("2999-01-01", "in the future")]
)
def test_a_day_that_is_none_is_refused(counter: Counter, received: str, said: str) -> None:
    words = ("receive", "access", "--phone", ANNA, "--received", received)
    assert said in counter.run(*words, code=1)
    assert counter.requests("--all") == []


def test_where_nothing_was_asked_for_nothing_is_open(tmp_path: Path) -> None:
    assert open_requests(tmp_path) == []
    assert overdue_requests(tmp_path, NOW) == 0
    assert list(tmp_path.iterdir()) == []


# --- withdraw -------------------------------------------------------------------------------------


def test_a_withdrawal_answers_the_request_for_it_and_says_what_follows(counter: Counter) -> None:
    counter.run("receive", "withdrawal", "--phone", ANNA, "--by", "mei")
    said = counter.run("withdraw", "--phone", ANNA, "--by", "noor")
    assert "Nothing of this customer ever left this outlet" in said
    [request] = counter.requests("--all")
    assert request["standing"] == f"answered {TODAY} by noor"
    found = counter.shown()
    assert found["consents"][0]["withdrawn_at"]
    assert found["band"]["status"] == "not in the network"
    assert len(found["events"]) == 5  # still in the ledger, and still shown
    assert "Withdrawn here" in counter.run("withdraw", "--phone", ANNA)
    assert counter.run("withdraw", "--phone", "12", code=1).startswith("error: customer: got no")


def test_who_never_agreed_has_nothing_to_withdraw(counter: Counter) -> None:
    assert "never consented here" in counter.run("withdraw", "--phone", STRANGER)
    assert counter.requests("--all") == []


def test_any_identifier_of_a_person_reaches_the_dispute_the_log_and_the_consent(
    counter: Counter,
) -> None:
    mail = "anna@x.example"
    counter.boutique.write(
        "clients.csv", f"customer_id,phone,email\na1,{ANNA},{mail}\na2,8123 4500,\nb,{BEN},\n"
    )
    store_bands(counter.boutique, 3, 1)
    assert counter.shown()["band"]["status"] == "known"
    counter.run("dispute", "--email", mail, "--about", "no", "--by", "mei")
    found = json.loads(counter.run("show", "--email", mail, "--by", "noor", "--json"))
    assert found["customers"] == ["a1", "a2"]
    assert found["band"]["status"] == counter.shown()["band"]["status"] == "under review"
    assert [one["by"] for one in counter.shown()["look_ups"]] == ["mei", "noor", "mei", "mei"]
    assert "already" in counter.run("dispute", "--phone", ANNA, "--about", "no", code=1)
    assert "tell HQ" in counter.run("withdraw", "--email", mail)
    assert counter.shown()["consents"][0]["withdrawn_at"]


# --- what is stored -------------------------------------------------------------------------------


def test_no_phone_is_in_what_is_stored_of_customers_rights(counter: Counter) -> None:
    counter.run("dispute", "--phone", ANNA, "--about", "no", "--by", "mei")
    counter.run("receive", "access", "--phone", STRANGER)
    counter.run("correct", counter.event(date="2025-08-01"), "--phone", ANNA, "--strike")
    counter.run("withdraw", "--phone", BEN)
    data = (counter.home / RIGHTS_FILE).read_bytes()
    for phone in (ANNA, BEN, STRANGER):
        assert re.search(phone[3:].encode(), data) is None


# --- what reviews found ---------------------------------------------------------------------------


def propose(counter: Counter) -> None:
    """Allocation 1: one piece, Anna by band and Ben without one."""
    settings = (counter.home / "escapement.toml").read_text()
    counter.boutique.write("escapement.toml", settings + 'interests = "interests.csv"\n')
    counter.boutique.write(
        "interests.csv", "customer_id,reference,since\na2,R1,2026-01-02\nb,R1,2026-01-03\n"
    )
    store_bands(counter.boutique, 3, 1)
    words = ["allocate", "--reference", "R1", "--pieces", "1", "--by", "noor", "--home"]
    assert CliRunner().invoke(app, [*words, str(counter.home)]).exit_code == 0


def test_a_dispute_hides_the_band_of_an_allocation_that_was_made_before(counter: Counter) -> None:
    propose(counter)
    [before] = counter.shown()["allocations"]
    assert (before["eligibility"], before["no_band"]) == ("priority", "")
    said = counter.run("dispute", "--phone", ANNA, "--about", "no")
    assert "Look-ups, allocations and the customer's own page say 'under review'" in said
    assert "made with the band hides it, and cannot be decided before this is" in said
    [line] = counter.shown()["allocations"]
    assert (line["eligibility"], line["flipper_risk"]) == ("new", "new")
    assert line["no_band"] == "under review"
    counter.run("decide", "1", "--by", "Noor", "--note", "Right after all.")
    assert counter.shown()["allocations"] == [before]


def test_a_dispute_of_who_never_agreed_promises_no_review_in_look_ups(counter: Counter) -> None:
    said = counter.run("dispute", "--phone", STRANGER, "--about", "no")
    assert "There is no standing consent here: look-ups and allocations say that" in said
    assert "'under review'" not in said


def test_a_correction_answers_the_request_it_is_for_and_no_other(counter: Counter) -> None:
    for _ in range(2):
        counter.run("receive", "correction", "--phone", ANNA)
    counter.run("receive", "access", "--phone", ANNA)
    counter.run("receive", "correction", "--phone", BEN)
    event = counter.event(date="2025-08-01")
    words = ("correct", event, "--phone", ANNA)
    said = counter.run(*words, "--set", "price=1")
    assert "Requests 1, 2 stay open" in said
    assert [one["number"] for one in counter.requests()] == [1, 2, 3, 4]
    for other in ("3", "4", "9"):
        said = counter.run(*words, "--set", "price=7", "--request", other, code=1)
        assert f"request {other}: no open correction request of this customer" in said
    assert counter.prices("a1") == [8000.0, 1.0]  # what was refused was not stored
    assert "Request 2 is answered" in counter.run(*words, "--set", "price=2", "--request", "2")
    assert [one["number"] for one in counter.requests()] == [1, 3, 4]
    assert "Request 1 is answered" in counter.run(*words, "--set", "price=3")
    assert [one["number"] for one in counter.requests()] == [3, 4]


def test_nobody_says_that_a_withdrawal_is_done_while_the_consent_stands(counter: Counter) -> None:
    counter.run("receive", "withdrawal", "--phone", ANNA)
    counter.run("receive", "withdrawal", "--phone", STRANGER)
    words = ("--by", "Noor", "--note", "Done.")
    said = counter.run("decide", "1", *words, code=1)
    assert "the customer's consent stands; withdraw it" in said
    assert [one["number"] for one in counter.requests()] == [1, 2]
    assert "answered" in counter.run("decide", "2", *words)  # who never agreed
    counter.boutique.people.withdraw(counter.boutique.key(ANNA))
    assert "answered" in counter.run("decide", "1", *words)


def test_an_empty_ledger_is_shown_as_an_empty_table(counter: Counter, tmp_path: Path) -> None:
    header = (counter.home / "ledger.csv").read_text().splitlines()[0]
    counter.boutique.write("ledger.csv", f"{header}\n")
    found = counter.shown()
    assert found["events"] == found["sightings"] == []
    assert found["customers"] == ["a1", "a2"]
    assert "no event" in found["reasons"]["why"]
    counter.run("export", str(tmp_path / "a.json"), "--phone", ANNA)
    assert "none of this id" in counter.run("correct", "x-1", "--phone", ANNA, "--strike", code=1)
    counter.boutique.write("ledger.csv", f"{header},phone,email\n")
    settings = (counter.home / "escapement.toml").read_text()
    counter.boutique.write("escapement.toml", settings.replace('clients = "clients.csv"\n', ""))
    assert counter.shown()["events"] == []  # the ledger is the client book, and nobody is in it


def test_a_strike_of_the_last_event_can_be_undone(counter: Counter) -> None:
    lines = (counter.home / "ledger.csv").read_text().splitlines()
    counter.boutique.write("ledger.csv", f"{lines[0]}\n{lines[1]}\n")
    [event] = [one["id"] for one in counter.shown()["events"]]
    counter.run("correct", event, "--phone", ANNA, "--strike")
    [struck] = counter.shown()["events"]
    assert struck["correction"]["struck"]
    counter.run("correct", event, "--phone", ANNA, "--set", "price=8000")
    assert counter.prices("a1") == [8000.0]


def test_the_till_that_removes_a_struck_duplicate_removes_it_from_the_page_too(
    counter: Counter,
) -> None:
    ledger = (counter.home / "ledger.csv").read_text()
    twice = ledger + ledger.splitlines()[5] + "\n"
    counter.boutique.write("ledger.csv", twice)
    one, _ = [one["id"] for one in counter.shown()["events"] if one["date"] == "2025-08-01"]
    counter.run("correct", one, "--phone", ANNA, "--strike")
    assert counter.prices("a1") == [8000.0, 200.0]
    counter.boutique.write("ledger.csv", ledger)
    assert counter.prices("a1") == [8000.0, 200.0]
    found = counter.shown()
    assert found["corrections"] == [one]
    assert [event["correction"] for event in found["events"]] == [None] * 5


def test_a_day_before_events_are_kept_is_refused_with_the_reason(counter: Counter) -> None:
    event = counter.event(date="2025-08-01")
    words = ("correct", event, "--phone", ANNA, "--set")
    said = counter.run(*words, "date=2001-01-01", code=1)
    assert "date: older than events are kept here" in said
    assert "keep_days" in said
    assert len(counter.prices("a1")) == 2
    assert "date=2025-08-02" in counter.run(*words, "date=2025-08-02")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this machine's time zone."""

    def put(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ["UTC-14", "UTC+12"])
def test_the_day_of_a_request_is_this_machines_own(
    counter: Counter, clock: Callable[[str], None], zone: str
) -> None:
    """At any moment it is another day than in UTC in one of the two zones."""
    clock(zone)
    today = dt.datetime.now().astimezone().date()
    words = ("receive", "access", "--phone", ANNA, "--received")
    counter.run(*words, today.isoformat())
    tomorrow = today + dt.timedelta(days=1)
    assert "in the future" in counter.run(*words, tomorrow.isoformat(), code=1)
    counter.run("receive", "access", "--phone", ANNA)
    assert [one["received"] for one in counter.requests()] == [today.isoformat()] * 2


def test_a_page_and_json_are_made_together(counter: Counter, tmp_path: Path) -> None:
    page = tmp_path / "anna.html"
    assert counter.shown(ANNA, "--html", str(page))["customers"] == ["a1", "a2"]
    assert "a1" in words_of(page)


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(
    counter: Counter, tmp_path: Path
) -> None:
    for name, words in (("anna.html", ("show", "--html")), ("anna.json", ("export",))):
        place = tmp_path / "nowhere" / name
        said = counter.run(*words, str(place), "--phone", ANNA, code=1)
        assert f"{place}: cannot be written: No such file" in said


# --- the log --------------------------------------------------------------------------------------


def test_whatever_is_done_for_a_customer_is_in_the_log_with_who_did_it(
    counter: Counter, tmp_path: Path
) -> None:
    store_bands(counter.boutique, 3, 1)
    mei = ("--phone", ANNA, "--by", "mei")
    event = counter.event(date="2025-08-01")
    counter.run("export", str(tmp_path / "anna.json"), *mei)
    counter.run("show", "--html", str(tmp_path / "anna.html"), *mei)
    counter.run("dispute", "--about", "no", *mei)
    counter.run("decide", "1", "--by", "Noor", "--note", "looked into")
    counter.run("correct", event, "--set", "price=900", *mei)
    counter.run("correct", event, "--strike", *mei)
    counter.run("withdraw", *mei)
    counter.run("withdraw", "--phone", STRANGER, "--by", "mei")
    with rights_of(counter.home) as connection:
        logged = recent_entries(connection, NOW)[::-1]
        found = [one for one in logged if one.act is not LogAct.LOOK_UP]
    assert [(one.act.value, one.by, one.about, one.outcome) for one in found] == [
        ("export", "mei", "the customer's record", "file"),
        ("export", "mei", "the customer's record", "page"),
        ("request", "mei", "request 1", "dispute taken down"),
        ("request", "Noor", "request 1", "dispute answered"),
        ("correction", "mei", f"event {event}", "corrected"),
        ("request", "mei", "request 2", "correction taken down"),
        ("request", "mei", "request 2", "correction answered"),
        ("correction", "mei", f"event {event}", "struck"),
        ("request", "mei", "request 3", "correction taken down"),
        ("request", "mei", "request 3", "correction answered"),
        ("withdrawal", "mei", "", "withdrawing"),
        ("request", "mei", "request 4", "withdrawal taken down"),
        ("request", "mei", "request 4", "withdrawal answered"),
        ("withdrawal", "mei", "", "never consented here"),
    ]
    assert len({one.key for one in found[:-1]} - {""}) == 1
    assert audit_log(counter.home, SigningKey.generate().public, "O1", NOW).findings == ()


def test_an_export_is_in_the_very_file_and_on_the_very_page(
    counter: Counter, tmp_path: Path
) -> None:
    export, page = tmp_path / "anna.json", tmp_path / "anna.html"
    counter.run("show", "--html", str(page), "--phone", ANNA, "--by", "mei")
    counter.run("export", str(export), "--phone", ANNA, "--by", "noor")
    shown = [one for one in json.loads(export.read_text())["look_ups"] if one["act"] == "export"]
    assert [(one["by"], one["purpose"], one["outcome"]) for one in shown] == [
        ("mei", "customer", "page"), ("noor", "customer", "file")
    ]  # fmt: skip
    assert "all of this, as a page" in words_of(page)
    assert "noor, customer, export: file" in counter.run("show", "--phone", ANNA)
