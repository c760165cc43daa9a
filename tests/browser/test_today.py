"""The first page of who decides: what waits, where it is done, and that it is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.counter import ASSOCIATE, MANAGER, OFFICER, PHONES
from tests.browser.staff import at, follow, press, text

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def count(page: Page, name: str) -> int:
    """The number beside a page's name in the navigation."""
    tab = page.get_by_role("navigation").get_by_role("link", name=re.compile(f"^{name}"))
    found = re.search(r"\d+", tab.inner_text())
    return 0 if found is None else int(found[0])


def test_a_manager_goes_from_a_line_of_today_to_where_it_is_done_and_it_waits_no_more(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/sightings")
    page.get_by_label("Serial").fill("SN-005")
    page.get_by_label("Where").fill("A dealer's window")
    press(page, "Report")
    assert "Reported: a piece of ours was seen for sale" in text(page)

    page = staff.signed_in(MANAGER)
    assert at(page) == "/today"
    before = count(page, "Sightings")
    assert before
    staff.look(page, "today-manager")
    follow(page, "SN-005, Diver-40")
    card = page.locator("article:target")
    assert "SN-005" in card.inner_text()
    card.get_by_label("Dismiss").check()
    card.get_by_label("Reason").fill("Another watch.")
    press(card, "Decide")
    assert "Dismissed: whatever was seen of the piece" in text(page)
    assert count(page, "Sightings") == before - 1
    page.goto("/")
    assert "SN-005" not in text(page)
    page.goto("/sightings")
    page.get_by_label("Find a piece or customer").fill("diver")
    page.get_by_label("Group by").select_option("reference")
    press(page, "Show")
    staff.look(page, "sightings-found")


def test_a_privacy_officer_begins_with_requests_and_their_clocks(staff: Staff) -> None:
    page = staff.signed_in(OFFICER)
    for name, received in (("hana", "2026-01-01"), ("ida", "")):
        page.goto("/customer")
        form = page.get_by_role("region", name="Take a request down")
        form.get_by_label("Phone").fill(PHONES[name])
        form.get_by_label("see what is held").check()
        if received:
            form.get_by_label("Received").fill(received)
        press(form, "Take it down")
    page.goto("/")
    assert at(page) == "/today"
    waiting = page.get_by_role("region", name="Customers' requests").get_by_role("listitem")
    assert "overdue by" in waiting.first.inner_text()
    assert "days left" in waiting.last.inner_text()
    staff.look(page, "today-officer")
    follow(page, waiting.first.get_by_role("link").inner_text())
    before = count(page, "Requests")
    card = page.locator("article", has=page.locator(":target"))
    card.get_by_label("What was decided").fill("Shown to her.")
    press(card, "Answer")
    assert count(page, "Requests") == before - 1
