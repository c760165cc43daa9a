"""Forms in a browser without JavaScript: nothing acts twice, nothing that was typed is lost."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.counter import ASSOCIATE, MANAGER, PHONES, WORDS
from tests.browser.staff import PATIENCE, SALE, answer, at, press, text

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SHORT = "idle_minutes = 0.2\n"
"""Twelve seconds; the warning comes after six."""


def acts(staff: Staff) -> int:
    """How many entries the log has."""
    with closing(sqlite3.connect(staff.counter.home / "rights.db")) as rights:
        return int(rights.execute("SELECT count(*) FROM log").fetchone()[0])


def fill(page: Page, name: str) -> None:
    page.goto("/look-up")
    page.get_by_label("Phone").fill(PHONES[name])
    page.get_by_label(SALE).check()


def test_reload_back_and_a_double_click_are_one_look_up(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    before = acts(staff)
    fill(page, "hana")
    page.get_by_role("button", name="Look up").dblclick()
    # Of two navigations the second ends the first: an address is waited for, not one of them.
    expect(page).to_have_url(re.compile(r"/look-up\?shown="), timeout=PATIENCE)
    page.wait_for_load_state()
    assert "Eligible" in answer(page)
    staff.look(page, "look-up-answered")
    page.reload()
    assert "Eligible" in answer(page)
    page.go_back()
    page.go_forward()
    assert "Eligible" in answer(page)
    assert acts(staff) == before + 1


def test_a_reported_piece_is_reported_once_and_confirmed_in_words(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    before = acts(staff)
    page.goto("/sightings")
    page.get_by_label("Serial").fill("SN-003")
    page.get_by_label("Where").fill("An auction's catalogue")
    press(page, "Report")
    assert "Reported: a piece of ours was seen for sale" in text(page)
    staff.look(page, "sightings-reported")
    page.reload()
    page.go_back()
    page.go_forward()
    assert acts(staff) == before + 1


def test_what_was_typed_survives_a_restart_of_the_program(staff: Staff) -> None:
    page = staff.signed_in(MANAGER)
    page.goto("/sightings")
    page.get_by_label("Serial").fill("SN-004")
    page.get_by_label("Where").fill("A stall at the fair")
    staff.counter.runs_with(staff.counter.settings)
    before = acts(staff)
    press(page, "Report")
    assert "what you typed is kept" in text(page)
    assert "A stall" not in page.content()
    staff.look(page, "sign-in-again")
    page.get_by_label("Name").fill(MANAGER)
    page.get_by_label("Password").fill(WORDS)
    press(page, "Sign in")
    assert at(page).startswith("/sightings")
    assert page.get_by_label("Where").input_value() == "A stall at the fair"
    assert "nothing was done" in text(page)
    staff.look(page, "sightings-typed-before")
    assert acts(staff) == before + 1  # the sign-in
    press(page, "Report")
    assert acts(staff) == before + 2


@pytest.mark.parametrize("settings", [SHORT])
def test_a_page_says_that_it_puts_itself_away_and_keeps_what_is_typed(staff: Staff) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/sightings")
    page.get_by_label("Where").fill("Behind glass")
    keep = page.get_by_role("button", name="Keep what I typed")
    assert not keep.is_visible()
    keep.wait_for(state="visible", timeout=PATIENCE)
    with page.expect_navigation():
        keep.click()
    assert page.get_by_label("Where").input_value() == "Behind glass"
    assert "nothing was sent yet" in text(page)
    page.wait_for_url("**/left", timeout=PATIENCE)
    assert "shows nothing any more" in text(page)
