"""What the desk's pages do with what stands in an outlet's files, and with what was typed."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest

from outlet_client.desk.asgi_app import PAGES
from outlet_client.records.access_log import LogAct
from outlet_client.records.actor import MOST_WORDS
from outlet_client.records.customer_requests import open_requests
from outlet_client.staff.accounts import Role
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    GUS,
    MEI,
    OKAFOR,
    RAFAEL,
    Browser,
    Desk,
    desk,
    hire,
    home,
    kept,
    opened,
    outlet,
    said,
)

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

__all__ = ["desk", "home", "outlet"]


# --- allocations ----------------------------------------------------------------------------------


def proposed(browser: Browser, pieces: str = "1") -> str:
    made = browser.fill("/allocations", {"reference": "GMT-II", "pieces": pieces})
    assert made.status_code == 303, said(made)
    return str(made.headers["location"])


def decided(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Decides, after having looked at whom it passes over."""
    answer = browser.fill(path, fields)
    passes = re.search(r'name="seen" value="([^"]*)"', answer.text)
    if answer.status_code == 200 and passes is not None:
        answer = browser.fill(path, {**fields, "seen": html.unescape(passes[1])})
    return answer


def lines(browser: Browser, path: str) -> dict[int, str]:
    """Customers by rank, as whoever cannot see hears them beside the ticks."""
    ticks = re.findall(
        r'name="(?:give|less)" value="(\d+)".*?<span class="unseen">: ([^<]*)<',
        browser.get(path).text,
        re.DOTALL,
    )
    return {int(rank): html.unescape(customer).strip() for rank, customer in ticks}


def test_a_piece_goes_to_whoever_was_ticked(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = proposed(rafael)
    assert lines(rafael, path) == {1: "anna", 2: "ben", 3: "emil"}
    answer = decided(rafael, path, give="2", less="1", reason="He was promised one.")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    shown = said(rafael.get(path))
    assert "Reason: He was promised one." in shown
    assert re.search(
        r"Given .*? 2 ben .*? A piece, not proposed Next .*? 1 anna .*? None, though proposed "
        r"Letter to anna 3 emil",
        shown,
    )
    given, others = shown.partition(" Next ")[::2]
    assert "We would be glad to offer you this piece" in given  # whatever the policy said
    assert "glad to offer" not in others
    assert "There are fewer pieces than wishes" in others
    [override] = desk.log(LogAct.OVERRIDE)
    assert override.by == RAFAEL


@pytest.mark.parametrize(
    "strange", ["a\nb", "a\r\nben", "ben\t", "<ben>", "2", "ben, emil", "é\u202e"]
)
def test_whatever_an_id_holds_a_tick_is_of_one_line(home: Path, strange: str) -> None:
    for name in ("ledger.csv", "clients.csv", "interests.csv"):
        text = (home / name).read_text()
        (home / name).write_text(text.replace("anna,", f'"{strange}",'))
    with opened(home) as desk:
        rafael = desk.signed_in(RAFAEL)
        path = proposed(rafael)
        [rank] = [rank for rank, one in lines(rafael, path).items() if one == strange.strip()]
        assert decided(rafael, path, less=str(rank), reason="Not now.").status_code == 303
        shown = said(rafael.get(path))
        assert " A piece " not in shown


@pytest.mark.parametrize("tick", ["ben", "4", "0", "-1", "2 3", "9" * 30, "٢", "anna\nben"])
def test_a_tick_that_is_no_line_decides_nothing(desk: Desk, tick: str) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = proposed(rafael)
    before = kept(desk.home)
    for name in ("give", "less"):
        answer = decided(rafael, path, **{name: tick}, reason="A mistake.")
        assert answer.status_code == 409
        assert "a tick stands for no line here" in said(answer)
    assert kept(desk.home) == before


def test_nobody_decides_without_having_seen_whom_this_very_decision_passes_over(
    desk: Desk,
) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = proposed(rafael)
    for seen in (
        "",
        "yes",
        "1 customer waits for a manager's look (rank 3): this passes them over.",
    ):
        answer = rafael.fill(path, {"seen": seen})
        assert answer.status_code == 200
        assert "ranks 2, 3" in said(answer)
    assert desk.log(LogAct.DECISION, LogAct.OVERRIDE) == []
    assert decided(rafael, path).status_code == 303
    assert decided(rafael, path).status_code == 409  # once
    assert [one.by for one in desk.log(LogAct.DECISION)] == [RAFAEL]


def test_a_decision_otherwise_than_proposed_needs_a_reason(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = proposed(rafael)
    for reason in ("", "   ", "\u200b", "x" * (MOST_WORDS + 1)):
        answer = decided(rafael, path, less="1", reason=reason)
        assert answer.status_code in (400, 409)
    assert desk.log(LogAct.OVERRIDE) == []


@pytest.mark.parametrize("pieces", ["", "0", "-1", "1.5", "9" * 10, "9" * 5000, "٣", "1e3", "one"])
def test_pieces_are_a_number_that_a_table_has_room_for(desk: Desk, pieces: str) -> None:
    answer = desk.signed_in(RAFAEL).fill("/allocations", {"reference": "GMT-II", "pieces": pieces})
    assert answer.status_code in (400, 409)
    assert "pieces" in said(answer)


# --- sightings ------------------------------------------------------------------------------------


def test_whose_a_piece_is_is_shown_to_managers_only(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    fields = {"serial": "SN-1", "seen": "2026-02-20", "where": "a fair"}
    answers = [
        mei.get("/sightings"),
        mei.fill("/sightings", {**fields, "where": ""}),
        mei.fill("/sightings", {**fields, "serial": "No such"}),
        mei.fill("/sightings", fields),
        mei.fill("/sightings", fields),
        mei.get("/sightings"),
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 409, 303, 409, 200]
    for answer in answers:
        assert not re.search("anna|ben|emil|to be decided", said(answer))
    assert "ben, who had it that day" in said(desk.signed_in(RAFAEL).get("/sightings"))


# --- a customer's rights --------------------------------------------------------------------------


def test_every_record_that_is_shown_or_handed_over_is_in_the_log_and_in_itself(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    page = okafor.fill("/customer", {"phone": ANNA, "do": "show"})
    assert f"by {OKAFOR}" in said(page)
    file = okafor.fill("/customer", {"phone": ANNA, "do": "export"})
    assert file.headers["content-disposition"] == 'attachment; filename="customer-record.json"'
    held = json.loads(file.text)
    exports = [(one.by, one.outcome) for one in desk.log(LogAct.EXPORT)]
    assert exports == [(OKAFOR, "page"), (OKAFOR, "file")]
    assert [one["outcome"] for one in held["look_ups"] if one["act"] == "export"] == [
        "page",
        "file",
    ]
    assert ANNA not in page.text + file.text


def test_a_withdrawal_is_dated_today_or_before_or_nothing_is_withdrawn(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    typed = {"phone": ANNA, "do": "withdraw", "sure": "yes"}
    before = kept(desk.home)
    for received in ("9999-12-31", "2026-03-05", "soon"):
        answer = okafor.fill("/customer", {**typed, "received": received})
        assert answer.status_code == 409
        assert "received" in said(answer)
    assert okafor.fill("/customer", {**typed, "sure": ""}).status_code == 400
    assert kept(desk.home) == before
    assert okafor.fill("/customer", typed).status_code == 200
    assert [one.by for one in desk.log(LogAct.WITHDRAWAL)] == [OKAFOR]
    assert "No band here" in said(desk.signed_in(MEI).look_up(ANNA))


@pytest.mark.parametrize("about", ["x" * (MOST_WORDS + 1), "a\x00b", "a\u202eb"])
def test_what_a_customer_says_is_kept_as_words(desk: Desk, about: str) -> None:
    typed = {"phone": ANNA, "kind": "dispute", "about": about}
    answer = desk.signed_in(OKAFOR).fill("/customer", typed)
    assert answer.status_code == 409
    assert "what they say" in said(answer)
    assert open_requests(desk.home) == []


def test_a_dispute_hides_the_band_at_once_and_a_sentence_shows_it_again(desk: Desk) -> None:
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    typed = {"phone": ANNA, "kind": "dispute", "about": "Never\nresold <it>."}
    assert okafor.fill("/customer", typed).headers["location"] == "/requests"
    assert "Under review" in said(mei.look_up(ANNA))
    assert "Never resold <it>." in said(okafor.get("/requests"))
    assert okafor.fill("/requests/1", {"note": " "}).status_code == 409
    assert okafor.fill("/requests/7", {"note": "Done."}).status_code == 409
    assert (
        okafor.fill("/requests/1", {"note": "The sighting was another piece."}).status_code == 303
    )
    assert "Priority" in said(mei.look_up(ANNA))


def test_a_look_up_shows_one_customer_and_nothing_of_anybody_else(desk: Desk) -> None:
    answer = desk.signed_in(MEI).look_up(ANNA, reference="GMT-II")
    words = said(answer)
    assert "Priority" in words
    assert not re.search(r"anna|ben|emil|9,?500|Diver-40|SN-0", words)
    assert BEN not in answer.text


# --- what stands in files -------------------------------------------------------------------------

MARKUP = "<img src=x onerror=injected()>"
QUOTES = "\"' onmouseover=injected() x='"


@pytest.fixture
def hostile(home: Path) -> Path:
    """A folder in which everything that has a name is called markup."""
    for name in ("ledger.csv", "clients.csv", "interests.csv", "references.csv", "sightings.csv"):
        text = (home / name).read_text()
        for plain in ("anna", "GMT-II", "Diver-40", "SN-0"):
            text = text.replace(f"{plain},", f'"{plain} {MARKUP}",')
        for plain in ("Diver-40", "GMT-II"):
            text = text.replace(f",{plain}\n", f',"{plain} {MARKUP}"\n')
        (home / name).write_text(text)
    (home / "own.txt").write_text(f"{MARKUP}\n\n{MARKUP} {QUOTES}\n")
    with (home / "escapement.toml").open("a") as settings:
        settings.write('undertaking = "own.txt"\nnotice = "own.txt"\n')
    for name, role in zip((f"Eve {MARKUP}", f"Una {QUOTES}", f"Ola {MARKUP}"), Role, strict=True):
        hire(home, name, role)
    return home


def test_nothing_that_stands_in_a_file_or_was_typed_is_markup_on_any_page(hostile: Path) -> None:
    with opened(hostile) as desk:
        eve, una, ola = (
            desk.signed_in(name) for name in (f"Eve {MARKUP}", f"Una {QUOTES}", f"Ola {MARKUP}")
        )
        serial, reference = f"SN-0 {MARKUP}", f"GMT-II {MARKUP}"
        made = una.fill("/allocations", {"reference": reference, "pieces": "1"})
        assert made.status_code == 303, said(made)
        answers = [
            eve.look_up(GUS),
            eve.look_up(f"{MARKUP}{QUOTES}", email=QUOTES, purpose=QUOTES, reference=MARKUP),
            eve.look_up(ANNA, reference=reference),
            eve.fill("/sightings", {"serial": serial, "seen": "2026-02-20", "where": MARKUP}),
            eve.fill("/sightings", {"serial": QUOTES, "seen": QUOTES, "where": MARKUP}),
            eve.fill("/account/password", {"old": MARKUP, "new": QUOTES * 9, "again": QUOTES * 9}),
            una.fill("/allocations", {"reference": MARKUP, "pieces": QUOTES}),
            una.fill("/allocations/1", {"less": "1", "reason": MARKUP}),
            decided(una, "/allocations/1", less="1", reason=f"{MARKUP}{QUOTES}"),
            una.fill(
                "/sightings/decision",
                {"serial": serial, "seen": "2026-02-21", "decision": "confirm", "reason": MARKUP},
            ),
            ola.fill("/customer", {"phone": ANNA, "kind": "access", "about": f"{MARKUP}{QUOTES}"}),
            ola.fill("/customer", {"phone": MARKUP, "email": QUOTES, "about": MARKUP, "kind": "x"}),
            ola.fill("/requests/1", {"note": f"{MARKUP}{QUOTES}"}),
            ola.fill("/customer", {"phone": ANNA, "do": "show"}),
            desk.browser().sign_in(f"{MARKUP}{QUOTES}", MARKUP),
        ]
        assert all(answer.status_code < 500 for answer in answers)
        for browser in (eve, una, ola):
            for page in PAGES:
                if page.get is not None:
                    path = page.path.replace("{number:number}", "1")
                    answers.append(browser.get(path, params={"by": QUOTES, "act": MARKUP}))
        for answer in answers:
            assert MARKUP not in answer.text
            assert not re.search(r"<[^>]* onmouseover=injected", _unquoted(answer.text))
        shown = " ".join(said(answer) for answer in answers)
        assert shown.count(MARKUP) > 40  # as words they are there


def _unquoted(text: str) -> str:
    """A page without what its attributes hold."""
    return re.sub(r'="[^"]*"', '=""', text)
