"""What a privacy officer does for a customer, in a real browser without JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.counter import ASSOCIATE, DIGITS, OFFICER, PHONES
from tests.browser.eyes import DESKTOP, PHONE
from tests.browser.staff import at, follow, look_up, press, text

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ON_PAPER, WHO_LEAVES = "+12125559901", "+12125559902"
"""Of people whom no other test knows."""


def test_a_request_is_worked_off_where_it_stands_and_no_phone_is_typed_again(staff: Staff) -> None:
    page = staff.signed_in(OFFICER)
    _take_down(page, PHONES["dan"], "see what is held", "What do you hold of me?")
    assert "is taken down: the customer wishes to see what is held. Answer it by" in text(page)
    form = _request(page, "What do you hold of me?")
    assert "30 days left" in form.inner_text()
    press(form, "Show what is held", exact=False)
    assert "Your number in the client book: dan." in text(page)
    staff.look(page, "record-of-a-request")
    page.go_back()
    with page.expect_download() as waiting:
        _request(page, "What do you hold of me?").get_by_role("button", name="Hand it").click()
    assert json.loads(Path(waiting.value.path()).read_text("utf-8"))["customers"] == ["dan"]
    form = _request(page, "What do you hold of me?")
    form.get_by_label("What was decided or done").fill("Handed over as a page and a file.")
    press(form, "Answer")
    assert "Handed over as a page and a file." in text(page)


def test_an_answer_that_is_refused_stays_with_its_request_and_the_page_is_there(
    staff: Staff,
) -> None:
    page = staff.signed_in(OFFICER)
    _sign(page, WHO_LEAVES)
    _take_down(page, PHONES["dan"], "see what is held", "The first.")
    _take_down(page, WHO_LEAVES, "withdraw", "The second.")
    form = _request(page, "The second.")
    form.get_by_label("What was decided or done").fill("You are withdrawn.")
    press(form, "Answer")
    form = _request(page, "The second.")
    assert "the customer's consent stands" in form.inner_text()
    assert form.get_by_label("What was decided or done").input_value() == "You are withdrawn."
    assert not _request(page, "The first.").get_by_label("What was").input_value()
    box = form.get_by_label("What was decided or done").bounding_box()
    assert box is not None
    assert 0 <= box["y"] <= DESKTOP["height"]  # scrolled there, with the focus
    staff.look(page, "request-refused")
    form = _request(page, "The first.")
    form.get_by_label("What was decided or done").fill("Shown at the counter.")
    with page.context.new_page() as tab:  # the session ends meanwhile
        tab.goto("/today")
        press(tab, "Sign out")
    press(form, "Answer")
    assert "what you typed is kept" in text(page)
    page.get_by_label("Name").fill(OFFICER)
    page.get_by_label("Password").fill(staff.counter.passwords[OFFICER])
    press(page, "Sign in")
    assert not _request(page, "The second.").get_by_label("What was").input_value()
    press(_request(page, "The first."), "Answer")
    assert "Shown at the counter." in text(page)
    form = _request(page, "The second.")
    form.get_by_label("The customer withdraws their agreement").check()
    press(form, "Withdraw", exact=False)
    assert "there was nothing to take back" in text(page)
    follow(page, "Go on")
    assert "Withdrawn." in _request(page, "The second.").inner_text()


def test_a_correction_is_made_from_its_request_and_taken_back(staff: Staff) -> None:
    page = staff.signed_in(OFFICER)
    _take_down(page, PHONES["dan"], "have something corrected", "It cost less.")
    press(_request(page, "It cost less."), "Correct an event", exact=False)
    page.get_by_role("row", name="SN-003").get_by_role("radio").check()
    page.get_by_label("Amount").fill("8.300,00 EUR")
    press(page, "Correct it")
    assert "Not readable; expected an amount such as 1234.50" in text(page)
    staff.look(page, "correction-unreadable")
    page.get_by_label("Amount").fill("8300")
    press(page, "Correct it")
    assert "was corrected: amount." in text(page)
    page.reload()
    assert page.get_by_role("row", name="SN-003").inner_text().count("8,300.00") == 1
    page.get_by_role("row", name="SN-003").get_by_role("radio").check()
    press(page, "Take a correction back", exact=False)
    assert "stands as our till has it." in text(page)
    assert "8,300.00" not in text(page)
    staff.look(page, "correction-taken-back")
    with page.expect_navigation():
        page.get_by_role("main").get_by_role("link", name="Request ").click()
    assert "was corrected: amount." in _request(page, "It cost less.").inner_text()


def test_who_looked_at_a_customer_is_found_from_their_record_and_from_an_entry(
    staff: Staff,
) -> None:
    associate, page = staff.signed_in(ASSOCIATE), staff.signed_in(OFFICER)
    look_up(associate, "hana")
    page.goto("/customer")
    form = page.get_by_role("region", name="What is held here")
    form.get_by_label("Phone").fill(PHONES["hana"])
    press(form, "Show it, to read or print")
    assert f"{ASSOCIATE} " in page.get_by_text("the newest first").inner_text()
    follow(page, "This customer in the log")
    marks = page.locator("tbody tr td:nth-child(6) code")
    assert len(set(marks.all_inner_texts())) == 1
    assert DIGITS not in page.content()
    page.get_by_label("By").select_option(ASSOCIATE)
    press(page, "Show")
    rows = page.locator("tbody tr")
    assert all(ASSOCIATE in row for row in rows.all_inner_texts())
    staff.look(page, "log-of-a-customer")
    page.set_viewport_size(PHONE)
    first = rows.first.bounding_box()
    assert first is not None
    assert first["x"] + first["width"] <= PHONE["width"]  # an entry is read without scrolling
    assert "sale" in rows.first.inner_text()


def test_a_consent_on_paper_is_recorded_and_its_customer_is_told_what_counts(
    staff: Staff,
) -> None:
    page = staff.signed_in(OFFICER)
    follow(page, "Consents")
    page.get_by_label("Phone").fill("12")
    page.get_by_label("I have the paper").check()
    press(page, "Record it")
    assert "a phone from abroad needs its country" in text(page)
    staff.look(page, "consent-mistyped")
    _sign(page, ON_PAPER)
    assert at(page) == "/consents"
    assert "Recorded: a consent on paper to notice 2025-06" in text(page)
    assert page.get_by_role("row", name="2025-06").is_visible()
    assert "how often and how lately somebody bought" in text(page)
    staff.look(page, "consent-recorded")


def _sign(page: Page, phone: str) -> None:
    page.goto("/consents")
    page.get_by_label("Phone").fill(phone)
    page.get_by_label("Notice, the version").fill("2025-06")
    page.get_by_label("I have the paper").check()
    press(page, "Record it")


def _take_down(page: Page, phone: str, kind: str, said: str) -> None:
    page.goto("/customer")
    form = page.get_by_role("region", name="Take a request down")
    form.get_by_label("Phone").fill(phone)
    form.get_by_label(kind).check()
    form.get_by_label("What they say").fill(said)
    press(form, "Take it down")


def _request(page: Page, said: str) -> Locator:
    return page.locator("article", has_text=said)
