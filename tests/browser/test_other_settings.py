"""A desk with other settings than usual, and one without its network, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.counter import ASSOCIATE, OFFICER, WORDS
from tests.browser.staff import (
    PATIENCE,
    agree,
    answer,
    at,
    look_up,
    press,
    sign_in,
    text,
    undertake,
)

if TYPE_CHECKING:
    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

IDLE_SECONDS = 10
LEFT_THERE = "+1 212 999 0000"
NO_NETWORK = "The network cannot be reached just now"
strict = pytest.mark.parametrize(
    "settings", ['undertaking = "ours.txt"\nlookups_a_day = 3\n'], ids=["strict"]
)


def test_customers_of_this_outlet_are_known_when_the_network_is_down(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    staff.counter.cut_off()
    assert "Priority" in look_up(page, "anna", reference="GMT-II")
    assert "The customer's agreement comes first" in look_up(page, "kit")
    assert NO_NETWORK in agree(page)
    assert "Priority" not in answer(page)
    staff.look(page, "look-up-network-down")

    staff.counter.serve()
    assert "Not in the network from this outlet" in look_up(page, "kit")
    page.get_by_text("The customer agrees, or agrees again").click()
    assert "Priority" in agree(page)


@strict
def test_the_undertaking_is_asked_for_again_when_its_text_changes(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    assert at(page) == "/undertaking"
    assert "I look nobody up for fun." in text(page)
    assert re.search(r"You undertook version \S+ on \S+; the text has changed since", text(page))
    page.goto("/look-up")
    assert at(page) == "/undertaking"
    staff.look(page, "undertaking-again")
    undertake(page, ASSOCIATE)
    assert at(page) == "/look-up"


@strict
def test_who_has_looked_up_as_many_as_one_may_is_told_and_the_privacy_officer_sees_it(
    staff: Staff,
) -> None:
    staff.counter.hire("Ada Brandt", "associate")
    page = staff.signed_in("Ada Brandt")
    undertake(page, "Ada Brandt")
    for left in (2, 1, 0):
        assert "Eligible" in look_up(page, "hana")
        assert f"You have {left} left today" in text(page)
    assert "You have made 3 look-ups today" in look_up(page, "hana")
    assert "Eligible" not in answer(page)
    staff.look(page, "look-up-quota")

    page = staff.signed_in(OFFICER)
    undertake(page, OFFICER)
    page.goto("/log")
    flag = page.locator("form.flag", has_text="Ada Brandt")
    assert "the day's quota reached (3)" in flag.inner_text()
    staff.look(page, "log-flag")
    press(flag, "I follow it up", exact=False)
    assert flag.count() == 0
    assert "followed up" in text(page)


@pytest.mark.parametrize("settings", [f"idle_minutes = {IDLE_SECONDS / 60}\n"], ids=["idle"])
def test_a_session_that_nobody_uses_ends(staff: Staff) -> None:
    page = staff.somebody()
    sign_in(page, ASSOCIATE, WORDS)
    assert at(page) == "/look-up"
    page.get_by_label("Phone").fill(LEFT_THERE)
    page.wait_for_url("**/left", timeout=1000 * IDLE_SECONDS + PATIENCE)
    assert "shows nothing any more" in text(page)
    assert LEFT_THERE not in page.content()
    staff.look(page, "put-down")
    page.goto(f"{staff.counter.url}/look-up")
    assert at(page) == "/sign-in"
