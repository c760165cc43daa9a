"""Signing in, what comes before the first look-up, and what is for whom, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outlet_client.staff.sign_in_throttle import FREE_TRIES
from tests.browser.counter import ASSOCIATE, MANAGER, OFFICER, WORDS
from tests.browser.staff import at, follow, look_up, press, sign_in, text, undertake

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NEW = "seven quiet harbours"
PAGES = {
    ASSOCIATE: ("/look-up", "/customers", "/sightings"),
    MANAGER: (
        "/today", "/look-up", "/customers", "/sightings", "/allocations", "/waitlist",
        "/report", "/duplicates", "/lists",
    ),
    OFFICER: (
        "/today", "/log", "/customer", "/requests", "/consents", "/duplicates", "/lists",
    ),
}  # fmt: skip
"""What each role's navigation lists; the first is where they begin."""


def test_nobody_is_looked_up_before_the_password_is_one_s_own_and_the_undertaking_given(
    staff: Staff,
) -> None:
    handed_over = staff.counter.hire("Noor Haddad", "associate", settled=False)
    page = staff.somebody()
    page.goto("/look-up")
    assert at(page) == "/sign-in"
    assert page.get_by_role("button").all_inner_texts() == ["Sign in"]  # passkeys need JavaScript
    staff.look(page, "sign-in")
    sign_in(page, "noor haddad", handed_over)
    assert at(page) == "/account"
    page.goto("/look-up")
    assert at(page) == "/account"
    assert not page.get_by_role("navigation").count()  # no page of it could be reached
    staff.look(page, "first-password")

    _change(page, handed_over, NEW, "another one entirely")
    assert "The two new passwords differ" in text(page)
    staff.look(page, "first-password-differs")
    _change(page, handed_over, NEW, NEW)
    assert at(page) == "/undertaking"
    page.goto("/look-up")
    assert at(page) == "/undertaking"
    staff.look(page, "undertaking")
    page.get_by_role("button", name="Go on").click()  # the browser asks for the tick
    assert at(page) == "/undertaking"
    undertake(page, "Noor Haddad")
    assert at(page) == "/look-up"
    assert "Eligible" in look_up(page, "hana")

    follow(page, "Noor Haddad")
    staff.look(page, "account")
    follow(page, "What you undertook")
    assert "You undertook this on" in text(page)
    staff.look(page, "undertaking-given")


def test_wrong_passwords_lock_out_in_the_same_words_whether_there_is_such_a_name_or_not(
    staff: Staff,
) -> None:
    staff.counter.hire("Ines Costa", "associate")
    page = staff.somebody()
    heard: dict[str, list[str]] = {"Ines Costa": [], "Nobody Here": []}
    for name, told in heard.items():
        for _ in range(FREE_TRIES):
            sign_in(page, name, "not the password")
            told.append(text(page))
        sign_in(page, name, WORDS)
        assert at(page).startswith("/sign-in?shown=")
        told.append(text(page))
    assert heard["Ines Costa"] == heard["Nobody Here"]
    assert "Name or password is wrong" in heard["Ines Costa"][0]
    assert "Too many tries have failed. Wait a minute" in heard["Ines Costa"][-1]
    staff.look(page, "sign-in-locked-out")

    page = staff.signed_in(OFFICER)
    page.goto("/log")
    flags = page.locator("form.flag", has_text="locked out after wrong passwords")
    assert "Ines Costa" in " ".join(flags.all_inner_texts())
    assert "Nobody Here" not in page.content()


def test_a_passkey_is_made_on_a_device_and_signs_in_there(staff: Staff) -> None:
    staff.counter.hire("Pia Lund", "manager")
    page = staff.somebody(scripts=True)
    sign_in(page, "Pia Lund", WORDS)
    _give_device(page, knows_its_user=True)
    page.goto("/account")
    page.get_by_label("What to call it").fill("Counter tablet")
    press(page, "Make a passkey on this device")
    assert "Counter tablet, since" in text(page)
    staff.look(page, "account-passkey")

    press(page, "Sign out")
    press(page, "Sign in with a passkey")
    assert at(page) == "/today"
    assert page.get_by_role("link", name="Pia Lund").is_visible()

    page.goto("/account")
    press(page, "Take away")
    press(page, "Sign out")
    press(page, "Sign in with a passkey")
    assert "That passkey is not known here" in text(page)


def test_a_device_that_cannot_tell_who_uses_it_gives_no_passkey(staff: Staff) -> None:
    page = staff.somebody(scripts=True)
    _give_device(page, knows_its_user=False)
    page.goto("/sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_text("The device gave no passkey").wait_for()
    staff.look(page, "sign-in-no-passkey")
    sign_in(page, ASSOCIATE, WORDS)
    assert at(page) == "/look-up"


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_other_roles_are_neither_listed_nor_reached(staff: Staff, name: str) -> None:
    page = staff.signed_in(name)
    if name != ASSOCIATE:
        page.get_by_role("navigation").get_by_text("More").click()
    links = page.get_by_role("navigation").get_by_role("link").all()
    assert [one.get_attribute("href") for one in links] == list(PAGES[name])
    for path in dict.fromkeys(path for paths in PAGES.values() for path in paths):
        page.goto(path)
        assert at(page) == path
        assert ("Not for your role" in page.content()) == (path not in PAGES[name]), path
    if name == ASSOCIATE:
        staff.look(page, "not-for-your-role")


def test_nothing_can_be_seen_once_somebody_signed_out(staff: Staff) -> None:
    staff.counter.hire("Leo Brun", "privacy")
    page = staff.somebody()
    sign_in(page, "Leo Brun", WORDS)
    assert at(page) == "/today"
    press(page, "Sign out")
    assert at(page) == "/sign-in"
    assert "You are signed out." in text(page)
    page.go_back()
    assert at(page) == "/sign-in"
    for path in PAGES[OFFICER]:
        page.goto(path)
        assert at(page) == "/sign-in"


def _change(page: Page, old: str, new: str, again: str) -> None:
    page.get_by_label("The password you were given").fill(old)
    page.get_by_label("New password").fill(new)
    page.get_by_label("The same again").fill(again)
    press(page, "Change")


def _give_device(page: Page, *, knows_its_user: bool) -> None:
    """Gives a browser a device of its own that keeps passkeys, as a tablet has."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": knows_its_user,
        "automaticPresenceSimulation": True,
    }
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
