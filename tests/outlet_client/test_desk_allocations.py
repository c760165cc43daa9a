"""The desk's pages of allocations, with many who wait: what is shown, paged, ticked and decided."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from features.ledger import Tier
from outlet_client.allocation.lottery import Terms, TieBreak
from outlet_client.allocation.proposal_store import AllocationStore, Proposal
from outlet_client.allocation.ranking import Candidate, rank_candidates, read_policy
from outlet_client.records.access_log import LogAct
from tests.outlet_client.desk_site import NOON, RAFAEL, Browser, Desk, desk, home, outlet, said

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["desk", "home", "outlet"]

SEED = "00112233445566778899aabbccddeeff"
BANDS = (("priority", "low"), ("eligible", "low"), ("eligible", "elevated"), ("building", "low"))


def propose(home: Path, waiting: int, pieces: int = 3, ties: TieBreak = TieBreak.WAITING) -> str:
    """Stores a proposal of so many who wait; returns its page."""
    policy, day = read_policy(None), NOON.date()
    candidates = [
        Candidate(f"C{n:05d}", day - dt.timedelta(days=n % 900), *BANDS[n % 4], losses=n % 3)
        for n in range(waiting)
    ]
    terms = Terms("GMT-II", Tier.LIMITED, pieces, ties, SEED, drawn=True)
    lines = rank_candidates(candidates, policy, terms)
    made = Proposal(NOON.isoformat(), terms, policy.source, policy.text, 1, "2026-03-01", lines)
    with closing(AllocationStore.open(home)) as store:
        return f"/allocations/{store.add(made)}"


def customers(text: str, heading: str) -> list[str]:
    """Who stands in the table under a heading."""
    part = text.partition(f">{heading}</h2>")[2].partition("<h2")[0]
    return re.findall(r"<td>(C\d{5})", part)


def look(browser: Browser, path: str, **fields: str) -> str:
    """Another page of a proposal, with what is ticked; as text."""
    return browser.fill(f"{path}/look", fields).text


def test_ten_thousand_who_wait_are_a_page_that_one_can_use(desk: Desk) -> None:
    path = propose(desk.home, 10_000)
    page = desk.signed_in(RAFAEL).get(path)
    assert len(page.content) < 200_000
    assert len(customers(page.text, "Proposed")) == 3
    assert len(customers(page.text, "Next")) == 10  # offers without a piece, and for a look
    assert len(customers(page.text, "All others")) == 50
    assert "Page 1 of 200" in said(page)
    listed = desk.signed_in(RAFAEL).get("/allocations")
    assert "10000" in said(listed)
    assert len(listed.content) < 50_000


def test_what_is_ticked_on_one_page_is_decided_from_another(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = propose(desk.home, 400, pieces=1)
    second = look(rafael, path, page="2")
    assert "Page 2 of 8" in second
    [one] = {re.findall(r'name="give" value="(\d+)"', second.partition("All others")[2])[0]}
    name = customers(second, "All others")[0]
    third = look(rafael, path, page="3", give=one, less="1", reason="He was promised one.")
    assert f'name="give" value="{one}" checked> <span>{one}: {name} gets a piece' in third
    assert 'name="less" value="1" checked' in third
    assert "He was promised one." in third
    found = look(rafael, path, find=name, filter="yes", give=one)
    assert customers(found, "All others") == [name]
    assert len(re.findall(f'name="give" value="{one}"', found)) == 1  # ticked once
    assert desk.log(LogAct.OVERRIDE) == []
    fields = {"give": one, "less": "1", "reason": "He was promised one."}
    asked = rafael.fill(path, fields)
    passes = re.search(r'name="seen" value="([^"]*)"', asked.text)
    assert passes is not None
    done = rafael.fill(path, {**fields, "seen": passes[1].replace("&#39;", "'")})
    assert done.headers["location"] == path
    shown = rafael.get(path)
    assert "is decided otherwise than proposed. What" in said(shown)  # confirmed, once
    assert "is decided otherwise than proposed. What" not in said(rafael.get(path))
    assert customers(shown.text, "Given") == [name]


@pytest.mark.parametrize("page", ["0", "-1", "99999", "9" * 30, "x", "2\n3"])
def test_a_page_that_there_is_not_is_the_nearest(desk: Desk, page: str) -> None:
    path = propose(desk.home, 200)
    shown = look(desk.signed_in(RAFAEL), path, page=page)
    assert re.search(r"Page [14] of 4", shown)


def test_lines_are_filtered_by_decision_and_customer(desk: Desk) -> None:
    rafael, path = desk.signed_in(RAFAEL), propose(desk.home, 400, pieces=1)
    offers = look(rafael, path, kind="offer", filter="yes")
    assert "194 here" in offers  # of 200: one is proposed, five are next
    waits = look(rafael, path, kind="manager decides", filter="yes")
    assert set(
        re.findall(r"<strong>(Offer|Manager decides)", waits.partition("All others")[2])
    ) == {"Manager decides"}
    nobody = look(rafael, path, find="nobody", filter="yes")
    assert customers(nobody, "All others") == []
    assert "0 here" in nobody


def test_pieces_left_over_and_earlier_proposals_are_said(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    first = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "3"}).headers["location"]
    assert "2 pieces left over" in said(rafael.get(first))
    second = rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"}).headers["location"]
    shown = rafael.get(second).text
    assert "1 earlier or later proposal" in shown
    assert f'href="{first}"' in shown


def test_several_references_are_proposed_at_once_and_nobody_two_pieces(
    home: Path, desk: Desk
) -> None:
    text = (home / "interests.csv").read_text()
    both = text + text.partition("\n")[2].replace("GMT-II", "Diver-40")
    (home / "interests.csv").write_text(both)
    rafael = desk.signed_in(RAFAEL)
    fields = {"reference": ["GMT-II", "Diver-40", ""], "pieces": ["1", "2", ""]}
    made = rafael.fill("/allocations", fields)
    first = rafael.get(made.headers["location"])
    assert "Proposed: 1 of GMT-II (proposal 1), 2 of Diver-40 (proposal 2)." in said(first)
    assert re.search(r"Proposed 1 anna|anna since .*? Proposed", said(first))
    second = said(rafael.get("/allocations/2"))
    assert "is proposed a piece of GMT-II in proposal 1" in second
    for wrong in (
        {"reference": ["GMT-II", "GMT-II"], "pieces": ["1", "1"]},
        {"reference": ["GMT-II", "None such"], "pieces": ["1", "1"]},
        {"reference": ["GMT-II", "Diver-40"], "pieces": ["1", ""]},
        {"reference": [""], "pieces": ["1"]},
    ):
        before = len(desk.log())
        refused = rafael.fill("/allocations", wrong)
        assert refused.status_code in (400, 409)
        assert len(desk.log()) == before
    assert rafael.get("/allocations/3").status_code == 409


def test_the_draw_is_published_with_entries_tickets_and_odds(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    path = propose(desk.home, 400, pieces=30, ties=TieBreak.RISING)
    page = rafael.get(f"{path}/draw")
    words = said(page)
    assert SEED in words
    assert "200 in the draw" in words
    assert page.text.count(">A piece<") == 30
    chances = re.findall(r'<td class="number">(\d)</td><td class="number">([\d.]+) %', page.text)
    by_tickets = {tickets: float(chance) for tickets, chance in chances}
    assert by_tickets["1"] < by_tickets["2"] < by_tickets["3"]
    assert abs(sum(float(chance) for _, chance in chances) - 3000) < 5  # 100 entries, 30 pieces
    assert "Page 1 of 2" in words
    plain = propose(desk.home, 20, ties=TieBreak.WAITING)
    assert "by waiting time" in said(rafael.get(f"{plain}/draw"))


def test_the_rules_of_a_proposal_stand_on_its_page_in_words_and_in_order(desk: Desk) -> None:
    rafael = desk.signed_in(RAFAEL)
    rafael.fill("/allocations", {"reference": "GMT-II", "pieces": "1"})
    shown = said(rafael.get("/allocations/1"))
    assert "In tier open, review level A person decides: manager decides." in shown
    rules = shown.partition("the first that fits decides ")[2]
    scarce = "In tier allocation, eligibility Building: not yet. Review level Elevated: manager"
    assert scarce in rules
    assert "Eligibility Eligible or Priority: offer. Everything else: manager decides." in rules
