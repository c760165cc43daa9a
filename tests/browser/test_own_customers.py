"""The outlet's own customers, in a real browser without JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.counter import ASSOCIATE, MANAGER, OFFICER, PHONES
from tests.browser.keys import Keys
from tests.browser.staff import SALE, press, text

if TYPE_CHECKING:
    from tests.browser.staff import Staff

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TWO = "hal,+12125550190,h@x.example,Hal Muster\nhal-2,+12125550190,hal@x.example,H. Muster\n"


def test_an_associate_finds_a_customer_by_name_and_reads_what_they_bought_here(
    staff: Staff,
) -> None:
    page = staff.signed_in(ASSOCIATE)
    page.goto("/customers")
    keys = Keys(page)
    keys.type("mu")
    keys.enter()
    assert "Type at least 3 letters" in text(page)
    page.get_by_label("Name").fill("anna mus")
    press(page, "Search by name")
    hits = page.locator(".answer")
    hits.get_by_label(SALE).check()
    staff.look(page, "customers-found")
    press(hits, "Show what they bought here")
    assert "Anna Muster" in text(page)
    assert "9,500.00" in text(page)
    assert "Priority" not in text(page)
    staff.look(page, "customers-purchases")


def test_a_manager_decides_about_two_entries_and_an_officer_corrects_an_event(
    staff: Staff,
) -> None:
    book = staff.counter.home / "clients.csv"
    before = book.read_text()
    book.write_text(before + TWO)
    try:
        page = staff.signed_in(MANAGER)
        page.goto("/duplicates")
        assert "They share a phone" in text(page)
        staff.look(page, "duplicates")
        press(page, "Two people", exact=False)
        assert "Kept: two people: neither is recognised by what they share." in text(page)
        page.goto("/lists")
        staff.look(page, "lists")
    finally:
        book.write_text(before)
    page = staff.signed_in(OFFICER)
    page.goto("/customer")
    held = page.get_by_role("region", name="What is held here")
    held.get_by_label("Phone").fill(PHONES["anna"])
    press(held, "Correct an event")
    page.get_by_role("radio").first.check()
    page.get_by_label("Amount").fill("much")
    press(page, "Correct it")
    staff.look(page, "correction-refused")
    page.get_by_label("Amount").fill("9400")
    press(page, "Correct it")
    assert "was corrected: amount." in text(page)
    page.get_by_role("radio").first.check()
    page.get_by_label("Amount").fill("9500")
    press(page, "Correct it")
    assert "stands as our till has it" in text(page)
