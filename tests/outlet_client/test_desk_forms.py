"""The desk's forms act once: reload, double click, Back, two tabs, a restart, an ended session."""

from __future__ import annotations

import asyncio
import datetime as dt
import html
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sqlalchemy as sa

from outlet_client.desk.asgi_app import PAGES
from outlet_client.desk.form_keys import FormKeys
from outlet_client.records.access_log import LogAct
from outlet_client.staff.staff_store import FORMS
from tests.outlet_client.authenticator import Device
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    GUS,
    MEI,
    NOON,
    OKAFOR,
    PASSWORD,
    RAFAEL,
    URL,
    Browser,
    Desk,
    desk,
    home,
    kept,
    open_desk,
    opened,
    outlet,
    said,
)
from tests.outlet_client.test_desk_sign_in import options

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["desk", "home", "open_desk", "outlet"]

DAY = "2026-02-21"
FORMS_THAT_ACT: list[tuple[str, str, dict[str, str]]] = [
    (MEI, "/look-up", {"phone": ANNA, "purpose": "sale"}),
    (MEI, "/look-up/agreed", {"phone": GUS, "purpose": "sale", "agreed": "yes", "notice": "its"}),
    (MEI, "/look-up/wish", {"phone": BEN, "email": "", "reference": "GMT-II"}),
    (MEI, "/look-up/wish/1/back", {}),
    (RAFAEL, "/waitlist/1/close", {"reason": "The piece was handed over."}),
    (MEI, "/sightings", {"serial": "SN-1", "seen": DAY, "where": "a fair"}),
    (MEI, "/account/password", {"old": PASSWORD, "new": f"{PASSWORD} 2", "again": f"{PASSWORD} 2"}),
    (MEI, "/account/password", {"old": "wrong", "new": f"{PASSWORD} 2", "again": f"{PASSWORD} 2"}),
    (MEI, "/account/passkey", {"answer": "made"}),
    (MEI, "/undertaking", {"agree": "yes", "digest": "its"}),
    (RAFAEL, "/allocations", {"reference": "GMT-II", "pieces": "1"}),
    (RAFAEL, "/allocations/1", {"seen": "its"}),
    (RAFAEL, "/allocations/1/letter", {"rank": "2"}),
    (RAFAEL, "/sightings/decision",
     {"serial": "SN-0", "seen": "2026-02-21", "decision": "confirm", "reason": "seen by me"}),
    (OKAFOR, "/log/reviewed", {"flag": "its", "outcome": "order"}),
    (OKAFOR, "/customer", {"part": "held", "phone": ANNA, "do": "show"}),
    (OKAFOR, "/customer", {"part": "held", "phone": ANNA, "do": "export"}),
    (OKAFOR, "/customer", {"part": "end", "phone": ANNA, "do": "withdraw", "sure": "yes"}),
    (OKAFOR, "/customer",
     {"part": "take", "phone": ANNA, "do": "take", "kind": "access", "about": "All of it."}),
    (OKAFOR, "/requests/1", {"number": "1", "note": "Shown."}),
    (OKAFOR, "/consents",
     {"phone": GUS, "notice": "2026-01", "given": DAY, "signed": "yes"}),
    (MEI, "/customers", {"name": "muster"}),
    (MEI, "/customers/purchases", {"phone": ANNA, "purpose": "sale"}),
    (RAFAEL, "/duplicates", {"one": "anna", "other": "ben", "decision": "different"}),
    (OKAFOR, "/customer", {"part": "held", "phone": ANNA, "do": "correct"}),
    (OKAFOR, "/customer/correct", {"phone": ANNA, "do": "correct", "price": "950"}),
    (OKAFOR, "/customer/correct", {"phone": ANNA, "do": "strike"}),
    (RAFAEL, "/lists", {"do": "waitlist", "reference": "GMT-II"}),
    (RAFAEL, "/lists", {"do": "sightings"}),
    (OKAFOR, "/lists", {"do": "requests"}),
    (OKAFOR, "/lists", {"do": "log", "days": "7"}),
]  # fmt: skip
"""Each form that does something, as somebody fills it in."""

ELSEWHERE = {"/sign-in", "/sign-in/passkey", "/sign-out", "/account/passkey/remove"}
"""Forms that are tried by tests of their own."""

each_form = pytest.mark.parametrize(
    ("name", "path", "fields"),
    FORMS_THAT_ACT,
    ids=[
        f"{path} {fields.get('do', '')}{fields.get('old', '')}"
        for _, path, fields in FORMS_THAT_ACT
    ],
)


def test_every_form_that_acts_is_tried_here() -> None:
    tried = {page.path for page in PAGES for _, path, _ in FORMS_THAT_ACT if page.fits(path)}
    assert tried == {page.path for page in PAGES if page.post and page.acts} - ELSEWHERE


_FORM = re.compile(r'<form method="post" action="([^"]*)".*?</form>', re.S)


def test_every_form_that_stands_on_a_page_is_tried_here(desk: Desk) -> None:
    """Also each that goes to an address which another form has, and says by `do` what it does."""
    for name, path, fields in FORMS_THAT_ACT:
        if path in ("/allocations", "/log/reviewed", "/requests/1", "/waitlist/1/close"):
            filled(desk, name, path, fields)  # there is something to decide
    desk.signed_in(RAFAEL).fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    acting = [page for page in PAGES if page.post and page.acts]
    tried = {(path, fields.get("do", "")) for _, path, fields in FORMS_THAT_ACT}
    tried |= {(path, "") for path in ELSEWHERE}
    found = set()
    for browser in (desk.browser(), *(desk.signed_in(name) for name in (MEI, RAFAEL, OKAFOR))):
        for page in PAGES:
            if page.get is None:
                continue
            text = browser.get(page.path.replace("{number:number}", "1")).text
            for form in _FORM.finditer(text):
                place = next((one.path for one in acting if one.fits(form[1])), None)
                does = re.findall(r'name="do" value="([^"]*)"', form[0]) or [""]
                found |= {(place, do) for do in does if place is not None}
    known = {(one.path, do) for path, do in tried for one in acting if one.fits(path)}
    assert found <= known
    assert len(found) > 10


_OWN = ("/look-up/agreed", "/undertaking", "/account/passkey", "/log/reviewed", "/customer/correct")


def _own(desk: Desk, browser: Browser, path: str) -> dict[str, str]:
    """What stands in some forms as the page has it."""
    if path == "/look-up/agreed":
        return {"notice": desk.site.notice.digest}
    if path == "/undertaking":
        return {"digest": desk.site.undertaking.digest}
    if path == "/account/passkey":
        return {"answer": Device(URL).create(options(browser, "/account"))}
    if path == "/customer/correct":
        shown = browser.fill("/customer", {"phone": ANNA, "do": "correct"})
        events = re.findall(r'name="event" value="([^"]*)"', shown.text)
        return {"event": events[0]}
    for _ in range(5):
        desk.signed_in(MEI).look_up(ANNA)
    flags = re.findall(r'name="flag" value="([^"]*)"', browser.get("/log").text)
    return {"flag": html.unescape(flags[0])}


def filled(
    desk: Desk, name: str, path: str, fields: dict[str, str]
) -> tuple[Browser, dict[str, Any]]:
    """Somebody's browser, and a form that is filled in and not sent yet."""
    if path == "/allocations/1":
        made = desk.signed_in(RAFAEL).fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
        assert made.status_code == 303
    if path == "/allocations/1/letter":
        before, decision = filled(desk, RAFAEL, "/allocations/1", {"seen": "its"})
        before.post("/allocations/1", data=decision)
    if path == "/look-up/wish":
        desk.signed_in(MEI).look_up(BEN)
    if path in ("/waitlist/1/close", "/look-up/wish/1/back"):
        mei = desk.signed_in(MEI)
        mei.look_up(GUS)
        mei.fill("/look-up/wish", {"phone": GUS, "reference": "GMT-II"})
    if path == "/requests/1":
        desk.signed_in(OKAFOR).fill("/customer", {"phone": BEN, "kind": "access"})
    browser = desk.signed_in(name)
    own = _own(desk, browser, path) if path in _OWN else {}
    form = {"csrf": browser.token("/account"), "once": browser.key(path), **fields, **own}
    if path == "/allocations/1":
        asked = browser.answered(browser.post(path, data={**form, "seen": ""}))
        passes = re.search(r'name="seen" value="([^"]*)"', asked.text)
        assert passes is not None
        form["seen"] = html.unescape(passes[1])
    return browser, form


def acts(desk: Desk) -> dict[str, list[tuple[object, ...]]]:
    """What stands in the databases, but how a form ended, and what was read of the client book."""
    found = kept(desk.home)
    found.pop("staff.db: forms")
    found.pop("outlet.db: client_state", None)  # which version of the client book was read
    return found


@each_form
def test_what_is_sent_again_acts_once_and_is_answered_with_the_first_result_in_words(
    desk: Desk, name: str, path: str, fields: dict[str, str]
) -> None:
    browser, form = filled(desk, name, path, fields)
    tab = {**form, "once": browser.key(path)}  # the same page in a second tab
    sent = [browser.post(path, data=form)]
    after = acts(desk)
    shown = browser.answered(sent[0])
    if shown.status_code == 303:  # no answer of its own: the next page says what was done
        while shown.status_code == 303:
            shown = browser.get(shown.headers["location"])
        assert re.search('<p class="told" role="status">[^<]{15}', shown.text)
    sent += [browser.post(path, data=form) for _ in range(3)]  # a reload, a double click, Back
    assert {one.status_code for one in sent} == {303}
    assert acts(desk) == after
    if path == "/account/password":  # the session is another one since
        return
    assert len({one.headers["location"] for one in sent}) == 1
    again = [browser.get(sent[0].headers["location"]).status_code for _ in "ab"]
    assert again[0] == again[1] < 500
    assert acts(desk) == after
    other = browser.post(path, data=tab)
    assert other.status_code == 303
    assert browser.get(other.headers["location"]).status_code < 500
    after = acts(desk)
    assert browser.post(path, data=tab).status_code == 303
    assert browser.post(path, data=form).headers["location"] == sent[0].headers["location"]
    assert acts(desk) == after


ENTRIES = {
    ("/look-up/agreed", ""): 2,  # a consent and a look-up
    ("/allocations", ""): 3,  # each who waits is one
    ("/account/password", ""): 0,  # a wrong one
    ("/customer", "show"): 2,  # the bands were looked up for it
    ("/customer", "export"): 2,
    ("/duplicates", ""): 2,  # of each of the two
    ("/customer", "withdraw"): 3,  # with the request that is taken down and answered by it
    ("/customer/correct", "correct"): 3,
    ("/customer/correct", "strike"): 3,
}
"""How many entries of the log an act makes, where that is not one."""


def at_once(
    desk: Desk, browser: Browser, path: str, form: dict[str, Any], times: int
) -> list[httpx.Response]:
    """Sends a form several times before the first is answered."""

    async def together() -> list[httpx.Response]:
        transport, cookies = httpx.ASGITransport(desk.app), dict(browser.cookies)
        async with httpx.AsyncClient(transport=transport, base_url=URL, cookies=cookies) as many:
            return await asyncio.gather(*(many.post(path, data=form) for _ in range(times)))

    return asyncio.run(together())


@each_form
def test_after_its_session_a_form_does_nothing_and_shows_what_was_typed_to_be_sent_again(
    open_desk: Desk, name: str, path: str, fields: dict[str, str]
) -> None:
    browser, form = filled(open_desk, name, path, fields)
    before = acts(open_desk)
    open_desk.clock.forward(minutes=open_desk.site.access.settings.desk.idle_minutes + 1)
    sent = browser.post(path, data=form)
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/sign-in")
    assert acts(open_desk) == before
    page = next(one for one in PAGES if one.fits(path))
    shown = browser.get(sent.headers["location"])
    assert ('name="draft" value=""' in shown.text) != page.keeps_text
    if not page.keeps_text:
        return
    resumed_page = resumed(open_desk, path, form, name)
    assert "nothing was done" in said(resumed_page)
    for field, text in fields.items():
        if field in TYPED:
            assert f'value="{html.escape(text)}"' in resumed_page.text or (
                f">{html.escape(text)}</textarea>" in resumed_page.text
            ), field


TYPED = ("phone", "serial", "where", "reason", "about", "note", "pieces", "reference")
"""Fields in which somebody types; of others a choice is shown again, or nothing."""


def test_back_and_another_customer_is_another_look_up(desk: Desk) -> None:
    browser, form = filled(desk, MEI, "/look-up", {"phone": ANNA, "purpose": "sale"})
    first = browser.answered(browser.post("/look-up", data=form))
    second = browser.answered(browser.post("/look-up", data={**form, "phone": BEN}))
    assert "Priority" in first.text
    assert "Elevated" in second.text
    assert len(desk.log(LogAct.LOOK_UP)) == 2


def test_two_tabs_with_one_session_act_each_once_and_show_their_own_answer(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    forms = [
        {"phone": phone, "purpose": "sale", "once": mei.key("/look-up")} for phone in (ANNA, BEN)
    ]
    sent = [mei.post("/look-up", data={"csrf": mei.token("/account"), **one}) for one in forms]
    pages = [mei.get(one.headers["location"]) for one in sent]
    assert "Priority" in pages[0].text
    assert BEN not in pages[0].text
    assert "Elevated" in pages[1].text
    other = desk.signed_in(RAFAEL).get(sent[0].headers["location"])
    assert "Priority" not in other.text
    assert ANNA not in other.text
    assert "shown no more" in other.text


@each_form
def test_a_double_click_acts_once_and_a_restart_lets_no_form_act_again(
    home: Path, name: str, path: str, fields: dict[str, str]
) -> None:
    """The program is killed after the act; the browser sends the form again and signs in."""
    with opened(home) as desk:
        browser, form = filled(desk, name, path, fields)
        logged = len(desk.log())
        clicks = 1 if fields.get("old") == PASSWORD else 4  # it ends the session it is sent with
        sent = at_once(desk, browser, path, form, clicks)
        assert {one.status_code for one in sent} <= {202, 303}  # 202: it is still being done
        [place] = {one.headers.get("location", "") for one in sent} - {""}
        number = ENTRIES.get((path, fields.get("do", "")), 1) if clicks > 1 else 1
        assert len(desk.log()) - logged == number
    password = f"{PASSWORD} 2" if fields.get("old") == PASSWORD else PASSWORD
    with opened(home) as desk:
        before = acts(desk)
        again = desk.browser()
        late = again.post(path, data=form)
        assert late.status_code == 303
        asked = again.get(late.headers["location"])
        draft = re.search(r'name="draft" value="([^"]*)"', asked.text)
        assert draft is not None
        signed_in = again.fill(
            "/sign-in",
            {"name": name, "password": password, "draft": draft[1]},
            page="/sign-in",
        )
        assert signed_in.status_code == 303
        location = again.get("/").headers["location"]
        page = next(one for one in PAGES if one.fits(path))
        after = acts(desk)
        for table in ("rights.db: log", "staff.db: tries"):  # of the sign-in
            before.pop(table)
            after.pop(table)
        assert after == before
        if page.keeps_text and page.durable:
            assert location == place
            assert '<p class="told" role="status">' in again.get(location).text


def test_a_form_that_a_kill_cut_short_says_so_and_acts_no_more(home: Path) -> None:
    fields = {"serial": "SN-1", "seen": DAY, "where": "a fair"}
    with opened(home) as desk:
        _, form = filled(desk, MEI, "/sightings", fields)
        digest = desk.site.form_keys.digest(MEI, "/sightings", form)
        assert desk.site.form_keys.begin(digest, desk.clock()) is None  # and nothing came of it
    with opened(home) as desk:
        shown = said(resumed(desk, "/sightings", form, MEI))
        assert "may have been done or not" in shown
        assert desk.log(LogAct.SIGHTING) == []


def resumed(
    desk: Desk, path: str, form: dict[str, Any], name: str, as_sent: str = MEI
) -> httpx.Response:
    """The page that somebody sees who sends a form after its session, and signs in."""
    browser = desk.browser()
    sent = browser.post(path, data=form)
    draft = re.search(r'name="draft" value="([^"]*)"', browser.get(sent.headers["location"]).text)
    typed = {"name": name, "password": PASSWORD, "draft": "" if draft is None else draft[1]}
    assert browser.fill("/sign-in", typed, page="/sign-in").status_code == 303
    return browser.get(browser.get("/").headers["location"])


def test_what_was_typed_survives_an_ended_session_for_its_own_account_only(desk: Desk) -> None:
    browser, form = filled(desk, MEI, "/sightings", {"serial": "SN-1", "where": "a fair"})
    desk.clock.forward(minutes=16)
    mine = resumed(desk, "/sightings", form, MEI)
    assert 'value="a fair"' in mine.text
    assert "nothing was done" in said(mine)
    assert "a fair" not in resumed(desk, "/sightings", form, RAFAEL).text
    assert desk.log(LogAct.SIGHTING) == []
    assert browser.get("/sightings").headers["location"] == "/sign-in"


def test_a_phone_that_was_typed_is_on_its_way_through_the_sign_in_in_no_clear_and_no_store(
    desk: Desk,
) -> None:
    browser, form = filled(desk, MEI, "/look-up", {"phone": GUS, "purpose": "sale"})
    desk.clock.forward(minutes=16)
    sent = browser.post("/look-up", data=form)
    shown = browser.get(sent.headers["location"])
    assert GUS[2:] not in shown.text + sent.headers["location"]
    assert GUS[2:] not in str(kept(desk.home))
    [draft] = set(re.findall(r'name="draft" value="([^"]+)"', shown.text))
    assert desk.site.drafts.opened(draft, desk.clock()) is not None
    assert desk.site.drafts.opened(draft, desk.clock() + dt.timedelta(minutes=31)) is None
    assert desk.site.drafts.opened(draft[:-4] + "AAAA", desk.clock()) is None
    wrong = {"name": MEI, "password": "wrong, wrong, wrong", "draft": draft}
    browser.name = ""
    browser._tokens.clear()
    refused = browser.fill("/sign-in", wrong, page="/sign-in")
    assert draft in refused.text  # a wrong password loses nothing
    again = {"name": MEI, "password": PASSWORD, "draft": draft}
    assert browser.fill("/sign-in", again, page="/sign-in").status_code == 303
    browser.name = MEI
    assert f'value="{GUS}"' in browser.get(browser.get("/").headers["location"]).text
    assert desk.log(LogAct.LOOK_UP) == []


def test_a_withdrawal_is_never_undone_by_a_page(desk: Desk) -> None:
    """A tab with the notice stays open while the customer withdraws, and is sent afterwards."""
    desk.site.access.people._clock = desk.clock
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    fields = {"phone": ANNA, "purpose": "sale", "agreed": "yes", "notice": desk.site.notice.digest}
    forms = [
        {"csrf": mei.token("/account"), "once": mei.key("/look-up/agreed"), **fields} for _ in "ab"
    ]
    first = mei.post("/look-up/agreed", data=forms[0])  # agrees, then changes her mind
    desk.clock.forward(minutes=1)
    assert (
        okafor.fill("/customer", {"phone": ANNA, "do": "withdraw", "sure": "yes"}).status_code
        == 200
    )
    before = acts(desk)
    mei.get(first.headers["location"])
    answer = first
    for form in forms:
        answer = mei.answered(mei.post("/look-up/agreed", data=form))
        assert " Low " not in said(answer)
    assert "withdrew after this page was made" in said(answer)
    assert acts(desk) == before
    desk.clock.forward(minutes=1)
    anew = mei.fill("/look-up/agreed", fields)  # a page made since: she agrees again
    assert "withdrew" not in said(anew)
    assert "Recorded: the customer agreed to notice" in said(anew)


def test_a_consent_by_a_page_of_the_future_is_not_recorded(desk: Desk) -> None:
    """The clock is set back after the page was made: nobody can say what came first."""
    desk.site.access.people._clock = desk.clock
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    fields = {"phone": ANNA, "purpose": "sale", "agreed": "yes", "notice": desk.site.notice.digest}
    form = {"csrf": mei.token("/account"), "once": mei.key("/look-up/agreed"), **fields}
    desk.clock.forward(minutes=-30)
    okafor.fill("/customer", {"phone": ANNA, "do": "withdraw", "sure": "yes"})
    before = acts(desk)
    answer = mei.answered(mei.post("/look-up/agreed", data=form))
    assert "withdrew after this page was made" in said(answer)
    assert acts(desk) == before


def test_an_answer_is_shown_no_more_once_its_customer_withdraws_or_disputes(desk: Desk) -> None:
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    for phone, change in ((ANNA, {"do": "withdraw", "sure": "yes"}), (BEN, {"kind": "dispute"})):
        form = {
            "csrf": mei.token("/account"),
            "once": mei.key("/look-up"),
            "phone": phone,
            "purpose": "sale",
        }
        place = mei.post("/look-up", data=form).headers["location"]
        assert "as of" in mei.get(place).text
        desk.clock.forward(seconds=1)
        okafor.fill("/customer", {"phone": phone, **change})
        for answer in (mei.get(place), mei.answered(mei.post("/look-up", data=form))):
            assert "as of" not in said(answer)
            assert phone not in answer.text


def test_what_is_typed_is_kept_before_a_page_puts_itself_away(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"}).headers["location"]
    page = rafael.get(path)
    assert 'formaction="/keep"' in page.text
    assert re.search(r"--away: 780s", rafael.get("/desk.css").text)
    desk.clock.forward(minutes=14)
    fields = {"form": path, "reason": "He was promised one.", "give": "2"}
    kept_page = rafael.answered(rafael.fill("/keep", fields))
    assert "He was promised one." in kept_page.text
    assert re.search(r'name="give" value="2" checked', kept_page.text)
    assert "nothing was sent yet" in said(kept_page)
    desk.clock.forward(minutes=14)
    assert rafael.get(path).status_code == 200  # it was a use of the session
    assert rafael.fill("/keep", {"form": "/account/password", "old": "x"}).status_code == 403
    assert desk.log(LogAct.DECISION, LogAct.OVERRIDE) == []


def test_a_key_is_of_one_account_and_form_and_forgotten_only_when_no_form_is_taken(
    desk: Desk,
) -> None:
    keys: FormKeys = desk.site.form_keys
    key = keys.make(MEI, "/look-up", NOON)
    assert keys.made_at(key, MEI, "/look-up", NOON) == NOON
    assert keys.made_at(key, RAFAEL, "/look-up", NOON) is None
    assert keys.made_at(key, MEI, "/sightings", NOON) is None
    assert keys.make(MEI, "/look-up", NOON) != key
    life = dt.timedelta(hours=desk.site.access.settings.desk.session_hours + 1)
    assert keys.made_at(key, MEI, "/look-up", NOON + life) == NOON
    assert keys.made_at(key, MEI, "/look-up", NOON + life + dt.timedelta(seconds=1)) is None
    digest = keys.digest(MEI, "/sightings", {"once": key})
    assert keys.begin(digest, NOON) is None
    keys.release("another")
    later = FormKeys(desk.store, b"other", life)
    assert later.begin("a later one", NOON + life) is None

    def remembered() -> int:
        with desk.store.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(FORMS)) or 0)

    assert remembered() == 2
    later = FormKeys(desk.store, b"other", life)
    later.begin("much later", NOON + life + dt.timedelta(hours=3))
    assert remembered() == 2  # the first is gone


def test_a_wrong_password_that_is_sent_twice_counts_once(desk: Desk) -> None:
    browser = desk.browser()
    form = {
        "csrf": browser.token("/sign-in"),
        "once": browser.key("/sign-in"),
        "name": MEI,
        "password": "wrong",
    }
    sent = [browser.post("/sign-in", data=form) for _ in range(9)]
    assert {one.headers["location"] for one in sent} == {sent[0].headers["location"]}
    assert browser.get(sent[0].headers["location"]).status_code == 401
    assert desk.browser().sign_in(MEI).status_code == 303  # not locked out


def test_after_a_sign_in_in_another_tab_a_second_one_goes_on(desk: Desk) -> None:
    browser = desk.browser()
    form = {
        "csrf": browser.token("/sign-in"),
        "once": browser.key("/sign-in"),
        "name": MEI,
        "password": PASSWORD,
    }
    assert browser.post("/sign-in", data=form).status_code == 303
    again = browser.post("/sign-in", data=form)
    assert (again.status_code, again.headers["location"]) == (303, "/")
    assert len(desk.log(LogAct.SIGN_IN)) == 1


def test_where_the_store_takes_nothing_a_form_that_would_act_does_not(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    rafael.token("/account")
    with desk.store.transaction() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON forms BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    before = acts(desk)
    answer = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    assert answer.status_code == 409
    assert acts(desk) == before
