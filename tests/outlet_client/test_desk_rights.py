"""What the privacy officer does at the desk for a customer: by request, in the log, on paper."""

from __future__ import annotations

import datetime as dt
import html
import re
from typing import TYPE_CHECKING

import pytest

from outlet_client.desk.form_handling import GONE
from outlet_client.records.access_log import LogAct
from tests.outlet_client.desk_site import (
    ANNA,
    BEN,
    FAY,
    GUS,
    MEI,
    NOON,
    OKAFOR,
    Browser,
    Desk,
    desk,
    home,
    kept,
    outlet,
    said,
)
from tests.outlet_client.test_desk_forms import resumed

if TYPE_CHECKING:
    import httpx

__all__ = ["desk", "home", "outlet"]

WORDS = "We looked into it; nothing of yours was resold."


def taken_down(browser: Browser, phone: str, kind: str) -> None:
    answer = browser.fill("/customer", {"part": "take", "phone": phone, "kind": kind})
    assert answer.status_code == 303, said(answer)


def by_request(browser: Browser, number: int, do: str, **fields: str) -> httpx.Response:
    return browser.fill("/customer", {"of": str(number), "do": do, **fields})


def answered(browser: Browser, number: int, words: str) -> httpx.Response:
    return browser.fill(f"/requests/{number}", {"number": str(number), "note": words})


def boxes(page: httpx.Response) -> dict[str, str]:
    """What stands in the box of each request for an answer."""
    found = re.findall(r'<textarea id="n(\d+)"[^>]*>([^<]*)</textarea>', page.text)
    return {number: html.unescape(text) for number, text in found}


def rows(page: httpx.Response) -> list[str]:
    """The numbers of the entries of the log that a page shows."""
    return re.findall(r'<tr><td class="number">(\d+)</td>', page.text)


# --- requests -------------------------------------------------------------------------------------


def test_what_was_written_for_one_request_is_shown_with_no_other(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "access")
    taken_down(okafor, ANNA, "withdrawal")
    refused = answered(okafor, 2, WORDS)
    assert refused.status_code == 409
    assert "the customer's consent stands; withdraw it" in said(refused)
    assert boxes(refused) == {"1": "", "2": WORDS}
    blank = answered(okafor, 1, "  ")
    assert "Write a sentence: the customer reads it." in said(blank)
    assert boxes(blank)["2"] == ""
    strange = answered(okafor, 1, "Done.\u202e")
    assert "at most 1000 characters, none of them invisible" in said(strange)
    assert boxes(strange)["1"] == "Done.\u202e"


def test_what_was_written_when_the_session_ended_comes_back_with_its_request_only(
    desk: Desk,
) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "access")
    taken_down(okafor, ANNA, "dispute")
    form = {"csrf": okafor.token("/requests"), "once": okafor.key("/requests/2"),
            "number": "2", "note": WORDS}  # fmt: skip
    desk.clock.forward(minutes=desk.site.access.settings.desk.idle_minutes + 1)
    page = resumed(desk, "/requests/2", form, OKAFOR)
    assert boxes(page) == {"1": "", "2": WORDS}


def test_a_request_leads_to_its_customers_record_without_a_phone(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "access")
    page = by_request(okafor, 1, "show", phone=ANNA)  # the request counts
    assert "Your number in the client book: ben." in said(page)
    file = by_request(okafor, 1, "export").json()
    assert file["customers"] == ["ben"]
    assert [one.outcome for one in desk.log(LogAct.EXPORT)] == ["page", "file"]
    assert len({one.key for one in desk.log(LogAct.EXPORT, LogAct.REQUEST)}) == 1


@pytest.mark.parametrize("number", ["7", "0", "x", "-1", "9" * 30])
@pytest.mark.parametrize("do", ["show", "export", "correct", "withdraw"])
def test_a_request_that_there_is_not_shows_and_does_nothing(
    desk: Desk, number: str, do: str
) -> None:
    okafor = desk.signed_in(OKAFOR)
    before = kept(desk.home)
    answer = okafor.fill("/customer", {"of": number, "do": do, "sure": "yes"})
    assert answer.status_code == 409
    assert "there is none of this number" in said(answer)
    assert kept(desk.home) == before


def test_a_withdrawal_by_its_request_ends_that_consent_and_answers_it(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "withdrawal")
    assert by_request(okafor, 1, "withdraw").status_code == 400  # not ticked
    done = by_request(okafor, 1, "withdraw", sure="yes")
    assert "Customer ben. Withdrawn." in said(done)
    assert "answered 2026-03-02 by Dr Okafor" in said(okafor.get("/requests"))
    mei = desk.signed_in(MEI)
    assert "No band here" in said(mei.look_up(BEN))
    assert "Priority" in said(mei.look_up(ANNA))


def test_who_withdraws_is_named_so_that_a_wrong_phone_is_seen(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    typed = {"part": "end", "do": "withdraw", "sure": "yes"}
    assert "Customer anna." in said(okafor.fill("/customer", {**typed, "phone": ANNA}))
    assert "Nobody in the client book" in said(okafor.fill("/customer", {**typed, "phone": GUS}))


def test_after_a_dispute_the_page_says_whether_the_band_is_shown_again(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "dispute")
    again = {"part": "take", "phone": BEN, "kind": "dispute"}
    assert "under review already" in said(okafor.fill("/customer", again))
    assert answered(okafor, 1, WORDS).status_code == 303
    assert "Request 1 is answered. The band is shown again." in said(okafor.get("/requests"))


def test_a_mistake_stands_beside_its_field_and_in_its_own_form_only(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    typed = {"part": "end", "phone": "12", "do": "withdraw", "sure": "yes"}
    answer = okafor.fill("/customer", typed)
    assert re.findall(r'<input id="phone-(\w+)"[^>]* value="12"', answer.text) == ["end"]
    assert re.findall(r'aria-describedby="flaw-([\w-]+)"', answer.text) == ["phone-end"]
    answer = okafor.fill("/customer", {"part": "take", "phone": ANNA, "do": "take"})
    assert "Choose what the customer asks for." in said(answer)
    assert 'id="flaw-kind-take"' in answer.text
    typed = {"part": "take", "phone": ANNA, "do": "take", "kind": "access"}
    for field, text in (("about", "a\u202eb"), ("received", "2026-03-03"), ("phone", "12")):
        answer = okafor.fill("/customer", {**typed, field: text})
        assert re.findall(r'id="flaw-([\w-]+)"', answer.text) == [f"{field}-take"]


# --- what a record says ---------------------------------------------------------------------------


def test_a_record_says_what_counts_in_general_who_looked_how_often_and_no_command(
    desk: Desk,
) -> None:
    mei, okafor = desk.signed_in(MEI), desk.signed_in(OKAFOR)
    for _ in range(3):
        mei.look_up(ANNA)
    taken_down(okafor, ANNA, "access")
    record = said(by_request(okafor, 1, "show"))
    assert "5 times, the newest first: Mei Lin 3, Dr Okafor 2." in record
    assert "pieces that were confirmed resold" in record
    assert "See what is held" in record
    assert "1,826 days (about 5 years)" in record
    assert "escapement-outlet" not in record


def test_a_record_with_bands_is_not_shown_again_after_a_withdrawal_or_in_a_dispute(
    desk: Desk,
) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, BEN, "access")

    def kept_record(**fields: str) -> str:
        sent = okafor.post(
            "/customer",
            data={"csrf": okafor.token("/account"), "once": okafor.key("/customer"),
                  "do": "show", **fields},
        )  # fmt: skip
        return str(sent.headers["location"])

    places = [kept_record(of="1"), kept_record(phone=BEN), kept_record(phone=ANNA)]
    assert all("Your band" in said(okafor.get(place)) for place in places)
    taken_down(okafor, BEN, "dispute")
    assert [GONE in said(okafor.get(place)) for place in places] == [True, True, False]
    okafor.fill("/customer", {"part": "end", "phone": ANNA, "do": "withdraw", "sure": "yes"})
    assert GONE in said(okafor.get(places[2]))


# --- corrections ----------------------------------------------------------------------------------


def events(browser: Browser, **whose: str) -> dict[str, str]:
    """The fields of a form about the only event of a customer."""
    shown = browser.fill("/customer", {"do": "correct", **whose})
    [event] = re.findall(r'name="event" value="([^"]*)"', shown.text)
    return {"event": event, **whose}


def test_a_correction_is_told_in_words_and_can_be_taken_back(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    taken_down(okafor, ANNA, "correction")
    form = events(okafor, of="1")
    done = okafor.fill("/customer/correct", {**form, "do": "correct", "price": "950"})
    assert "The purchase of 2025-12-02 was corrected: amount." in said(done)
    assert "amount 950.00, by Dr Okafor" in said(done)
    assert "Request 1 is answered." in said(done)
    done = okafor.fill("/customer/correct", {**form, "do": "strike"})
    assert "The purchase of 2025-12-02 was struck: it does not count." in said(done)
    done = okafor.fill("/customer/correct", {**form, "do": "back"})
    assert "The purchase of 2025-12-02 stands as our till has it." in said(done)
    assert "by Dr Okafor" not in said(done).partition("What is right")[0].partition("Serial")[2]
    refused = okafor.fill("/customer/correct", {**form, "do": "back"})
    assert refused.status_code == 409
    assert "This event stands as the till has it" in said(refused)
    record = said(by_request(okafor, 1, "show"))
    assert "Answer: The purchase of 2025-12-02 was corrected: amount." in record


def test_a_cell_that_cannot_be_read_is_said_beside_it(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    form = events(okafor, phone=ANNA)
    answer = okafor.fill("/customer/correct", {**form, "do": "correct", "price": "8.300,00"})
    assert re.search('id="flaw-price"[^/]*</strong> Not readable', answer.text)
    assert 'value="8.300,00"' in answer.text


# --- the log --------------------------------------------------------------------------------------


def test_an_entry_leads_to_all_about_its_customer_and_a_day_to_all_of_that_day(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    mei.look_up(ANNA)
    mei.look_up(BEN)
    desk.clock.forward(days=2)
    desk.signed_in(MEI).look_up(ANNA)
    okafor = desk.signed_in(OKAFOR)
    looked = desk.log(LogAct.LOOK_UP)
    annas = [str(one.number) for one in looked if one.key == looked[0].key][::-1]
    assert rows(okafor.get(f"/log?of={looked[0].number}")) == annas
    assert len(annas) == 2
    then = NOON.astimezone().date().isoformat()
    of_day = [str(one.number) for one in desk.log() if one.at < NOON + dt.timedelta(hours=1)]
    assert rows(okafor.get(f"/log?day={then}")) == of_day[::-1]
    two = rows(okafor.get(f"/log?day={then}&by={MEI}&act=look-up"))
    assert two == [str(one.number) for one in looked[:2]][::-1]
    assert ANNA not in okafor.get(f"/log?of={looked[0].number}").text


@pytest.mark.parametrize("query", ["of=99999", "of=x", "of=", "day=x", "day=2026-02-31", "day="])
def test_an_address_that_names_no_entry_and_no_day_shows_all(desk: Desk, query: str) -> None:
    okafor = desk.signed_in(OKAFOR)
    assert rows(okafor.get(f"/log?{query}")) == rows(okafor.get("/log")) != []


def test_what_is_unusual_leads_to_what_that_person_did_that_day(desk: Desk) -> None:
    mei = desk.signed_in(MEI)
    for _ in range(5):
        mei.look_up(ANNA)
    okafor = desk.signed_in(OKAFOR)
    [place] = re.findall(r'href="(/log\?by=[^"#]*)#entries"', okafor.get("/log").text)
    shown = okafor.get(html.unescape(place))
    assert len(rows(shown)) == len([one for one in desk.log() if one.by == MEI])


# --- a consent on paper ---------------------------------------------------------------------------

PAPER = {"notice": "2025-06", "given": "2026-02-20", "signed": "yes"}


def test_a_consent_on_paper_is_recorded_with_its_day_and_who_recorded_it(desk: Desk) -> None:
    okafor = desk.signed_in(OKAFOR)
    assert okafor.fill("/consents", {**PAPER, "phone": GUS}).status_code == 303
    page = said(okafor.get("/consents"))
    assert "Recorded: a consent on paper to notice 2025-06, of 2026-02-20." in page
    [entry] = desk.log(LogAct.CONSENT)
    assert (entry.by, entry.about) == (OKAFOR, "on paper")
    assert okafor.fill("/consents", {**PAPER, "phone": GUS}).status_code == 303
    assert "recorded already" in said(okafor.get("/consents"))
    assert len(desk.log(LogAct.CONSENT)) == 1
    record = okafor.fill("/customer", {"phone": GUS, "do": "export"}).json()
    [consent] = record["consents"]
    assert (consent["notice"], consent["recorded_by"]) == ("2025-06", OKAFOR)
    assert dt.datetime.fromisoformat(consent["recorded_at"]).astimezone().date().isoformat() == (
        "2026-02-20"
    )


@pytest.mark.parametrize("given", ["2026-02-20", "2026-03-02"])
def test_a_paper_that_is_older_than_a_withdrawal_undoes_nothing(desk: Desk, given: str) -> None:
    desk.site.access.people._clock = desk.clock
    okafor = desk.signed_in(OKAFOR)
    form = {"csrf": okafor.token("/account"), "once": okafor.key("/consents"), "phone": ANNA,
            **PAPER, "given": given}  # fmt: skip
    okafor.fill("/customer", {"part": "end", "phone": ANNA, "do": "withdraw", "sure": "yes"})
    desk.clock.forward(minutes=1)
    answer = okafor.answered(okafor.post("/consents", data=form))
    assert answer.status_code == 409
    assert "This customer withdrew on that day or later" in said(answer)
    assert desk.log(LogAct.CONSENT) == []
    if given == "2026-03-02":  # agreed anew, on a page that is younger than the withdrawal
        assert okafor.fill("/consents", {**PAPER, "phone": ANNA, "given": given}).status_code == 303


def test_a_paper_by_a_page_of_the_future_undoes_no_withdrawal_of_its_day(desk: Desk) -> None:
    """The clock is set back after the page was made: nobody can say what came first."""
    desk.site.access.people._clock = desk.clock
    okafor = desk.signed_in(OKAFOR)
    form = {"csrf": okafor.token("/account"), "once": okafor.key("/consents"), "phone": ANNA,
            **PAPER, "given": "2026-03-02"}  # fmt: skip
    desk.clock.forward(minutes=-30)
    okafor.fill("/customer", {"part": "end", "phone": ANNA, "do": "withdraw", "sure": "yes"})
    desk.clock.forward(minutes=1)
    answer = okafor.answered(okafor.post("/consents", data=form))
    assert "This customer withdrew on that day or later" in said(answer)
    assert desk.log(LogAct.CONSENT) == []


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"signed": ""}, "signed"),
        ({"notice": ""}, "notice"),
        ({"notice": "x" * 41}, "notice"),
        ({"notice": "a\u202eb"}, "notice"),
        ({"given": ""}, "given"),
        ({"given": "soon"}, "given"),
        ({"given": "2026-03-03"}, "given"),
        ({"phone": "12"}, "phone"),
        ({"phone": ""}, "phone"),
    ],
)
def test_a_paper_that_says_too_little_records_nothing_and_says_what_is_wrong(
    desk: Desk, fields: dict[str, str], at: str
) -> None:
    okafor = desk.signed_in(OKAFOR)
    before = kept(desk.home)
    answer = okafor.fill("/consents", {"phone": FAY, **PAPER, **fields})
    assert answer.status_code in (400, 409)
    assert f'id="flaw-{at}"' in answer.text
    assert kept(desk.home) == before


def test_what_a_band_is_made_of_in_general_can_be_read_out(desk: Desk) -> None:
    page = said(desk.signed_in(OKAFOR).get("/consents"))
    assert "By what a band comes about in general" in page
    assert "how often and how lately somebody bought" in page
