"""What a manager decides and a privacy officer answers, in a real browser without JavaScript."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from outlet_client.moments import now
from outlet_client.report.night_facts import NightFacts
from outlet_client.report.report_page import write_report
from tests.browser.counter import ASSOCIATE, DIGITS, MANAGER, OFFICER, OUTLET, PHONES
from tests.browser.eyes import DESKTOP
from tests.browser.keys import Keys
from tests.browser.staff import at, follow, look_up, press, text

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_a_manager_sees_whom_a_decision_passes_over_before_it_is_made(staff: Staff) -> None:
    page = staff.signed_in(MANAGER)
    page.goto("/allocations")
    staff.look(page, "allocations-none")
    page.get_by_label("Reference").select_option("GMT-II")
    page.get_by_label("equal odds").check()
    press(page, "Propose")
    assert _line(page, "anna").get_by_text("Proposed").is_visible()
    for words in ("Priority", "Low", "Offer"):
        assert words in _line(page, "anna").inner_text()
    assert "A person decides" in _line(page, "cora").inner_text()
    assert "No band: not in the network" in _line(page, "emil").inner_text()
    _line(page, "anna").get_by_text("Why, and what to say").click()
    staff.look(page, "allocation-proposed")

    page.get_by_label("does without: anna").check()
    page.get_by_label("gets a piece: dan").check()
    press(page, "Decide")
    assert "Say why you decide otherwise than proposed" in text(page)
    assert page.title().startswith("Not done: ")
    assert page.evaluate("document.activeElement.name") == "reason"
    assert page.get_by_label("gets a piece: dan").is_checked()
    staff.look(page, "allocation-no-reason")
    page.get_by_label("Reason").fill("dan came by every week for a year.")
    press(page, "Decide")
    assert "3 customers wait for a manager's look" in text(page)
    assert "this passes them over" in text(page)
    assert _line(page, "dan").get_by_label("gets a piece").is_checked()
    staff.look(page, "allocation-passes-over")
    press(page, "I have looked at them: decide")
    assert "dan came by every week for a year." in text(page)
    assert "None, though proposed" in _line(page, "anna").inner_text()
    assert MANAGER in text(page)
    assert "A piece" in _line(page, "dan").inner_text()
    assert "A piece" not in _line(page, "anna").inner_text()
    assert "We would be glad to offer you this piece" in _line(page, "dan").inner_text()
    assert "fewer pieces than wishes" in str(_line(page, "anna").text_content())
    staff.look(page, "allocation-decided")
    _prints_whole(page)
    press(page, "Letter to ben")
    assert "You were not given a piece of GMT-II" in page.inner_text("main")
    staff.look(page, "letter")
    follow(page, "Back to allocation")
    follow(page, "The draw")
    assert "anna" in text(page)
    assert "100.00 %" in text(page)  # anna alone is priority
    staff.look(page, "allocation-draw")
    page.go_back()

    follow(page, "All allocations")
    assert MANAGER in text(page)
    staff.look(page, "allocations")


def test_a_manager_pages_filters_and_ticks_among_many_who_wait(staff: Staff) -> None:
    """Nobody of these is in the client book; a piece of an open tier is offered to anybody."""
    interests = staff.counter.home / "interests.csv"
    before = interests.read_text()
    rows = [f"W{n:03d},Field-36,2026-0{1 + n % 9}-11\n" for n in range(300)]
    interests.write_text(before + "".join(rows))
    page = staff.signed_in(MANAGER)
    page.goto("/allocations")
    page.get_by_label("Reference", exact=True).select_option("Field-36")
    page.get_by_label("Pieces", exact=True).first.fill("2")
    page.get_by_label("better odds").check()
    press(page, "Propose")
    interests.write_text(before)
    assert page.get_by_text("Proposed", exact=True).count() == 3  # a heading and two lines
    staff.look(page, "allocation-many")
    press(page, "Next 50")
    line = page.locator("tbody tr").nth(20)
    name = line.locator("td").nth(1).inner_text().split()[0]
    line.get_by_label("gets a piece").check()
    page.get_by_label("does without").first.check()
    page.get_by_label("Reason").fill("He asked first.")
    press(page, "Last")
    bar = page.get_by_role("region", name="Your decision")
    assert bar.get_by_label(f"{name} gets a piece").is_checked()
    assert bar.bounding_box() is not None
    staff.look(page, "allocation-ticked-elsewhere")
    page.get_by_label("Customer", exact=True).fill(name.lower())
    press(page, "Show")
    assert "1 here" in text(page)
    assert page.get_by_label(f"gets a piece: {name}").is_checked()
    press(page, "Decide")
    assert "decided otherwise than proposed" in text(page)
    assert "A piece" in _line(page, name).inner_text()
    staff.look(page, "allocation-many-decided")


def test_a_manager_proposes_for_five_who_wait_and_accepts_with_at_most_12_keys(
    staff: Staff,
) -> None:
    page = staff.signed_in(MANAGER)
    page.goto("/allocations")
    keys = Keys(page)
    expect(page.get_by_label("Reference", exact=True)).to_be_focused()
    keys.type("g")
    keys.press("Tab")
    keys.type("5")
    keys.enter()
    assert "GMT-II: 5 pieces, 5 waiting" in text(page)
    keys.press("Tab", "Enter")  # past the list, which was on the screen
    expect(page.get_by_role("button", name="Decide")).to_be_focused()
    keys.enter()
    assert "Nothing is decided yet" in text(page)
    assert page.title().startswith("Not done: ")
    page.keyboard.press("Enter")  # bounced: nothing has the focus that it could press
    assert "Nothing is decided yet" in text(page)
    keys.press("Tab")
    expect(page.get_by_role("button", name="I have looked at them: decide")).to_be_focused()
    keys.enter()
    assert "is accepted as proposed" in text(page)
    assert keys.count <= 12


def test_an_associate_reports_a_piece_seen_for_sale_and_a_manager_confirms_or_dismisses(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/sightings")
    assert "SN-" not in text(page)
    assert page.get_by_role("button").all_inner_texts() == ["Sign out", "Report"]
    staff.look(page, "sightings-associate")
    _report(page, "SN-999", "A dealer's window")
    assert "no piece with it was sold here" in text(page)
    staff.look(page, "sightings-refused")
    _report(page, "SN-000", "A dealer's window")
    assert at(page) == "/sightings"
    assert "Not done" not in text(page)

    page = staff.signed_in(MANAGER)
    page.goto("/sightings")
    said = _sighting(page, "SN-000").inner_text()
    assert f"reported by {ASSOCIATE}: A dealer's window" in said
    assert "anna" in said
    staff.look(page, "sightings-open")
    _decide(page, "SN-002", "Confirm", "The seller sent a picture of the serial.")
    _decide(page, "SN-001", "Dismiss", "Another watch, with a like serial.")
    assert "Confirmed" in _sighting(page, "SN-002").inner_text()
    assert f"confirmed by {MANAGER}" in _sighting(page, "SN-002").inner_text()
    assert "Dismissed" in _sighting(page, "SN-001").inner_text()
    staff.look(page, "sightings-decided")


def test_a_disputed_band_is_hidden_until_the_privacy_officer_answers(staff: Staff) -> None:
    associate, officer = staff.signed_in(ASSOCIATE), staff.signed_in(OFFICER)
    assert "Elevated" in look_up(associate, "jon")
    officer.goto("/customer")
    staff.look(officer, "customer")
    form = _card(officer, "Take a request down")
    form.get_by_label("Phone").fill(PHONES["jon"])
    form.get_by_label("dispute the band").check()
    form.get_by_label("What they say").fill("I never sold one.")
    press(form, "Take it down")
    assert at(officer) == "/requests"
    assert "jon" in text(officer)
    assert "I never sold one." in text(officer)
    staff.look(officer, "requests")
    hidden = look_up(associate, "jon", reference="GMT-II")
    assert "Under review" in hidden
    assert not any(word in hidden for word in ("Elevated", "Eligible", "as of"))
    staff.look(associate, "look-up-under-review")

    form = officer.locator("article", has_text="jon")
    form.get_by_label("What was decided or done").fill("The sighting was of another piece.")
    press(form, "Answer")
    assert "The sighting was of another piece." in text(officer)
    staff.look(officer, "requests-answered")
    assert "Elevated" in look_up(associate, "jon")


def test_a_customer_s_record_is_shown_and_handed_over_as_a_file(staff: Staff) -> None:
    page = staff.signed_in(OFFICER)
    page.goto("/customer")
    form = _card(page, "What is held here")
    form.get_by_label("Phone").fill(PHONES["anna"])
    with page.expect_download() as waiting:
        form.get_by_role("button", name="Hand it over as a file").click()
    assert waiting.value.suggested_filename == "customer-record.json"
    record = json.loads(Path(waiting.value.path()).read_text(encoding="utf-8"))
    assert record["customers"] == ["anna"]
    assert [one["serial"] for one in record["events"]] == ["SN-000"]
    assert record["look_ups"][-1]["by"] == OFFICER

    press(form, "Show it, to read or print")
    assert f"What {OUTLET} holds of you" in text(page)
    assert "SN-000" in text(page)
    staff.look(page, "customer-record")
    page.goto("/customer")
    form = _card(page, "What is held here")
    form.get_by_label("Phone").fill("12")
    press(form, "Show it, to read or print")
    assert "Check what was typed" in text(page)
    staff.look(page, "customer-mistyped")


def test_a_customer_withdraws_at_this_counter_and_has_no_band_from_then_on(staff: Staff) -> None:
    associate, officer = staff.signed_in(ASSOCIATE), staff.signed_in(OFFICER)
    assert "Priority" in look_up(associate, "ida")
    officer.goto("/customer")
    form = _card(officer, "End the consent")
    form.get_by_label("Phone").fill(PHONES["ida"])
    form.get_by_label("The customer withdraws their agreement").check()
    press(form, "Withdraw")
    assert "Nothing of this customer is used here from tonight" in text(officer)
    staff.look(officer, "customer-withdrawn")
    found = look_up(associate, "ida")
    assert "No band here" in found
    assert "Priority" not in found

    officer.goto("/consents")
    assert "2026-03" in text(officer)
    staff.look(officer, "consents")


def test_the_log_shows_who_did_what_about_whom_without_a_phone_and_stands(staff: Staff) -> None:
    associate, officer = staff.signed_in(ASSOCIATE), staff.signed_in(OFFICER)
    look_up(associate, "hana")
    officer.goto("/log")
    newest = officer.locator("tbody tr").first.inner_text()
    assert all(words in newest for words in (ASSOCIATE, "look-up", "sale", "known"))
    assert DIGITS not in officer.content()
    officer.get_by_label("What").select_option("sign-in")
    officer.get_by_label("By").select_option(OFFICER)
    press(officer, "Show")
    acts = officer.locator("tbody tr td:nth-child(4)").all_inner_texts()
    assert set(acts) == {"sign-in"}
    officer.goto("/log")
    staff.look(officer, "log")
    follow(officer, "Verify the log")
    assert "The log stands" in text(officer)
    staff.look(officer, "log-verified")


def test_a_manager_reads_the_nightly_report_once_there_is_one(staff: Staff) -> None:
    home = staff.counter.home
    (home / "report.html").unlink(missing_ok=True)
    page = staff.signed_in(MANAGER)
    page.get_by_role("navigation").get_by_text("More").click()
    staff.look(page, "more-pages")
    follow(page, "Nightly report")
    assert "No report yet" in text(page)
    staff.look(page, "report-none")
    write_report(
        NightFacts(
            now(), OUTLET, home, None, None, None, None, None, 0, 0, 0, {}, None, 0.0, "HQ is away."
        )
    )
    page.goto("/report")
    assert "The night did not end as it should" in page.content()
    first = page.locator(".first").bounding_box()
    assert first is not None
    assert first["y"] + first["height"] < DESKTOP["height"]  # without scrolling
    folded = page.get_by_text("A scorecard gives each customer points")
    assert not folded.is_visible()
    staff.look(page, "report")
    for fold in page.locator("summary").all():
        fold.click()  # JavaScript is off
    assert folded.is_visible()
    staff.look(page, "report-unfolded")
    follow(page, "Back to Today")
    assert at(page) == "/today"


def _prints_whole(page: Page) -> None:
    """On paper a table is one, within the page; nothing to press is left, and no navigation."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 990})  # a sheet of A4
    rows = page.locator(".lines tr")
    shown = {row.evaluate("one => getComputedStyle(one).display") for row in rows.all()}
    assert shown == {"table-row"}
    assert page.get_by_role("columnheader", name="Review level").first.is_visible()
    assert not page.get_by_role("navigation").is_visible()
    assert page.get_by_role("button").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    page.emulate_media(media="screen")
    page.set_viewport_size(DESKTOP)


def _line(page: Page, customer: str) -> Locator:
    return page.locator("tbody tr", has_text=customer)


def _sighting(page: Page, serial: str) -> Locator:
    return page.locator("article", has_text=serial)


def _card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


def _report(page: Page, serial: str, where: str) -> None:
    page.get_by_label("Serial").fill(serial)
    page.get_by_label("Seen on").fill(dt.datetime.now().astimezone().date().isoformat())
    page.get_by_label("Where").fill(where)
    press(page, "Report")


def _decide(page: Page, serial: str, decision: str, reason: str) -> None:
    form = _sighting(page, serial)
    form.get_by_label(decision).check()
    form.get_by_label("Reason").fill(reason)
    press(form, "Decide")
