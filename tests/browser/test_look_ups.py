"""Look-ups as an associate makes them, in a real browser without JavaScript."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from outlet_client.bands.lookup import NO_BANDS_YET
from outlet_client.desk.messages import MEANS
from tests.browser.counter import ASSOCIATE, DIGITS, PHONES, ROLES
from tests.browser.eyes import DESKTOP, PHONE, ZOOMED
from tests.browser.staff import SALE, agree, answer, look_up, press, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "desk.png"
_FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return [one.outerHTML.slice(0, 200), style.outlineStyle, style.outlineWidth];
}"""
REFUSING = re.compile(
    r"\b(refus|reject|den[iy]|declin|not allowed|blocked|suspicio)", re.IGNORECASE
)


def test_a_known_customer_is_two_bands_what_they_allow_and_words_to_say(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    staff.look(page, "look-up")
    found = look_up(page, "anna", reference="GMT-II")
    for words in ("Priority", "Low", "For GMT-II (allocation)", "Offer", "We would be glad"):
        assert words in found
    if os.environ.get("DRAW"):
        page.screenshot(path=PICTURE)
    staff.look(page, "look-up-known")
    assert page.viewport_size == DESKTOP


def test_a_doubt_is_a_person_s_to_decide_and_no_refusal(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    found = look_up(page, "cora", reference="GMT-II")
    assert MEANS["flipper_risk", "review"] == "A person decides"
    assert "A person decides" in found
    assert "Our manager will look at your request personally" in found
    assert not REFUSING.search(found)
    staff.look(page, "look-up-review")
    assert "Elevated" in look_up(page, "ben")
    staff.look(page, "look-up-elevated")


def test_a_newcomer_has_not_enough_history_which_is_never_a_refusal(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    for reference in ("", "GMT-II", "Diver-40", "Field-36"):
        found = look_up(page, "dan", reference=reference)
        assert page.locator(".word").all_text_contents() == ["Not enough history"] * 2
        assert not REFUSING.search(found.replace("this is never a refusal", ""))
        assert "Not yet" not in found
    staff.look(page, "look-up-new")


def test_before_the_networks_first_book_everybody_is_new_and_the_page_says_why(
    staff: Staff,
) -> None:
    page, book = staff.signed_in(ASSOCIATE), staff.counter.home / "book.bin"
    aside = book.rename(book.with_name("aside"))
    try:
        found = look_up(page, "anna", reference="GMT-II")
        assert page.locator(".word").all_text_contents() == ["Not enough history"] * 2
        assert NO_BANDS_YET in found
        assert not REFUSING.search(found.replace("this is never a refusal", ""))
        staff.look(page, "look-up-no-bands-yet")
    finally:
        aside.rename(book)
    assert "Priority" in look_up(page, "anna")


def test_a_customer_of_other_outlets_hears_the_notice_first_and_is_known_then(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    before = staff.counter.given()
    found = look_up(page, "fay")
    assert "The customer's agreement comes first" in found
    assert "You may say no, and we serve you all the same." in found
    assert not any(word in found for word in ("Eligible", "Low"))
    staff.look(page, "look-up-notice")
    assert staff.counter.given() == before

    found = agree(page)
    assert "Eligible" in found
    assert "Low" in found
    assert staff.counter.given() == [one + 1 for one in before]  # HQ, and the privacy office
    assert look_up(page, "fay") == found
    assert staff.counter.given() == [one + 1 for one in before]


def test_an_answer_is_the_same_whatever_happened_here_or_elsewhere(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    ours = look_up(page, "hana", reference="Diver-40")
    if "comes first" in look_up(page, "fay", reference="Diver-40"):
        agree(page)
    theirs = look_up(page, "fay", reference="Diver-40")
    own_number = re.compile(r"Read as \S+ \S+")  # what was typed, in part
    assert own_number.sub("", theirs) == own_number.sub("", ours)

    shown = look_up(page, "hana")
    book = re.search(r"as of (\d{4}-\d{2}-\d{2})", shown)
    assert book is not None
    numbers = re.findall(r"\d+", own_number.sub("", shown))
    assert numbers == book[1].split("-")  # no count, price or date but the book's
    for name in (*ROLES, "boutique", "hana", "fay", "SN-"):
        assert name not in shown


def test_somebody_whom_nobody_registered_is_not_in_the_network(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    if "comes first" in look_up(page, "gus"):
        agree(page)
    found = look_up(page, "gus", reference="GMT-II")
    assert "Not in the network from this outlet, or no longer." in found
    assert "Manager decides" in found
    assert not REFUSING.search(found)
    staff.look(page, "look-up-unknown")


def test_a_customer_who_withdrew_has_no_band_here(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    found = look_up(page, "emil")
    assert "No band here" in found
    assert not any(words in found for _, words in MEANS.items())
    page.get_by_text("The customer agrees, or agrees again").click()
    staff.look(page, "look-up-withdrawn")


def test_what_cannot_be_looked_up_says_what_to_do(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.get_by_label("Phone").fill("12")
    page.get_by_label(SALE).check()
    press(page, "Look up")
    assert "Check what was typed" in answer(page)
    phone = page.get_by_label("Phone")
    expect(phone).to_be_focused()
    expect(phone).to_have_accessible_description(re.compile("Not done.*Check what was typed"))
    assert phone.get_attribute("aria-invalid") == "true"
    assert page.title().startswith("Not done")
    staff.look(page, "look-up-mistyped")
    assert "Nautilus" in look_up(page, "anna", reference="Nautilus")
    expect(page.get_by_label("Reference")).to_be_focused()
    assert "Priority" not in page.content()


def test_the_keyboard_is_enough_and_where_it_is_is_always_seen(staff: Staff) -> None:
    page = staff.somebody()
    page.goto("/sign-in")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(ASSOCIATE)
    _tab(page)
    page.keyboard.type(staff.counter.passwords[ASSOCIATE])
    _enter(page)
    expect(page.get_by_label("Phone")).to_be_focused()
    page.keyboard.type(PHONES["anna"])
    _tab(page, 2)
    page.keyboard.press("Space")
    assert page.get_by_label(SALE).is_checked()
    _tab(page, 2)
    _enter(page)
    assert "Priority" in answer(page)
    _begins_with_its_answer(page)
    stops = [_tab(page) for _ in range(8)]  # a wish and its button, the form, what is folded away
    assert 'id="phone"' in stops[2]
    assert "<summary" in stops[-1]
    page.keyboard.press("Space")
    assert page.get_by_text("A band is a guess about chances.").is_visible()
    staff.look(page, "look-up-why-not")

    page.goto("/sightings")
    skip = page.get_by_role("link", name="To the page")
    assert not _is_on_screen(page, skip)
    assert "To the page" in _tab(page)
    assert _is_on_screen(page, skip)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert 'id="serial"' in _tab(page)


def test_a_phone_is_in_no_address_in_no_history_and_in_nothing_that_is_kept(staff: Staff) -> None:
    page = staff.somebody()
    sign_in(page, ASSOCIATE, staff.counter.passwords[ASSOCIATE])
    look_up(page, "anna")
    page.goto("/sightings")
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    assert len(history["entries"]) > 3
    assert DIGITS not in json.dumps(history)
    page.go_back()
    assert "Priority" in answer(page)  # as long as the session lasts
    press(page, "Sign out")
    for _ in range(3):
        page.go_back()
        assert DIGITS not in page.content()
        assert "Priority" not in page.content()
    kept = [one for one in staff.counter.home.rglob("*") if one.is_file()]
    assert staff.counter.log in kept
    assert [one.name for one in kept if DIGITS.encode() in one.read_bytes()] == ["clients.csv"]


def _begins_with_its_answer(page: Page) -> None:
    """The answer has the focus, and comes first where it does not fit beside the form."""
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.title().startswith("Answer")
    for size in (PHONE, ZOOMED, DESKTOP):
        page.set_viewport_size(size)
        heading, form = (page.locator(one).bounding_box() for one in ("#answer", "#ask"))
        assert heading is not None
        assert form is not None
        assert heading["y"] <= form["y"]
        assert 0 <= heading["y"] < size["height"]


def _tab(page: Page, times: int = 1) -> str:
    """Tabs on, and returns the element that has the focus then; it can be seen that it has."""
    for _ in range(times):
        page.keyboard.press("Tab")
        has, outline, width = page.evaluate(_FOCUS)
        assert outline == "solid", has
        assert width == "3px", has
        assert _is_on_screen(page, page.locator(":focus")), has
    return str(page.evaluate(_FOCUS)[0])


def _enter(page: Page) -> None:
    with page.expect_navigation():
        page.keyboard.press("Enter")


def _is_on_screen(page: Page, one: Locator) -> bool:
    box, screen = one.bounding_box(), page.viewport_size
    if box is None or screen is None:
        return False
    across = box["x"] >= 0 and box["x"] + box["width"] <= screen["width"]
    return across and box["y"] >= 0 and box["y"] + box["height"] <= screen["height"]
