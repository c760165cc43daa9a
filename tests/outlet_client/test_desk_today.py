"""What waits for whom: the page of today, counts in the navigation, a long list of sightings."""

from __future__ import annotations

import datetime as dt
import html
import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from features.ledger import Kind, Tier
from outlet_client.desk.waiting_counts import WaitingCounts, WaitingKind
from outlet_client.night.health_file import Condition, Health, write_health
from outlet_client.night.night_log import NightLog, NightOutcome, NightStep
from outlet_client.sightings.sighting_history import Sighting
from outlet_client.sightings.sighting_search import (
    A_PAGE,
    SightingGroup,
    SightingQuery,
    SightingState,
    sighting_page,
    state_of,
)
from outlet_client.staff.accounts import Role
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    EMIL,
    MEI,
    NOON,
    OKAFOR,
    RAFAEL,
    Browser,
    Desk,
    desk,
    hire,
    home,
    opened,
    outlet,
    said,
)

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import pytest

__all__ = ["desk", "home", "outlet"]


def waits(page: httpx.Response) -> dict[str, int]:
    """The counts beside the names of pages."""
    found = re.findall(r'<li><a href="([^"]*)"[^>]*>[^<]*<span class="count">(\d+)', page.text)
    return {path: int(number) for path, number in found}


def lines(page: httpx.Response) -> list[tuple[str, str]]:
    """What waits: where it is done, and the words with the clock."""
    found = re.findall(r"<li(?: class=\"late\")?>(<(?:a|span)[ >].*?)</li>", page.text, re.S)
    made = []
    for one in found:
        link = re.match(r'<a href="([^"]*)"', one)
        words = " ".join(html.unescape(re.sub("<[^>]*>", "", one)).split())
        made.append(("" if link is None else link[1], words))
    return [one for one in made if not one[0] or "#" in one[0] or one[0].count("/") > 1]


# --- the page -------------------------------------------------------------------------------------


def test_who_decides_begins_with_what_waits_and_who_serves_begins_with_the_look_up(
    desk: Desk,
) -> None:
    for name, place in ((MEI, "/look-up"), (RAFAEL, "/today"), (OKAFOR, "/today")):
        browser = desk.signed_in(name)
        assert browser.get("/").headers["location"] == place
        assert browser.get(place).status_code == 200
    assert desk.signed_in(MEI).get("/today").status_code == 403


def test_each_line_leads_to_where_it_is_done_and_no_role_sees_another_s(desk: Desk) -> None:
    mei, rafael, okafor = (desk.signed_in(name) for name in (MEI, RAFAEL, OKAFOR))
    rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    newest = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "2"})
    mei.fill("/sightings", {"serial": "SN-1", "seen": "2026-02-20", "where": "a fair"})
    okafor.fill("/customer", {"phone": BEN, "kind": "dispute"})
    for _ in range(5):
        mei.look_up(ANNA)
    theirs, hers = rafael.get("/today"), okafor.get("/today")
    shown = dict(lines(theirs))
    assert shown[newest.headers["location"]] == "Proposal 2: 2 pieces of GMT-II made today"
    assert "/allocations/1" not in shown  # over with the newer one
    pieces = {link: words for link, words in shown.items() if link.startswith("/sightings#")}
    assert sorted(words.split(",")[0] for words in pieces.values()) == ["SN-0", "SN-1"]
    assert f"reported by {MEI}" in said(theirs)
    listed = rafael.get("/sightings").text
    assert all(f'id="{link.partition("#")[2]}"' in listed for link in pieces)
    assert not re.search("Request|Unusual|Mei Lin: ", said(theirs).replace("reported by", ""))

    shown = dict(lines(hers))
    assert shown["/requests#q1"].startswith("Request 1: dispute the band 30 days left, until 2026-")
    assert "again and again (5)" in shown["/log#unusual"]
    assert 'id="q1"' in okafor.get("/requests").text
    assert not re.search("SN-|GMT-II|Proposal|Sighting", said(hers))
    for page in (theirs, hers):
        assert not re.search("anna|ben|emil|a fair", said(page))


def test_the_most_overdue_request_stands_first_with_its_clock(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    for phone, received in ((ANNA, "2026-03-02"), (BEN, "2026-01-20"), (EMIL, "2026-01-31")):
        okafor.fill("/customer", {"phone": phone, "kind": "access", "received": received})
    found = [words for link, words in lines(okafor.get("/today")) if link.startswith("/requests")]
    assert [re.sub(r"[-\d]{10}", "DAY", one) for one in found] == [
        "Request 2: see what is held overdue by 11 days, since DAY",
        "Request 3: see what is held due today, DAY",
        "Request 1: see what is held 30 days left, until DAY",
    ]
    assert okafor.get("/today").text.count('<span class="due">') == 2
    okafor.fill("/requests/2", {"note": "Shown."})
    assert "Request 2" not in said(okafor.get("/today"))


def test_what_is_amiss_with_this_outlet_is_said_without_an_error_s_own_text(home: Path) -> None:
    why = f"ledger: {home}/secret.csv cannot be read"
    log = NightLog.open(home)
    night = log.begin(NOON, dt.timedelta(hours=4))
    night = replace(night, step=NightStep.LEDGER, ended=NOON, error="LedgerError")
    log.write(replace(night, outcome=NightOutcome.FAILED))
    log.close()
    failed = Health(
        Condition.FAILED, night=1, error=why, log_findings=2, quarantined=7, mail_error=why
    )
    write_health(home, failed)
    with opened(home) as desk:
        desk.clock.forward(days=40)  # and the book is too old
        managers, officers = (desk.signed_in(one).get("/today") for one in (RAFAEL, OKAFOR))
        for page in (managers, officers):
            assert "failed at its step 'ledger': the ledger or the client book could" in said(page)
            assert "No bands are shown: band book: made 2026-03-02" in said(page)
            assert "secret.csv" not in page.text
            assert str(home) not in page.text
        assert "The last night was not mailed" in said(managers)
        assert "7 rows of the ledger are in quarantine" in said(managers)
        assert "2 findings about the log" in said(officers)
        assert not re.search("mailed|quarantine", said(officers))
        assert "about the log" not in said(managers)


def test_where_nothing_waits_the_page_says_so(home: Path) -> None:
    (home / "sightings.csv").write_text("serial,seen_at,status\n")
    with opened(home) as desk:
        assert waits(desk.signed_in(RAFAEL).get("/today")) == {}
        assert "Nothing waits for you." in said(desk.signed_in(RAFAEL).get("/today"))


def test_a_table_that_cannot_be_read_is_said_and_the_rest_of_the_page_stands(home: Path) -> None:
    (home / "sightings.csv").write_text("what,is,this\n1,2,3\n")
    with opened(home) as desk:
        rafael = desk.signed_in(RAFAEL)
        rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
        page = rafael.get("/today")
        assert page.status_code == 200
        assert "sightings.csv" in said(page)
        assert "Proposal 1" in said(page)
        assert "/sightings" not in waits(page)


# --- counts ---------------------------------------------------------------------------------------


def test_the_navigation_counts_what_waits_for_this_role(desk: Desk) -> None:
    mei, rafael, okafor = (desk.signed_in(name) for name in (MEI, RAFAEL, OKAFOR))
    rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    okafor.fill("/customer", {"phone": BEN, "kind": "access"})
    rafael.get("/look-up")  # counted once it is on its way
    assert waits(rafael.get("/look-up")) == {"/today": 2, "/sightings": 1, "/allocations": 1}
    mei.fill("/sightings", {"serial": "SN-1", "seen": "2026-02-20", "where": "a fair"})
    rafael.get("/look-up")
    assert waits(rafael.get("/look-up"))["/sightings"] == 2
    fields = {"serial": "SN-1", "seen": "2026-02-20", "reason": "another piece"}
    done = rafael.fill("/sightings/decision", {**fields, "decision": "dismiss"})
    assert waits(rafael.get(done.headers["location"]))["/sightings"] == 1  # at once
    assert waits(okafor.get("/requests")) == {"/today": 1, "/requests": 1}
    assert waits(mei.get("/look-up")) == {}


@dataclass
class Counting:
    """Something that waits, which says how often it was counted."""

    number: int = 3
    mark: object = "a"
    counted: int = 0
    failing: list[Exception] = field(default_factory=list)

    def count(self, _at: dt.datetime) -> int:
        self.counted += 1
        if self.failing:
            raise self.failing.pop()
        return self.number

    def kind(self, rest: float = 0.0) -> WaitingKind:
        roles = frozenset({Role.MANAGER})
        return WaitingKind("/costly", roles, self.count, lambda _: self.mark, rest)


def test_a_page_never_waits_for_a_costly_number(caplog: pytest.LogCaptureFixture) -> None:
    one = Counting()
    counts = WaitingCounts([one.kind(rest=60)])
    assert counts.of(Role.MANAGER, NOON) == {}
    assert counts.is_old(Role.MANAGER, NOON)
    assert one.counted == 0
    counts.refresh(Role.MANAGER, NOON)
    one.number = 4
    for at in (NOON, NOON + dt.timedelta(hours=9)):  # its mark is the same
        counts.refresh(Role.MANAGER, at)
        assert counts.of(Role.MANAGER, at) == {"/costly": 3}
    one.mark = "b"
    counts.refresh(Role.MANAGER, NOON + dt.timedelta(seconds=59))
    assert counts.of(Role.MANAGER, NOON) == {"/costly": 3}
    assert counts.of(Role.PRIVACY, NOON) == {}
    assert one.counted == 1
    one.failing.append(RuntimeError("+12125550100"))
    with caplog.at_level(logging.ERROR):
        counts.refresh(Role.MANAGER, NOON + dt.timedelta(minutes=1))
    assert caplog.messages == ["what waits: RuntimeError"]
    counts.refresh(Role.MANAGER, NOON + dt.timedelta(minutes=1))
    assert counts.of(Role.MANAGER, NOON) == {"/costly": 4}


# --- sightings ------------------------------------------------------------------------------------

KINDS = (Kind.SUSPECTED, Kind.CONFIRMED, Kind.DISMISSED)
DAY = dt.date(2026, 2, 1)


def sighting(number: int, reference: str | None, kind: Kind, customer: str) -> Sighting:
    """One of a piece of its own."""
    return Sighting(
        f"SN-{number}", reference, Tier.LIMITED, DAY, kind, (customer,), DAY, 0,
        kind is Kind.SUSPECTED, (),
    )  # fmt: skip


SOME = st.lists(
    st.tuples(st.sampled_from(["Diver-40", "GMT-II", None]), st.sampled_from(KINDS),
              st.sampled_from(["anna", "ben"])),
    max_size=3 * A_PAGE,
)  # fmt: skip


@example([("Diver-40", Kind.SUSPECTED, "anna")] * (2 * A_PAGE + 1), "", None, SightingGroup.STATE)
@given(
    SOME,
    st.sampled_from(["", "diver", "SN-1", "ANNA", "nothing"]),
    st.sampled_from([None, *SightingState]),
    st.sampled_from(list(SightingGroup)),
)
def test_every_sighting_that_is_asked_for_is_on_exactly_one_page(
    rows: list[tuple[str | None, Kind, str]],
    text: str,
    state: SightingState | None,
    group: SightingGroup,
) -> None:
    everything = [sighting(number, *row) for number, row in enumerate(rows)]
    first = sighting_page(everything, SightingQuery(text, state, group))
    shown = []
    for number in range(1, first.pages + 1):
        page = sighting_page(everything, SightingQuery(text, state, group, number))
        here = [one for _, _, some in page.groups for one in some]
        assert len(here) <= A_PAGE
        assert (page.of, page.pages) == (len(everything), first.pages)
        shown += here
        for name, size, some in page.groups:
            of = [_name(one, group) for one in everything if _fits(one, text, state)]
            assert size == of.count(name)
            assert {_name(one, group) for one in some} == {name}
    asked = [one.serial for one in everything if _fits(one, text, state)]
    assert sorted(one.serial for one in shown) == sorted(asked)
    assert first.found == len(asked)


def _fits(one: Sighting, text: str, state: SightingState | None) -> bool:
    cells = f"{one.serial}|{one.reference}|{one.customers[0]}".lower()
    return text.lower() in cells and state in (None, state_of(one))


def _name(one: Sighting, group: SightingGroup) -> str:
    if group is SightingGroup.STATE:
        return state_of(one).value
    return one.reference or "no reference"


def many(home: Path, number: int) -> None:
    """Lets so many pieces be seen for sale."""
    day = NOON.date() - dt.timedelta(days=100)
    sold = [
        f"c{n},{day},9500,purchase,x{n},XN-{n:04d},{('Diver-40', 'GMT-II')[n % 2]}"
        for n in range(number)
    ]
    seen = [f"XN-{n:04d},{day + dt.timedelta(days=9)},suspected" for n in range(number)]
    with (home / "ledger.csv").open("a") as ledger, (home / "sightings.csv").open("a") as table:
        ledger.write("\n".join(sold) + "\n")
        table.write("\n".join(seen) + "\n")


def look(browser: Browser, **fields: str) -> httpx.Response:
    """Another part of the list of sightings."""
    return browser.fill("/sightings/look", fields)


def test_a_thousand_sightings_are_a_page_that_can_be_searched_grouped_and_paged(
    home: Path,
) -> None:
    many(home, 1000)
    with opened(home) as desk:
        rafael = desk.signed_in(RAFAEL)
        first = rafael.get("/sightings")
        assert len(first.content) < 100_000
        assert len(rafael.get("/today").content) < 20_000
        assert "1001 of 1001, page 1 of 51" in said(first)
        assert waits(first)["/sightings"] == 1001
        found = look(rafael, find="xn-0777")
        assert found.text.count("<article") == 1
        assert "1 of 1001." in said(found)
        assert "None of them fits." in said(look(rafael, find="nothing of the kind"))
        grouped = look(rafael, group="reference", page="51")
        assert re.findall(r'class="group">([^<]*)', grouped.text) == ["GMT-II "]
        form = {"csrf": rafael.token("/account"), "once": rafael.key("/sightings/look")}
        sent = rafael.post("/sightings/look", data={**form, "find": "xn-0777"})
        assert re.fullmatch(r"/sightings\?shown=\d+", sent.headers["location"])

        place = {"find": "xn-", "group": "reference", "page": "7"}
        fields = {"serial": "XN-0240", "seen": "2025-12-01", "decision": "confirm"}
        refused = rafael.fill("/sightings/decision", {**fields, **place, "reason": ""})
        assert refused.status_code == 409
        fields["seen"] = str(NOON.date() - dt.timedelta(days=91))
        done = rafael.fill("/sightings/decision", {**fields, **place, "reason": "I saw it."})
        assert f"Confirmed: the piece that was seen on {fields['seen']} was resold." in said(done)
        assert "page 7 of 50" in said(done)  # it goes on where it was


def test_what_was_typed_about_a_sighting_comes_back_beside_it_wherever_it_stands(
    home: Path,
) -> None:
    many(home, 60)
    with opened(home) as desk:
        rafael = desk.signed_in(RAFAEL)
        fields = {"serial": "XN-0000", "seen": str(NOON.date() - dt.timedelta(days=91))}
        assert "XN-0000" not in said(rafael.get("/sightings"))  # on another page
        answer = rafael.fill("/sightings/decision", {**fields, "reason": "I saw <it>."})
        assert answer.status_code == 400
        [card] = re.findall(r"<article.*?XN-0000.*?</article>", answer.text, re.S)
        assert 'value="I saw &lt;it&gt;."' in card
        assert answer.text.count("I saw") == 1
        assert 'name="serial" maxlength="80" value=""' in answer.text  # of the other form


def test_what_one_manager_reported_and_confirmed_alone_is_listed_for_another_until_they_look(
    home: Path,
) -> None:
    hire(home, "Noor Haddad", Role.MANAGER)
    many(home, 1)
    day = str(NOON.date())
    with opened(home) as desk:
        rafael, noor = desk.signed_in(RAFAEL), desk.signed_in("Noor Haddad")
        rafael.fill("/sightings", {"serial": "XN-0000", "seen": day, "where": "A fair"})
        fields = {"serial": "XN-0000", "seen": day, "decision": "confirm", "reason": "I saw it."}
        rafael.fill("/sightings/decision", fields)
        alone = "Confirmed by who reported it, and by nobody else"
        shown = noor.get("/today")
        assert f"{alone} 1 XN-0000" in said(shown)
        assert "confirm it too or dismiss it" in said(shown)
        assert alone not in said(rafael.get("/today"))
        noor.fill("/sightings/decision", {**fields, "reason": "So did I."})
        assert alone not in said(noor.get("/today"))
