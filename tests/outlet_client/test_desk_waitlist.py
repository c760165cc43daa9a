"""Wishes at the desk: added from an answer, once, of nobody who withdrew; listed, and closed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from outlet_client.allocation.wish_store import wishes_in
from outlet_client.records.access_log import LogAct
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    FAY,
    GUS,
    MEI,
    OKAFOR,
    RAFAEL,
    Desk,
    desk,
    home,
    kept,
    outlet,
    said,
)

if TYPE_CHECKING:
    import httpx

    from tests.outlet_client.desk_site import Browser

__all__ = ["desk", "home", "outlet"]


def add(browser: Browser, phone: str, reference: str = "GMT-II") -> httpx.Response:
    browser.look_up(phone)
    return browser.fill("/look-up/wish", {"phone": phone, "email": "", "reference": reference})


def told(browser: Browser, answer: httpx.Response) -> str:
    assert answer.status_code == 303, said(answer)
    return said(browser.get(answer.headers["location"]))


def close(browser: Browser, number: int, reason: str) -> httpx.Response:
    fields = {"reason": reason, "reference": "GMT-II", "wish": str(number)}
    return browser.fill(f"/waitlist/{number}/close", fields)


def test_a_reference_is_typed_as_the_till_writes_it_and_answered_by_the_lists_name(
    desk: Desk,
) -> None:
    mei = desk.signed_in(MEI)
    shown = mei.look_up(ANNA, reference="gmt ii")
    assert "For GMT-II (allocation)" in said(shown)
    assert "Add to the waitlist for GMT-II" in said(shown)
    assert all(f'<option value="{one}">' in shown.text for one in ("GMT-II", "Diver-40"))
    assert "GMT-II is there" in said(mei.look_up(ANNA, reference="GMTI"))


def test_the_answer_echoes_the_number_as_it_was_read_and_what_was_not(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    shown = said(mei.look_up("(212) 555-0100"))
    assert "Read as +1 •••-•••-•100." in shown
    shown = said(mei.look_up("12", email="gus@firm.com"))
    assert "Read as g•••@firm.com. The phone that was typed cannot be read" in shown


def test_a_wish_is_added_from_the_answer_once_and_the_next_answer_says_so(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    assert "On the waitlist" not in said(mei.look_up(ANNA, reference="GMT-II"))
    form = {"csrf": mei.token("/account"), "phone": ANNA, "reference": "gmt-ii"}
    form["once"] = mei.key("/look-up/wish")
    answers = [mei.post("/look-up/wish", data=form) for _ in range(2)]  # a double click
    assert [answer.headers["location"] for answer in answers] == ["/look-up"] * 2
    assert "Added to the waitlist for GMT-II (wish number 1)." in said(mei.get("/look-up"))
    [wish] = wishes_in(desk.home)
    assert (wish.reference, wish.by, wish.since) == ("GMT-II", MEI, dt.date(2026, 3, 2))
    shown = said(mei.look_up(ANNA, reference="GMT-II"))
    assert "On the waitlist for GMT-II since 2026-03-02 (wish number 1)." in shown
    assert "Add to the waitlist" not in shown
    again = mei.answered(add(mei, ANNA))
    assert (again.status_code, "as wish 1; there is nothing to add" in said(again)) == (409, True)
    [entry] = desk.log(LogAct.WISH)
    assert (entry.by, entry.about, entry.outcome) == (MEI, "wish 1", "added")
    data = repr(kept(desk.home))
    assert not any(digits[1:] in data or digits[2:] in data for digits in (ANNA, BEN))


def test_who_added_a_wish_by_mistake_takes_it_back_that_day_and_nobody_else_does(
    desk: Desk,
) -> None:
    mei, rafael = desk.signed_in(MEI), desk.signed_in(RAFAEL)
    add(mei, ANNA, "Diver-40")
    path = "/look-up/wish/1/back"
    assert "Take it back" not in said(rafael.look_up(ANNA))
    assert rafael.answered(rafael.fill(path, {})).status_code == 409
    assert mei.answered(mei.fill("/look-up/wish/2/back", {})).status_code == 409
    assert "Take it back" in said(mei.look_up(ANNA))
    assert "Taken back: wish number 1, for Diver-40." in told(mei, mei.fill(path, {}))
    [wish] = wishes_in(desk.home)
    assert (wish.closed_by, wish.reason) == (MEI, "Taken down by mistake.")
    assert "On the waitlist for Diver-40" not in said(mei.look_up(ANNA))
    assert [entry.outcome for entry in desk.log(LogAct.WISH)] == ["added", "closed"]

    add(mei, ANNA, "Diver-40")
    desk.clock.forward(hours=24)
    mei = desk.signed_in(MEI)
    assert "Take it back" not in said(mei.look_up(ANNA))
    late = mei.answered(mei.fill("/look-up/wish/2/back", {}))
    assert "Ask a manager, who closes it with a reason" in said(late)
    assert wishes_in(desk.home)[-1].closed is None


def test_an_answer_says_what_is_waited_for_by_the_outlets_own_list(desk: Desk) -> None:
    own = desk.home / "interests.csv"
    own.write_text(
        "customer_id,reference,since,closed_at\nanna,gmt ii,2025-10-01,\nanna,Diver-40,2025-01-01,"
        "2025-02-01\n"
    )
    mei = desk.signed_in(MEI)
    desk.signed_in(RAFAEL).get("/waitlist")  # reads the client book, as every night does
    shown = said(mei.look_up(ANNA, reference="GMT-II"))
    assert "On the waitlist for GMT-II since 2025-10-01, by our own list." in shown
    assert "Add to the waitlist" not in shown
    assert "Diver-40 since" not in shown
    assert "own list" not in said(mei.look_up(BEN))
    own.write_text("customer_id,reference,since\nben,Diver-40,2025-11-01\n")
    assert "own list" not in said(mei.look_up(ANNA))
    assert "Diver-40 since 2025-11-01, by our own list." in said(mei.look_up(BEN))
    own.write_text("nothing\n")
    answer = mei.look_up(BEN)
    assert (answer.status_code, "own list" in said(answer)) == (200, False)


def test_a_wish_needs_no_agreement_a_reference_of_the_list_and_a_usable_phone(
    desk: Desk,
) -> None:
    mei = desk.signed_in(MEI)
    asked = mei.look_up(GUS)
    assert "agreement comes first" in said(asked)
    assert "The customer wishes for" in said(asked)
    refused = [add(mei, GUS, ""), add(mei, GUS, "+12125550123"), add(mei, "12")]
    assert [mei.answered(one).status_code for one in refused] == [400, 409, 409]
    shown = mei.answered(add(mei, GUS, "GMT-I"))
    assert "GMT-II is there" in said(shown)
    assert 'name="reference" value="GMT-I"' in shown.text
    assert wishes_in(desk.home) == []
    assert "wish number 1" in told(mei, add(mei, GUS))
    assert desk.log(LogAct.CONSENT) == []


def test_a_page_older_than_a_withdrawal_adds_nothing_and_a_new_one_does(desk: Desk) -> None:
    desk.site.access.people._clock = desk.clock
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    add(mei, ANNA)
    form = {"csrf": mei.token("/account"), "phone": ANNA, "reference": "Diver-40"}
    form["once"] = mei.key("/look-up/wish")
    desk.clock.forward(minutes=1)
    done = okafor.fill("/customer", {"phone": ANNA, "do": "withdraw", "sure": "yes"})
    assert "Withdrawn" in said(done)
    assert wishes_in(desk.home) == []
    late = mei.answered(mei.post("/look-up/wish", data=form))
    assert (late.status_code, wishes_in(desk.home)) == (409, [])
    assert "withdrew after this page was made" in said(late)
    desk.clock.forward(minutes=1)
    assert "wish number 2" in told(mei, add(mei, ANNA, "Diver-40"))


def test_a_manager_sees_who_waits_and_closes_a_wish_with_a_reason(desk: Desk) -> None:
    mei, rafael = desk.signed_in(MEI), desk.signed_in(RAFAEL)
    for phone in (FAY, ANNA):
        add(mei, phone)
    assert mei.get("/waitlist").status_code == 403
    shown = rafael.get("/waitlist?reference=GMT-II")
    for words in ("5 waiting", "anna", "emil", "desk wish 1", f"wish 2, by {MEI}", "interests.csv"):
        assert words in said(shown)
    assert close(mei, 1, "No.").status_code == 403
    nothing = rafael.answered(close(rafael, 1, " "))
    assert nothing.status_code == 409
    assert "reason: empty" in said(nothing)
    assert "Waitlist: GMT-II" in said(nothing)
    done = rafael.answered(close(rafael, 1, "The customer wishes it no more."))
    assert "Wish 1 is closed." in said(done)
    assert f"closed 2026-03-02 by {RAFAEL}. The customer wishes it no more." in said(done)
    assert "4 waiting" in said(done)
    assert "that stays" in said(rafael.answered(close(rafael, 1, "Again.")))
    assert [one.outcome for one in desk.log(LogAct.WISH)] == ["added", "added", "closed"]


def test_a_long_waitlist_is_paged_and_a_reference_without_anybody_is_said_to_be(
    desk: Desk,
) -> None:
    rows = "".join(f"W{n:03d},GMT-II,2026-01-{1 + n % 28:02d}\n" for n in range(120))
    (desk.home / "interests.csv").write_text(f"customer_id,reference,since\n{rows}")
    rafael = desk.signed_in(RAFAEL)
    shown = said(rafael.get("/waitlist"))  # of the only one
    assert "Page 1 of 3" in shown
    assert shown.count("2026-01-") == 50
    assert said(rafael.get("/waitlist?reference=GMT-II&page=3")).count("2026-01-") == 20
    assert "Nobody waits for Diver-40." in said(rafael.get("/waitlist?reference=Diver-40"))
    assert "in no tier" in said(rafael.get("/waitlist?reference=Nautilus"))
