"""Wishes at the counter, counted in keys and clicks, and a scanner that types like a keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.counter import ASSOCIATE, MANAGER, PHONES
from tests.browser.keys import Keys
from tests.browser.staff import SALE, answer, at, look_up, press, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def erased(staff: Staff) -> Iterator[None]:
    """Wishes of a test are gone after it."""
    yield
    for name in ("anna", "cora", "hana", "jon"):
        staff.counter.run("waitlist", "erase", "--phone", PHONES[name], "--by", MANAGER)


@pytest.mark.usefixtures("erased")
def test_a_known_customer_is_20_keys_a_wish_is_3_more_and_the_next_customer_2_tabs(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/look-up")
    expect(page.get_by_label("Phone")).to_be_focused()
    keys = Keys(page)
    keys.type(PHONES["hana"].removeprefix("+1"))
    keys.press("Tab")
    keys.type("gmtii")
    keys.press("Tab", "Space")
    keys.enter()
    assert keys.count <= 20
    assert "For GMT-II (allocation)" in answer(page)
    assert f"Read as +1 •••-•••-•{PHONES['hana'][-3:]}." in answer(page)
    staff.look(page, "look-up-wish")

    keys = Keys(page)  # from the answer, where the focus is
    keys.press("Tab")
    expect(page.get_by_role("button", name="Add to the waitlist for GMT-II")).to_be_focused()
    keys.press("Tab")
    expect(page.get_by_label("Phone")).to_be_focused()
    keys.type(PHONES["jon"].removeprefix("+1"))  # in place of the last one: it was selected
    keys.enter()
    assert "Elevated" in answer(page)

    keys = Keys(page)
    keys.press("Tab")
    keys.enter()
    assert keys.count <= 3
    assert "Added to the waitlist for GMT-II (wish number" in text(page)
    expect(page.get_by_label("Phone")).to_be_focused()
    staff.look(page, "look-up-wish-added")
    assert "On the waitlist for GMT-II since" in look_up(page, "jon", reference="GMT-II")
    staff.look(page, "look-up-wish-told")
    press(page, "Take it back", exact=False)  # a slip, on the day that it was made
    assert "Taken back: wish number" in text(page)
    assert "On the waitlist" not in look_up(page, "jon", reference="GMT-II")
    assert "by our own list" in look_up(page, "anna", reference="GMT-II")

    look_up(page, "hana", reference="Diver-40")
    press(page, "Add to the waitlist for Diver-40")  # one click
    assert "Added to the waitlist for Diver-40" in text(page)


@pytest.mark.usefixtures("erased")
def test_what_a_scanner_types_goes_where_the_focus_is_and_enter_sends_that_form(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/look-up")
    scan = page.keyboard
    scan.type(PHONES["anna"])
    scan.press("Enter")  # it was not said why: the browser asks, and nothing is lost
    assert at(page) == "/look-up"
    assert page.evaluate("document.activeElement.name") == "purpose"
    assert page.get_by_label("Phone").input_value() == PHONES["anna"]
    scan.press("Space")
    assert page.get_by_label(SALE).is_checked()
    with page.expect_navigation():
        scan.press("Enter")
    assert "Priority" in answer(page)

    shown = page.url
    scan.type(PHONES["cora"])  # nobody said where to
    scan.press("Enter")
    assert page.url == shown
    scan.press("Tab")
    expect(page.get_by_label("The customer wishes for")).to_be_focused()
    scan.type(PHONES["cora"].removeprefix("+"))  # a phone where a reference goes
    with page.expect_navigation():
        scan.press("Enter")
    assert "in no tier" in answer(page)
    staff.look(page, "look-up-wish-refused")
    page.get_by_label("The customer wishes for").focus()
    scan.press("ControlOrMeta+a")
    scan.type("DIVER 40")
    with page.expect_navigation():
        scan.press("Enter")
    assert "Added to the waitlist for Diver-40" in text(page)

    page.get_by_label(SALE).check()
    page.get_by_label("Phone").focus()
    scan.type(PHONES["cora"])
    scan.press("Tab")  # as some scanners end
    scan.type("gmt.ii")
    with page.expect_navigation():
        scan.press("Enter")
    assert "For GMT-II (allocation)" in answer(page)


@pytest.mark.usefixtures("erased")
def test_a_manager_reads_a_waitlist_and_closes_a_wish_with_a_reason(staff: Staff) -> None:
    page = staff.signed_in(MANAGER)
    look_up(page, "hana", reference="gmt-ii")
    press(page, "Add to the waitlist for GMT-II")
    page.goto("/waitlist")
    assert "6 waiting" in text(page)
    line = page.locator("tbody tr", has_text="hana")
    assert f"by {MANAGER}" in line.inner_text()
    line.get_by_text("Close", exact=True).click()
    staff.look(page, "waitlist")
    line.get_by_label("Why; the customer may read it").fill("The piece was handed over.")
    with page.expect_navigation():
        line.get_by_role("button").click()
    assert "is closed" in text(page)
    assert page.locator("tbody tr").count() == 5
    assert f"by {MANAGER}. The piece was handed over." in text(page)
    staff.look(page, "waitlist-closed")
