"""Look-ups at the desk: how many, never unlogged, and nothing of what was typed stays."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import logging
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from typing_extensions import override

from outlet_client.bands.lookup import A_PERSON_LOOKS, NO_BANDS_YET, Answer, LookUp
from outlet_client.bands.lookup_quota import LookupQuotaReached
from outlet_client.desk import lookup_pages
from outlet_client.desk.asgi_app import desk_app
from outlet_client.errors import ServiceUnreachable
from outlet_client.records.access_log import LogAct
from outlet_client.records.actor import Actor, LookupPurpose
from outlet_client.services import HQ
from outlet_client.staff.sign_in_throttle import FREE_TRIES
from tests.outlet_client.authenticator import Device
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    FAY,
    GUS,
    MEI,
    NOON,
    OKAFOR,
    PASSWORD,
    RAFAEL,
    URL,
    Browser,
    Desk,
    Parties,
    desk,
    home,
    kept,
    opened,
    outlet,
    said,
)
from tests.outlet_client.test_desk_sign_in import NEW, options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outlet_client.services import Services

__all__ = ["desk", "home", "outlet"]

BANDS = ("Priority", "Low", "Eligible", "Elevated")


def test_of_who_is_known_at_too_many_outlets_no_band_is_shown_and_a_person_looks(
    home: Path, outlet: Path
) -> None:
    Parties.of(outlet.parent).shelve(home, NOON, version=2, at_many="anna")
    with opened(home) as desk:
        mei = desk.signed_in(MEI)
        shown = said(mei.look_up(ANNA, reference="GMT-II"))
        for words in ("A person looks", A_PERSON_LOOKS, "Manager decides", "as of 2026-03-01"):
            assert words in shown
        assert not any(words in shown for words in (*BANDS, "Not enough history"))
        assert "Eligible" in said(mei.look_up(BEN))
        assert [entry.outcome for entry in desk.log(LogAct.LOOK_UP)] == ["known", "known"]


def test_before_the_first_book_the_page_says_that_there_are_no_bands_yet(home: Path) -> None:
    (home / "book.bin").unlink()
    with opened(home) as desk:
        mei = desk.signed_in(MEI)
        shown = said(mei.look_up(ANNA, reference="GMT-II"))
        for words in ("Not enough history", NO_BANDS_YET, "Manager decides"):
            assert words in shown
        assert not any(words in shown for words in (*BANDS, "band book", "did not work"))
        assert [entry.outcome for entry in desk.log(LogAct.LOOK_UP)] == ["known"]


def set_quota(home: Path, quota: int) -> None:
    with (home / "escapement.toml").open("a") as settings:
        settings.write(f"lookups_a_day = {quota}\n")


@pytest.fixture
def sparing(home: Path) -> Iterator[Desk]:
    """A desk at which one person looks up three customers a day."""
    set_quota(home, 3)
    with opened(home) as made:
        yield made


# --- how many -------------------------------------------------------------------------------------


def test_one_person_looks_up_so_many_customers_a_day_and_no_more(sparing: Desk) -> None:
    mei = sparing.signed_in(MEI)
    for left in (2, 1, 0):
        answer = mei.look_up(ANNA)
        assert answer.status_code == 200
        assert "Priority" in answer.text
        assert f"You have {left} left today" in said(answer)
    refused = mei.look_up(BEN)
    assert refused.status_code == 429
    assert "You have made 3 look-ups today" in said(refused)
    assert not any(band in said(refused) for band in BANDS)
    assert len(sparing.log(LogAct.LOOK_UP)) == 3
    agreed = {"phone": GUS, "purpose": "sale", "agreed": "yes"}
    agreed["notice"] = sparing.site.notice.digest
    assert mei.fill("/look-up/agreed", agreed).status_code == 429
    assert sparing.log(LogAct.CONSENT) == []
    assert sparing.signed_in(RAFAEL).look_up(BEN).status_code == 200
    sparing.clock.forward(days=1)
    assert sparing.signed_in(MEI).look_up(BEN).status_code == 200


class Slow(LookUp):
    """Takes its time."""

    @override
    def look_up(self, phone: str | None, email: str | None, asked: Actor) -> Answer:
        time.sleep(0.02)
        return super().look_up(phone, email, asked)


def test_who_asks_often_at_once_gets_no_more_answers(sparing: Desk) -> None:
    opened = sparing.site.access
    publishers = opened.look_up._publishers
    slow = Slow(sparing.home, opened.people, publishers, opened.settings, sparing.clock)
    sparing.app = desk_app(replace(sparing.site, access=replace(opened, look_up=slow)))
    mei = sparing.signed_in(MEI)
    form = {"csrf": mei.token("/account"), "phone": ANNA, "purpose": "sale"}
    forms = [form | {"once": mei.key("/look-up")} for _ in range(12)]

    async def together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(sparing.app)
        cookies = dict(mei.cookies)
        async with httpx.AsyncClient(
            transport=transport, base_url=URL, cookies=cookies, follow_redirects=True
        ) as many:
            return await asyncio.gather(*(many.post("/look-up", data=one) for one in forms))

    with closing(slow):
        answers = asyncio.run(together())
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 9
    assert sum("Priority" in answer.text for answer in answers) == 3
    assert len(sparing.log(LogAct.LOOK_UP)) == 3


def test_look_ups_by_a_command_count_as_those_at_the_desk_do_under_the_name_however_typed(
    sparing: Desk,
) -> None:
    for name in (MEI, f" {MEI.upper()} "):
        asked = Actor.of(name, LookupPurpose.SALE)
        sparing.site.access.look_up.look_up(ANNA, None, asked)
    mei = sparing.signed_in(MEI)
    assert "You have 1 left today" in said(mei.get("/look-up"))
    assert mei.look_up(ANNA).status_code == 200
    for _ in range(2):
        with pytest.raises(LookupQuotaReached, match="You have made 3 look-ups today"):
            sparing.site.access.look_up.look_up(ANNA, None, Actor.of(MEI, LookupPurpose.SALE))
    shown = mei.get("/look-up")
    assert shown.status_code == 200
    assert "You have 0 left today" in said(shown)
    assert mei.look_up(ANNA).status_code == 429


def test_look_ups_that_a_proposal_made_do_not_count(sparing: Desk) -> None:
    rafael = sparing.signed_in(RAFAEL)
    for _ in range(2):
        made = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
        assert made.status_code == 303, said(made)
    assert len(sparing.log(LogAct.LOOK_UP)) == 6
    assert "You have 3 left today" in said(rafael.get("/look-up"))
    assert rafael.look_up(ANNA).status_code == 200


def test_what_is_refused_before_it_is_asked_costs_nothing(sparing: Desk) -> None:
    mei = sparing.signed_in(MEI)
    refused = [
        mei.look_up(ANNA, purpose="curiosity"),
        mei.look_up(ANNA, purpose=""),
        mei.look_up(ANNA, reference="No such"),
        mei.look_up("12"),
    ]
    assert [answer.status_code for answer in refused] == [400, 400, 409, 409]
    assert sparing.log(LogAct.LOOK_UP) == []
    assert "You have 3 left today" in said(mei.get("/look-up"))


class Net:
    """A network in which answers take long, or never come."""

    def __init__(self) -> None:
        self.asked, self.answers = threading.Event(), threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[Services]:
        self.asked.set()
        self.answers.wait(20)
        raise ServiceUnreachable(HQ, "no answer")
        yield  # type: ignore[unreachable]  # a generator has to yield


def test_nobody_waits_for_a_colleague_who_waits_for_the_network(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_pages, "_PATIENCE", 0.05)
    net = Net()
    desk.app = desk_app(replace(desk.site, services=net))
    mei, rafael = desk.signed_in(MEI), desk.signed_in(RAFAEL)
    agreed = {"phone": GUS, "purpose": "sale", "agreed": "yes", "notice": desk.site.notice.digest}
    form = {"csrf": mei.token("/account"), **agreed}
    answers: list[httpx.Response] = []
    waits = threading.Thread(target=lambda: answers.append(mei.sent("/look-up/agreed", form)))
    waits.start()
    try:
        assert net.asked.wait(20)
        assert rafael.look_up(ANNA).status_code == 200
        second = Browser(desk.app, desk.site)
        second.name = MEI
        second.cookies.update(mei.cookies)
        busy = second.look_up(ANNA)
        assert busy.status_code == 429
        assert "still being answered" in said(busy)
    finally:
        net.answers.set()
        waits.join(20)
    assert "The network cannot be reached just now" in said(answers[0])
    assert mei.look_up(ANNA).status_code == 200


# --- a first time ---------------------------------------------------------------------------------


def test_a_consent_is_recorded_by_a_tick_under_the_very_notice_and_not_otherwise(
    desk: Desk,
) -> None:
    mei, notice = desk.signed_in(MEI), desk.site.notice
    asked = mei.look_up(GUS)
    assert "agreement comes first" in said(asked)
    assert all(paragraph in said(asked) for paragraph in notice.paragraphs)
    typed = {"phone": GUS, "purpose": "sale"}
    for more in (
        {},
        {"agreed": "yes"},
        {"notice": notice.digest},
        {"agreed": "yes", "notice": "0" * 64},
        {"agreed": "on", "notice": notice.digest},
    ):
        refused = mei.fill("/look-up/agreed", typed | more)
        assert refused.status_code == 400
    assert desk.log(LogAct.CONSENT) == []
    given = mei.fill("/look-up/agreed", typed | {"agreed": "yes", "notice": notice.digest})
    assert given.status_code == 202  # nobody listens here
    assert "The network cannot be reached just now" in said(given)
    [consent] = desk.log(LogAct.CONSENT)
    assert (consent.by, consent.purpose) == (MEI, LookupPurpose.SALE)
    last = desk.site.access.people.consents().sort("recorded_at").row(-1, named=True)
    assert (last["notice"], last["recorded_by"]) == (notice.version, MEI)
    assert [one.outcome for one in desk.log(LogAct.LOOK_UP)][-1] == "ServiceUnreachable"


# --- nothing without an entry ---------------------------------------------------------------------


def close_log(home: Path) -> None:
    """Lets the log take no entry any more, as a full disk would."""
    refusal = "CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'full'); END"
    with closing(sqlite3.connect(home / "rights.db")) as rights:
        rights.execute(refusal)


def test_where_the_log_takes_no_entry_nothing_is_answered_and_nothing_is_done(desk: Desk) -> None:
    everybody = {name: desk.signed_in(name) for name in (MEI, RAFAEL, OKAFOR)}
    rafael, okafor = everybody[RAFAEL], everybody[OKAFOR]
    assert rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"}).status_code == 303
    assert okafor.fill("/customer", {"phone": ANNA, "kind": "access"}).status_code == 303
    assert okafor.fill("/customer", {"phone": ANNA, "do": "show"}).status_code == 200
    wish = {"phone": BEN, "reference": "GMT-II"}
    assert [everybody[MEI].look_up(one).status_code for one in (ANNA, BEN)] == [200, 200]
    assert everybody[MEI].fill("/look-up/wish", wish).status_code == 303
    device, asked = Device(URL), options(everybody[MEI], "/account")
    tokens = {name: browser.token("/account") for name, browser in everybody.items()}
    close_log(desk.home)
    before = kept(desk.home)
    seen, notice, undertaking = "2026-02-21", desk.site.notice, desk.site.undertaking
    forms: list[tuple[str, str, dict[str, str]]] = [
        (MEI, "/look-up", {"phone": ANNA, "purpose": "sale"}),
        (MEI, "/look-up/wish", {"phone": ANNA, "reference": "GMT-II"}),
        (RAFAEL, "/waitlist/1/close", {"reason": "handed over"}),
        (MEI, "/sightings", {"serial": "SN-1", "seen": seen, "where": "a fair"}),
        (MEI, "/undertaking", {"agree": "yes", "digest": undertaking.digest}),
        (MEI, "/account/passkey", {"answer": device.create(asked)}),
        (MEI, "/account/password", {"old": PASSWORD, "new": NEW, "again": NEW}),
        (RAFAEL, "/allocations", {"reference": "GMT-II", "pieces": "1"}),
        (RAFAEL, "/allocations/1", {}),
        (RAFAEL, "/allocations/1", {"give": "2", "less": "1", "reason": "a friend"}),
        (
            RAFAEL,
            "/sightings/decision",
            {"serial": "SN-0", "seen": seen, "decision": "confirm", "reason": "seen by me"},
        ),
        (OKAFOR, "/customer", {"phone": ANNA, "do": "show"}),
        (OKAFOR, "/customer", {"phone": ANNA, "do": "export"}),
        (OKAFOR, "/customer", {"phone": ANNA, "kind": "dispute"}),
        (OKAFOR, "/requests/1", {"note": "Shown."}),
    ]
    for name, path, fields in forms:
        answer = everybody[name].sent(path, {"csrf": tokens[name], **fields})
        if path.startswith("/allocations/"):  # whom it passes over is told first
            passes = answer.text.partition('name="seen" value="')[2].partition('"')[0]
            more = {"csrf": tokens[name], **fields, "seen": html.unescape(passes)}
            answer = everybody[name].sent(path, more)
        assert answer.status_code == 409, (path, said(answer))
        assert "That did not work" in answer.text
        assert not any(f" {band} " in said(answer) for band in BANDS)
        assert "SN-0" not in answer.text
    after = kept(desk.home)
    assert after.pop("staff.db: tries") == []
    before.pop("staff.db: tries")
    for both in (before, after):  # that a form was sent is no act
        both.pop("staff.db: forms")
    assert after == before
    # A consent and its end stand whatever follows: neither may be lost to a full disk.
    agreed = {"phone": FAY, "purpose": "sale", "agreed": "yes", "notice": notice.digest}
    answer = everybody[MEI].sent("/look-up/agreed", {"csrf": tokens[MEI], **agreed})
    assert answer.status_code == 409
    assert not any(f" {band} " in said(answer) for band in BANDS)


# --- nothing of what was typed stays --------------------------------------------------------------


def written(text: str) -> set[bytes]:
    """A text as it may stand in a file: plain, encoded, or under a hash that anybody can make."""
    plain = {text, text.lstrip("+"), text.removeprefix("+1"), text.lower()}
    found: set[bytes] = set()
    for one in plain:
        data = one.encode()
        found |= {data, one.encode("utf-16-le"), data.hex().encode(), data.hex().upper().encode()}
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + data + b"\0" * 3)
            found.add(coded[4 * bool(shift) : -8].rstrip(b"="))
        for tagged in (data, b"tel:" + data, b"mailto:" + data):
            for hasher in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.blake2b):
                digest = hasher(tagged).digest()
                found |= {digest, digest.hex().encode(), base64.b64encode(digest)[:-4]}
    return {one for one in found if len(one) >= 8}


def traces(home: Path, texts: list[str]) -> list[tuple[str, str]]:
    """Where something that was typed stands, by file."""
    wanted = {text: written(text) for text in texts}
    return [
        (file.name, text)
        for file in home.rglob("*")
        if file.is_file()
        for text, forms in wanted.items()
        if any(form in file.read_bytes() for form in forms)
    ]


def test_the_search_for_traces_finds_what_is_there(tmp_path: Path) -> None:
    for number, data in enumerate(
        (b"x+12125550104y", b"2125550104", b"x".join([b"+12125550104".hex().encode()] * 2),
         base64.b64encode(b"ab+12125550104cd"), base64.b64encode(b"a+12125550104bcd"),
         hashlib.sha256(b"tel:+12125550104").digest())
    ):  # fmt: skip
        (tmp_path / str(number)).write_bytes(data)
    assert {name for name, _ in traces(tmp_path, [GUS])} == set("012345")


def test_what_was_typed_is_in_no_file_no_log_line_and_no_other_page(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    typed = {
        "phone": GUS,
        "email": "gus.the.stranger@example.org",
        "mistyped": "Rafal Ortisz",
        "as a name": "my-secret-password",
        "wrong": "wrong, wrong, wrong",
        "new": NEW,
        "password": PASSWORD,
    }
    nobody = desk.browser()
    for name in (typed["mistyped"], typed["as a name"]):
        for _ in range(FREE_TRIES + 1):
            nobody.sign_in(name, typed["wrong"])
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    who = {"phone": GUS, "email": typed["email"]}
    agreed = {"agreed": "yes", "notice": desk.site.notice.digest, "purpose": "sale"}
    answers = [
        mei.look_up(GUS, email=typed["email"]),
        mei.look_up(GUS[:-2]),
        mei.look_up(GUS, reference="No such"),
        mei.fill("/look-up/agreed", {**who, **agreed}),
        okafor.fill("/customer", {**who, "kind": "access", "about": "Why me?"}),
        okafor.fill("/customer", {**who, "do": "show"}),
        okafor.fill("/customer", {**who, "do": "export"}),
        okafor.fill("/customer", {**who, "do": "withdraw", "sure": "yes"}),
        okafor.fill("/customer", {"phone": GUS[:-2], "do": "show"}),
        mei.fill("/account/password", {"old": PASSWORD, "new": NEW, "again": NEW}),
    ]
    assert all(answer.status_code < 500 for answer in answers)
    secrets = [mei.cookies["desk"], okafor.cookies["desk"], mei.token("/account")]
    assert traces(desk.home, [*typed.values(), *secrets]) == []
    for text in (*typed.values(), *secrets):
        assert text not in caplog.text
    for browser, path in (
        (okafor, "/log"), (okafor, "/requests"), (okafor, "/consents"), (okafor, "/customer"),
        (mei, "/look-up"), (mei, "/sightings"), (mei, "/account"), (nobody, "/sign-in"),
    ):  # fmt: skip
        shown = browser.get(path).text
        assert not [text for text in typed.values() if text in shown]
    for answer in answers:
        assert GUS not in answer.headers.get("location", "")
        assert GUS not in answer.headers.get("set-cookie", "")


def test_a_look_up_is_timed_by_the_desks_own_clock(desk: Desk) -> None:
    desk.signed_in(MEI).look_up(ANNA)
    [entry] = desk.log(LogAct.LOOK_UP)
    assert entry.at == desk.clock()
    assert time.time() - entry.at.timestamp() > 0
